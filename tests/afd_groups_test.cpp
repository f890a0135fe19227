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

#include "afd_fixture.hpp"

using namespace afd_fixture;

namespace {

constexpr auto first_hot = NativeSocket{200};

NativeSocket hot(int i) { return first_hot + 4 * i; }

// A Poller with so many sockets that have fired until they are polled together. At the end nothing is ready, and none
// is armed.
struct Hot : Fixture {
  std::vector<std::optional<Registration>> members;

  explicit Hot(int count = 4, const PollerOptions& options = {}) : Fixture(options) {
    for (int i = 0; i < count; i++) {
      members.emplace_back(add(hot(i)));
      kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
    }
    for (int round = 0; round < GroupPolicy::hot_score + 1; round++) {
      CHECK(wait().size() == static_cast<std::size_t>(count));
    }
    kernel.ready.clear();
  }
  using GroupPolicy = afd::GroupPolicy;

  // How often each socket is told of in so many waits.
  std::map<NativeSocket, int> tell(int waits, std::size_t size = 64) {
    std::map<NativeSocket, int> told;
    for (int i = 0; i < waits; i++) {
      for (const NativeSocket socket : readable(size)) told[socket]++;
    }
    return told;
  }
};

}  // namespace

TEST_CASE("group: those that fire again and again are armed in one call, and collecting them is another") {
  Hot f(8);
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
  Hot f(4, {.hot_groups = false});
  for (int i = 0; i < 4; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  CHECK(f.readable().size() == 4);
  CHECK(f.poller->stats().group_arms == 0);
}

TEST_CASE("group: a single hot socket is armed alone") {
  Hot f(1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().group_arms == 0);
  CHECK(f.kernel.open.size() == 3);  // the port and one helper
}

TEST_CASE("group: it waits in the kernel, comes back with the first that are ready, and all are armed again") {
  Hot f;
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
  Hot f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), {{base(hot(3)), AFD_POLL_RECEIVE, 0},
                                   {base(hot(0)), AFD_POLL_RECEIVE, 0},
                                   {FakeKernel::handle(0x4444), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(0), hot(3)});
}

TEST_CASE("group, rule 1: a wider interest brings the whole group back first, and who does that leaves it") {
  Hot f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[2]->modify(Interest::readable | Interest::writable));
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
  REQUIRE(f.members[0]->modify(Interest::none));  // narrower: covered
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE("group, rules 2 and 4: a member that is removed is struck, and its slot stays until the group is back") {
  Hot f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1]->remove());
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
  Hot f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1]->remove());
  f.members[1].emplace(f.add(hot(1)));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  // The group's answer to the old registration is not the new one's.
  f.kernel.complete(base(hot(1)), AFD_POLL_DISCONNECT);
  CHECK(f.readable() == Sockets{hot(1)});
}

TEST_CASE("group, rule 5: a struck member's number that is added again does not wait for the group to fire") {
  Hot f;
  CHECK(f.wait().empty());
  REQUIRE(f.members[1]->remove());
  f.members[1].emplace(f.add(hot(1)));
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{hot(1)});
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE("group, rule 5: a member added again is replaced, and its group comes back first") {
  Hot f;
  CHECK(f.wait().empty());
  const auto again = f.poller->add(hot(1), Token{1}, Interest::readable);
  REQUIRE(again.has_value());
  CHECK(f.members[1]->modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{1});
  CHECK(f.kernel.cancels == 1);
}

TEST_CASE(
    "group, rule 5: a silent member that was closed while the group was back is replaced by who adds its number") {
  Hot f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  auto replaced = f.poller->add(hot(2), Token{2}, Interest::readable);
  REQUIRE(replaced.has_value());
  CHECK(f.members[2]->modify(Interest::none).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("group, rule 5: a member that is closed ends alone") {
  Hot f;
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(1)), {{base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}, {base(hot(2)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable() == Sockets{hot(2)});
  CHECK(f.poller->stats().registrations == 3);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(hot(0)))->asked.size() == 3);
}

TEST_CASE("group, rule 3: a packet with the key of groups and the address of none is counted and dropped") {
  Hot f;
  CHECK(f.wait().empty());
  const HANDLE port = *f.kernel.open.begin();
  const auto* held = f.kernel.pending[0].context;
  CHECK(f.kernel.post(port, nullptr, static_cast<ULONG_PTR>(afd::PacketKey::group), &f) == 0);
  CHECK(f.kernel.post(port, nullptr, static_cast<ULONG_PTR>(afd::PacketKey::poll), const_cast<void*>(held)) == 0);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 2);
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
}

