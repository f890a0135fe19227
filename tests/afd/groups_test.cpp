// SPDX-License-Identifier: MIT
//
// Sockets that are polled together: every rule once more, for members of a group.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <reactor/afd/directions.hpp>
#include <reactor/afd/group.hpp>
#include <reactor/afd/group_policy.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("group: those that fire again and again are armed in one call, and collecting them is another") {
  HotSockets f(8);
  for (int i = 0; i < 8; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  CHECK(f.readable().size() == 8);  // the first time it opens a helper handle
  const Stats before = f.poller->stats();
  CHECK(f.readable().size() == 8);
  const Stats after = f.poller->stats();
  CHECK(after.kernel_calls() - before.kernel_calls() == 2);
  CHECK(after.group_arms - before.group_arms == 1);
  CHECK(after.group_members - before.group_members == 8);
}

TEST_CASE("group: switched off, there are none") {
  HotSockets f(4, {.hot_groups = false});
  for (int i = 0; i < 4; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  CHECK(f.readable().size() == 4);
  CHECK(f.poller->stats().group_arms == 0);
}

TEST_CASE("group: a single hot socket is armed alone") {
  HotSockets f(1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().group_arms == 0);
  CHECK(f.kernel.open.size() == 3);  // the port and one helper
}

TEST_CASE("group: it waits in the kernel, comes back with the first that are ready, and all are armed again") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 1);
  CHECK(f.kernel.pending[0].asked.size() == 4);
  CHECK(f.poller->stats().pending_polls == 4);
  f.kernel.complete(base(hot(1)), {{base(hot(1)), AFD_POLL_RECEIVE, 0}, {base(hot(3)), AFD_POLL_DISCONNECT, 0}});
  const auto events = f.wait();
  REQUIRE(events.size() == 2);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(hot(1))});
  CHECK(events[0].readiness() == Readiness::readable);
  CHECK(events[1].token() == Token{static_cast<std::uint64_t>(hot(3))});
  CHECK(events[1].readiness() == (Readiness::readable | Readiness::read_closed));
  CHECK(f.poller->stats().pending_polls == 0);
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 1);
  CHECK(f.kernel.pending[0].asked.size() == 4);
}

TEST_CASE("group: entries are known by their handle, in whatever order they come") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), {{base(hot(3)), AFD_POLL_RECEIVE, 0},
                                   {base(hot(0)), AFD_POLL_RECEIVE, 0},
                                   {FakeKernel::handle(0x4444), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(0), hot(3)});
}

TEST_CASE("group, rule 1: a wider interest brings the whole group back first, and who does that leaves it") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[2].modify(Interest::readable | Interest::writable));
  f.kernel.ready[base(hot(2))] = AFD_POLL_SEND;
  const auto events = f.wait();  // FakeKernel notes two polls on one socket
  CHECK(f.kernel.cancels == 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].readiness() == Readiness::writable);
  f.kernel.ready.clear();
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending.size() == 2);
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
  CHECK(f.kernel.pending_on(base(hot(2)))->asked.size() == 1);
  REQUIRE(f.members[0].modify(Interest::none));  // narrower: covered
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE("group, rules 2 and 4: a member that is removed is struck, and its slot stays until the group is back") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1].remove());
  CHECK(f.kernel.cancels == 0);
  CHECK(f.poller->stats().pending_polls == 4);
  f.kernel.complete(base(hot(1)), {{base(hot(1)), AFD_POLL_RECEIVE, 0}, {base(hot(2)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(2)});
  CHECK(f.poller->stats().pending_polls == 0);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
  CHECK(f.kernel.pending_on(base(hot(1))) == nullptr);
}

TEST_CASE("group, rules 1 and 5: a struck member's number is armed again only when the group is back") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1].remove());
  f.members[1] = f.add(hot(1));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  // The group's answer to the old registration is not the new one's.
  f.kernel.complete(base(hot(1)), AFD_POLL_DISCONNECT);
  CHECK(f.readable() == Sockets{hot(1)});
}

