// SPDX-License-Identifier: MIT
//
// Groups whose poll is refused, fails or is cancelled, whose members are closed, and packets that are not theirs.
#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

#include <reactor/afd/directions.hpp>
#include <reactor/afd/slot.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("group: a packet with the group key and an unknown context is counted and dropped") {
  HotSockets f;
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

TEST_CASE("group: entries of the answer that belong to no member, or are more than were asked for, are ignored") {
  ArmedGroup f(3);
  constexpr ULONG readable = AFD_POLL_RECEIVE;
  f.kernel.complete(base(hot(0)), FakeKernel::Entries{{base(a), readable, 0}});
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 1);
  const FakeKernel::Entry same{base(hot(1)), readable, 0};
  f.kernel.complete(base(hot(0)), FakeKernel::Entries{same, same, same, {base(hot(2)), readable, 0}});
  CHECK(f.readable() == Sockets{hot(1)});
}

TEST_CASE("group: a closed member makes the kernel refuse the poll, and is the only one that is retired") {
  for (const bool has_fired : {true, false}) {
    CAPTURE(has_fired);
    HotSockets f;
    CHECK(f.wait().empty());
    f.kernel.complete(base(hot(has_fired ? 1 : 0)), AFD_POLL_RECEIVE);
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

TEST_CASE("group: after repeated refusals because of closed members, sockets are polled alone for a while") {
  HotSockets f(8);
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

TEST_CASE("group: when its poll is refused, members are polled alone, and an error is an event of one of them") {
  HotSockets f;
  f.kernel.poll_refusals = {STATUS_INSUFFICIENT_RESOURCES, 0, static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(f.poller->stats().registrations == 4);
}

TEST_CASE("group: when members are closed one by one, the others stay in the group") {
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

TEST_CASE("group: a poll that was cancelled unasked, failed or completed empty is submitted again") {
  for (const NTSTATUS status : {STATUS_CANCELLED, STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_INSUFFICIENT_RESOURCES}) {
    CAPTURE(status);
    HotSockets f;
    CHECK(f.wait().empty());
    f.kernel.complete(base(hot(0)), 0, status);
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().pending_polls == 4);
    f.kernel.complete(base(hot(3)), AFD_POLL_RECEIVE);
    CHECK(f.readable() == Sockets{hot(3)});
  }
}

TEST_CASE("group: a packet of an earlier poll of the group is not taken for the pending one") {
  ArmedGroup f(3);
  void* const earlier = f.kernel.pending[0].context;
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending.size() == 1);
  REQUIRE(f.kernel.post(*f.kernel.open.begin(), nullptr, std::to_underlying(afd::PacketKey::group), earlier) == 0);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 1);
  CHECK(f.poller->stats().pending_polls == 3);
}

TEST_CASE("group: the slot of a removed member is released when the group's poll completes") {
  ArmedGroup f(3);
  f.members.pop_back();
  CHECK(f.poller->stats().arena_slots == 3);
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  CHECK(f.poller->stats().arena_slots == 2);
}

TEST_CASE("group: when its poll fails, each member is polled alone") {
  ArmedGroup f(3);
  f.kernel.complete(base(hot(0)), 0, STATUS_INSUFFICIENT_RESOURCES);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending.size() == 3);
}

TEST_CASE("group: a packet for a member alone, or for a group that is not pending, is unrecognised") {
  ArmedGroup f(3);
  const auto post = [&](afd::PacketKey key, void* context) {
    REQUIRE(f.kernel.post(*f.kernel.open.begin(), nullptr, std::to_underlying(key), context) == STATUS_SUCCESS);
  };
  void* const group = f.kernel.pending[0].context;
  // The context of a poll of one socket has the index of its slot, here the fourth, and a generation.
  auto alone = f.add(a);
  CHECK(f.wait().empty());
  const auto* request = f.kernel.pending_on(base(a));
  REQUIRE(request != nullptr);
  auto* const first = static_cast<char*>(request->context) - 3 - 3 * one_generation;
  post(afd::PacketKey::poll, first);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 1);
  f.members.clear();
  f.kernel.complete(base(hot(1)), AFD_POLL_RECEIVE);
  CHECK(f.wait().empty());
  post(afd::PacketKey::group, group);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 2);
}