TEST_CASE("group, rule 2: a Poller that ends takes the group back first, or leaves it to a kernel that keeps it") {
  for (const bool keeps : {false, true}) {
    CAPTURE(keeps);
    Hot f;
    CHECK(f.wait().empty());
    f.kernel.keeps_what_is_cancelled = keeps;
    f.poller.reset();
    CHECK(f.kernel.pending.size() == (keeps ? 1 : 0));
    static auto& kept = *new std::vector<void*>;  // as the kernel does: not a leak
    for (const auto& request : f.kernel.pending) {
      kept.push_back(request.iosb);
      request.iosb->Status = 0;
      request.poll->NumberOfHandles = 0;
      reinterpret_cast<afd::Group*>(request.iosb)->all[0].slot->iosb.Status = 0;  // and its members' slots are alive
    }
    f.kernel.keeps_what_is_cancelled = false;
    f.kernel.pending.clear();
  }
}

TEST_CASE("group, rule 8: one that was closed unseen makes the kernel refuse the request, and drops out alone") {
  for (const bool has_told : {true, false}) {
    CAPTURE(has_told);
    Hot f;
    CHECK(f.wait().empty());
    f.kernel.complete(base(hot(has_told ? 1 : 0)), AFD_POLL_RECEIVE);
    CHECK(f.wait().size() == 1);
    f.kernel.closed.insert(base(hot(1)));
    f.kernel.ready[base(hot(2))] = AFD_POLL_RECEIVE;
    CHECK(f.readable() == Sockets{hot(2)});
    CHECK(f.poller->stats().registrations == 3);
    f.kernel.ready.clear();
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().pending_polls == 3);
  }
}

TEST_CASE("group, rule 8: a program that keeps closing without removing is served without groups for a while") {
  Hot f(8);
  const int turns = 200;
  for (int i = 0; i < 8; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  for (int i = 0; i < turns; i++) {
    CHECK(f.readable().size() == 8);
    f.kernel.closed.insert(base(hot(i)));
    f.members.emplace_back(f.add(hot(i + 8)));
    f.kernel.ready[base(hot(i + 8))] = AFD_POLL_RECEIVE;
  }
  CHECK(f.poller->stats().registrations <= 9);
  CHECK(f.poller->stats().group_arms <= 20);
}

TEST_CASE("group, rule 8: refused, its members are polled alone, where one's error is its own event") {
  Hot f;
  f.kernel.poll_refusals = {STATUS_INSUFFICIENT_RESOURCES, 0, static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(f.poller->stats().registrations == 4);
}

TEST_CASE("group: members that are closed one by one do not have the others fall out") {
  Fixture f;
  std::vector<std::optional<Registration>> members;
  for (int i = 0; i < 48; i++) members.emplace_back(f.add(hot(i)));
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 48; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
    CHECK(f.readable().size() == 48);
  }
  f.kernel.ready.clear();
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 1);
  for (int i = 0; i < 17; i++) {
    f.kernel.complete(base(hot(i)), AFD_POLL_LOCAL_CLOSE);
    f.kernel.closed.insert(base(hot(i)));
    CHECK(f.wait().empty());
  }
  REQUIRE(f.kernel.pending.size() == 1);
  CHECK(f.kernel.pending[0].asked.size() == 31);
}

TEST_CASE("group, rule 9: one that is cancelled unasked, fails or comes back empty is armed again") {
  for (const NTSTATUS status : {STATUS_CANCELLED, STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_INSUFFICIENT_RESOURCES}) {
    CAPTURE(status);
    Hot f;
    CHECK(f.wait().empty());
    f.kernel.complete(base(hot(0)), 0, status);
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().pending_polls == 4);
    f.kernel.complete(base(hot(3)), AFD_POLL_RECEIVE);
    CHECK(f.readable() == Sockets{hot(3)});
  }
}

TEST_CASE("group: a wake and a cold socket are collected in the wait that the group would fill alone") {
  Hot f;
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

TEST_CASE("group: with a room smaller than the number of ready members everyone gets a turn") {
  constexpr int sockets = 40, cold = 10;
  for (const std::size_t room : {1u, 2u, 3u, 4u, 39u}) {
    for (const bool skips : {true, false}) {
      CAPTURE(room);
      CAPTURE(skips);
      Hot f(sockets, {.inline_completions = skips});
      for (int i = 0; i < sockets; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
      for (int i = 0; i < cold; i++) {
        f.members.emplace_back(f.add(a + 4 * i));
        f.kernel.ready[base(a + 4 * i)] = AFD_POLL_RECEIVE;
      }
      f.tell(50, room);
      for (int cycle = 0; cycle < 10; cycle++) {
        const auto told = f.tell((sockets + cold + static_cast<int>(room) - 1) / static_cast<int>(room), room);
        CHECK(told.size() == sockets + cold);
      }
    }
  }
}

TEST_CASE("group: a member that stays silent while others fire leaves") {
  Hot f;
  f.kernel.ready[base(hot(0))] = f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.tell(afd::GroupPolicy::idle_rounds_max).size() == 2);
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
