// SPDX-License-Identifier: MIT
//
// Hot groups: sockets that are polled together. The rules of architecture.md for members of a group.
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

TEST_CASE("group: eight hot sockets cost one poll and one dequeue") {
  HotSockets f(8);
  for (int i = 0; i < 8; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  CHECK(f.readable().size() == 8);  // the first wait opens a helper handle
  const Stats before = f.poller->stats();
  CHECK(f.readable().size() == 8);
  const Stats after = f.poller->stats();
  CHECK(after.kernel_calls() - before.kernel_calls() == 2);
  CHECK(after.group_arms - before.group_arms == 1);
  CHECK(after.group_members - before.group_members == 8);
}

TEST_CASE("group: with hot groups switched off each socket is polled alone") {
  HotSockets f(4, {.hot_groups = false});
  for (int i = 0; i < 4; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  CHECK(f.readable().size() == 4);
  CHECK(f.poller->stats().group_arms == 0);
}

TEST_CASE("group: a single hot socket is polled alone") {
  HotSockets f(1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().group_arms == 0);
  CHECK(f.kernel.open.size() == 3);  // the port and one helper
}

TEST_CASE("group: its poll completes with the members that are ready, and all members are polled again") {
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

TEST_CASE("group: entries are matched by their handle, in any order") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), {{base(hot(3)), AFD_POLL_RECEIVE, 0},
                                   {base(hot(0)), AFD_POLL_RECEIVE, 0},
                                   {FakeKernel::handle(0x4444), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(0), hot(3)});
}

TEST_CASE("group: a wider interest of a member cancels the group's poll, and the member leaves the group") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[2].modify(Interest::readable | Interest::writable));
  f.kernel.ready[base(hot(2))] = AFD_POLL_SEND;
  const auto events = f.wait();  // two polls of one socket would be a violation
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

TEST_CASE("group: a removed member is not reported, and its slot is kept until the group's poll completes") {
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

TEST_CASE("group: the number of a removed member is polled again only after the group's poll has completed") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1].remove());
  f.members[1] = f.add(hot(1));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  // What the group reports of the old registration is not delivered to the new one.
  f.kernel.complete(base(hot(1)), AFD_POLL_DISCONNECT);
  CHECK(f.readable() == Sockets{hot(1)});
}

TEST_CASE("group: to add the number of a removed member cancels the group's poll") {
  HotSockets f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1].remove());
  f.members[1] = f.add(hot(1));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{hot(1)});
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE("group: a member that is added again is replaced, and the group's poll is cancelled first") {
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

TEST_CASE("group: to add the number of a disarmed member replaces its registration") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  auto replaced = f.poller->add(hot(2), Token{2}, Interest::readable);
  REQUIRE(replaced.has_value());
  CHECK(f.members[2].modify(Interest::none).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("group: a member that is closed is retired, and the others stay") {
  HotSockets f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(1)), {{base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}, {base(hot(2)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(2)});
  CHECK(f.poller->stats().registrations == 3);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
}

TEST_CASE("group: a wake and the event of another socket are delivered in the same wait as the group's events") {
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

TEST_CASE("group: a member that does not fire while others do leaves the group") {
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

TEST_CASE("group: a member that is added again is polled alone at first") {
  ArmedGroup f(3);
  f.members[1] = f.add(hot(1));
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(hot(1))) != nullptr);
  CHECK(f.kernel.pending_on(base(hot(1)))->asked.size() == 1);
}

TEST_CASE("group: while one group is pending, sockets that become hot are polled in another one") {
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

TEST_CASE("group: it is cancelled once, although several members need a wider interest") {
  reactor::sim::SimKernel kernel;
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  std::array<Event, 16> buffer;
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
  for (int round = 0; round < 4; round++) REQUIRE(poller.wait(buffer, 0ns)->size() == 4);
  for (const SocketNumber socket : sockets) REQUIRE(kernel.net().recv(socket, 1));
  REQUIRE(poller.wait(buffer, 0ns)->empty());
  REQUIRE(kernel.pending_polls() == 1);
  kernel.set_delays({}, {}, {1ms, 1ms});  // the packet of the cancelled poll is late
  for (Registration& member : members) {
    REQUIRE(member.modify(Interest::readable | Interest::priority));
    REQUIRE(poller.wait(buffer, 0ns)->empty());
  }
  CHECK(poller.stats().cancel_calls == 1);
}

TEST_CASE("group: a closed member is retired although the buffer is full") {
  ArmedGroup f(3);
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}});
  CHECK(f.wait(0ns, 1).size() == 1);
  CHECK(f.poller->stats().registrations == 2);
}

TEST_CASE("group: a new registration does not inherit the activity of a removed member") {
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