TEST_CASE("group, rule 5: a struck member's number that is added again does not wait for the group to fire") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1].remove());
  f.members[1] = f.add(hot(1));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{hot(1)});
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE("group, rule 5: a member added again is replaced, and its group comes back first") {
  HotSockets f;
  CHECK(f.wait().empty());
  const auto again = f.poller->add(hot(1), Token{1}, Interest::readable);
  REQUIRE(again.has_value());
  CHECK(f.members[1].modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{1});
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE(
    "group, rule 5: a silent member that was closed while the group was back is replaced by who adds its number") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  auto replaced = f.poller->add(hot(2), Token{2}, Interest::readable);
  REQUIRE(replaced.has_value());
  CHECK(f.members[2].modify(Interest::none).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("group, rule 5: a member that is closed ends alone") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(1)), {{base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}, {base(hot(2)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(2)});
  CHECK(f.poller->stats().registrations == 3);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
}

TEST_CASE("group: a wake and a cold socket are collected in the wait that the group would fill alone") {
  HotSockets f;
  auto cold = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  f.poller->waker().wake();
  for (int i = 0; i < 4; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a, hot(0)});
  for (int i = 0; i < 4; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{a, hot(0), hot(1), hot(2), hot(3)});
}

TEST_CASE("group: a member that stays silent while others fire leaves") {
  HotSockets f;
  f.kernel.ready[base(hot(0))] = f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.count_events(afd::GroupPolicy::idle_rounds_max).size() == 2);
  f.kernel.ready.clear();
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 2);
  CHECK(f.kernel.pending_on(base(hot(2)))->asked.size() == 1);
  CHECK(f.kernel.pending_on(base(hot(3)))->asked.size() == 1);
  for (const auto& request : std::vector(f.kernel.pending)) {
    if (request.asked.size() == 1) f.kernel.complete(request.asked.begin()->Handle, AFD_POLL_RECEIVE);
  }
  CHECK(f.readable() == Sockets{hot(2), hot(3)});
}

TEST_CASE("group, rule 5: a member that is added again starts as one that is polled alone") {
  ArmedGroup f(3);
  f.members[1] = f.add(hot(1));
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(hot(1))) != nullptr);
  CHECK(f.kernel.pending_on(base(hot(1)))->asked.size() == 1);
}

TEST_CASE("group: while one is out, those that become hot are polled in another") {
  ArmedGroup f(3);
  Sockets others;
  for (int i = 10; i < 13; i++) {
    f.members.push_back(f.add(hot(i)));
    f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
    others.insert(hot(i));
  }
  for (int round = 0; round < 4; round++) CHECK(f.readable() == others);
  f.kernel.ready.clear();
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 2);
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
  CHECK(f.kernel.pending_on(base(hot(10)))->asked.size() == 3);
  f.kernel.complete(base(hot(11)), AFD_POLL_RECEIVE);
  f.kernel.complete(base(hot(1)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(1), hot(11)});
}

TEST_CASE("group: when it has been cancelled for one of its members, nobody cancels it again") {
  sim::SimKernel kernel;
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  std::array<Event, 16> room;
  std::vector<Registration> members;
  std::vector<SocketNumber> sockets;
  for (int i = 0; i < 4; i++) {
    const auto [socket, other] = kernel.net().tcp_pair();
    auto added = poller.add(static_cast<NativeSocket>(socket), Token{}, Interest::readable);
    REQUIRE(added.has_value());
    members.push_back(std::move(*added));
    sockets.push_back(socket);
    REQUIRE(kernel.net().send(other, 1));
  }
  for (int round = 0; round < 4; round++) REQUIRE(poller.wait(room, 0ns)->size() == 4);
  for (const SocketNumber socket : sockets) REQUIRE(kernel.net().recv(socket, 1));
  REQUIRE(poller.wait(room, 0ns)->empty());
  REQUIRE(kernel.pending_polls() == 1);
  kernel.set_delays({}, {}, {1ms, 1ms});  // the packet of the cancelled poll takes a while
  for (Registration& member : members) {
    REQUIRE(member.modify(Interest::readable | Interest::priority));
    REQUIRE(poller.wait(room, 0ns)->empty());
  }
  CHECK(poller.stats().cancel_calls == 1);
}

TEST_CASE("group, rule 5: a member that was closed needs no room to end") {
  ArmedGroup f(3);
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}});
  CHECK(f.wait(0ns, 1).size() == 1);
  CHECK(f.poller->stats().registrations == 2);
}

TEST_CASE("group: who takes the number of a removed member is no toggler") {
  ArmedGroup f(4);
  REQUIRE(f.members[2].remove());
  f.members[2] = f.add(hot(2));
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 1);
  f.fire_until_hot();
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(hot(2))) != nullptr);
  CHECK(f.kernel.pending_on(base(hot(2)))->asked.size() == 4);
}
