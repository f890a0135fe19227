// SPDX-License-Identifier: MIT
//
// What scripts/mutate.py broke and no test of a rule noticed: refused calls, numbers that mean another socket by now,
// packets of earlier requests.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/directions.hpp>
#include <reactor/afd/helper_handles.hpp>

#include "afd_fixture.hpp"
#include "sim/backend_fixture.hpp"

using namespace afd_fixture;

namespace {

NativeSocket hot(int i) { return NativeSocket{1000} + 4 * i; }

// So many that have fired again and again, out in one poll.
struct Group : Fixture {
  std::vector<Registration> members;

  explicit Group(int count) {
    for (int i = 0; i < count; i++) {
      members.push_back(add(hot(i)));
      kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
    }
    for (int round = 0; round < 4; round++) CHECK(wait().size() == static_cast<std::size_t>(count));
    kernel.ready.clear();
    CHECK(wait().empty());
    REQUIRE(kernel.pending.size() == 1);
    REQUIRE(kernel.pending[0].asked.size() == static_cast<std::size_t>(count));
  }
};

}  // namespace

TEST_CASE("a first poll that is refused as no socket's, though the socket is open, is asked once more") {
  Fixture f;
  auto registration = f.add(a);
  f.kernel.poll_refusals = {STATUS_INVALID_HANDLE};
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(a)) != nullptr);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("rule 5: a number that has another base by the time its first poll is refused has ended") {
  Fixture f;
  const HANDLE old_base = FakeKernel::handle(0x5000);
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = old_base;
  f.kernel.not_of_afd.insert(old_base);
  auto registration = f.add(a);
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = FakeKernel::handle(0x5004);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().registrations == 0);
}

TEST_CASE("rule 5: what was polled and then is no socket was closed, whatever has its number now") {
  for (const NTSTATUS status : {STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH}) {
    CAPTURE(status);
    Fixture f;
    auto registration = f.add(a, Interest::readable, Mode::oneshot);
    f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
    CHECK(f.readable() == Sockets{a});
    REQUIRE(registration.modify(Interest::readable));
    f.kernel.poll_refusals = {status};
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().registrations == 0);
  }
}

TEST_CASE("group, rule 5: a member that is added again starts as one that is polled alone") {
  Group f(3);
  f.members[1] = f.add(hot(1));
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(hot(1))) != nullptr);
  CHECK(f.kernel.pending_on(base(hot(1)))->asked.size() == 1);
}

TEST_CASE("epoll, group: after MOD by number the answer of a member counts") {
  FakeKernel kernel;
  const auto backend = *afd::AfdBackend::create(kernel, {});
  std::array<Event, 8> room;
  const afd::Watch watch{Token{1}, afd::directions_of(Interest::readable), Mode::level};
  for (int i = 0; i < 3; i++) {
    REQUIRE(backend->add(hot(i), watch).has_value());
    kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  }
  for (int round = 0; round < 6; round++) {
    const std::uint64_t groups = backend->stats().group_arms;
    for (int i = 0; i < 3; i++) REQUIRE(backend->modify(hot(i), watch).has_value());
    const auto waited = backend->wait(room, 0ns);
    REQUIRE(waited.has_value());
    CHECK(waited->events == 3);
    if (round >= 4) CHECK(backend->stats().group_arms == groups + 1);
  }
  backend->close();
  CHECK(kernel.violations == std::vector<std::string>{});
}

TEST_CASE("rule 6: a wake that the kernel refuses is paid by a call by number, too") {
  FakeKernel kernel;
  kernel.has_reserves = false;
  const auto backend = *afd::AfdBackend::create(kernel, {});
  kernel.post_refusals = 1;
  backend->wake();
  CHECK(kernel.packets.empty());
  CHECK(backend->remove(a).error() == std::errc::no_such_file_or_directory);
  CHECK(kernel.packets.size() == 1);
  backend->close();
}

TEST_CASE("rule 8: a cancel that comes after the poll has completed is no shortage") {
  reactor::sim::BackendFixture f;
  const auto [socket, peer] = f.kernel.net().tcp_pair();
  auto registration = f.add(socket, Interest::readable);
  CHECK(f.wait(0ns).empty());
  f.kernel.set_delays({}, {}, {5ms, 5ms});  // its packet is on its way
  REQUIRE(f.kernel.net().send(peer, 1) == 1u);
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  const auto waited = f.poller->wait(f.room, 0ns);
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 0);
  CHECK(f.wait(1s).size() == 1);
}

TEST_CASE("rule 8: a failure that finds the buffer full comes before what was marked meanwhile") {
  Group f(3);
  auto failing = f.add(a), cancelled = f.add(b);
  CHECK(f.wait().empty());
  f.kernel.complete(base(b), 0, STATUS_CANCELLED);
  FakeKernel::Entries all;
  for (int i = 0; i < 3; i++) all.push_back({base(hot(i)), AFD_POLL_RECEIVE, 0});
  f.kernel.complete(base(hot(0)), all);
  f.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000022));
  CHECK(f.readable(3) == Sockets{hot(0), hot(1), hot(2)});
  f.kernel.poll_refusals = {static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait(0ns, 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(a)});
}

TEST_CASE("rule 8: a port that the kernel cannot read for want of memory is an error of that wait alone") {
  Fixture f;
  const auto registration = f.add(a);
  f.kernel.dequeue_refusals = 1;
  CHECK(f.poller->wait(f.room, 0ns).error() == std::errc::not_enough_memory);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("rule 2: the end reads the port again when the kernel refused that") {
  Fixture f;
  const auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.dequeue_refusals = 3;
  f.poller.reset();
  CHECK(f.kernel.dequeue_refusals == 0);
  CHECK(f.kernel.packets.empty());
}

TEST_CASE("rule 2: what was removed is released when the kernel has given its poll back") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  REQUIRE(registration.remove());
  CHECK(f.kernel.cancels == 1);
  CHECK(f.poller->stats().arena_slots == 1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().arena_slots == 0);
}

TEST_CASE("rule 3: a packet with a slot's context under another key is not that slot's") {
  Fixture f;
  const auto registration = f.add(a);
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.post(*f.kernel.open.begin(), nullptr, 0x1234, f.kernel.pending_on(base(a))->context) == 0);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 1);
  CHECK(f.poller->stats().pending_polls == 1);
}

TEST_CASE("group, rule 3: a packet of an earlier request of the group is not that of the one that is out") {
  Group f(3);
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

TEST_CASE("group, rule 2: a removed member is released when the group has come back") {
  Group f(3);
  f.members.pop_back();
  CHECK(f.poller->stats().arena_slots == 3);
  f.kernel.complete(base(hot(0)), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{hot(0)});
  CHECK(f.poller->stats().arena_slots == 2);
}

TEST_CASE("group: while one is out, those that become hot are polled in another") {
  Group f(3);
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

TEST_CASE("helper handles that come and go take no more memory each time") {
  Fixture f;
  std::uint64_t bytes = 0;
  for (int round = 0; round < 40; round++) {
    std::vector<Registration> registrations;
    for (int i = 0; i < 200; i++) registrations.push_back(f.add(hot(i)));
    if (round == 1) bytes = f.poller->stats().memory_bytes;
    if (round > 1) CHECK(f.poller->stats().memory_bytes == bytes);
  }
}

TEST_CASE("a socket whose handle is beyond those that Windows gives is not supported") {
  Fixture f;
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = FakeKernel::handle(std::uintptr_t{1} << 28);
  CHECK(f.poller->add(a, Token{1}, Interest::readable).error() == std::errc::not_supported);
  CHECK(f.poller->stats().arena_slots == 0);
}
