// SPDX-License-Identifier: MIT
//
// What no other test noticed when scripts/mutate.py broke it, or reached as scripts/coverage.sh showed.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/arena.hpp>
#include <reactor/afd/helper_handles.hpp>

#include <reactor/afd/epoll_bits.hpp>
#include <reactor/make_poller.hpp>

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

TEST_CASE("group, rule 8: when its poll fails, each is armed alone, with its own trouble") {
  Group f(3);
  f.kernel.complete(base(hot(0)), 0, STATUS_INSUFFICIENT_RESOURCES);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending.size() == 3);
}

TEST_CASE("group: when it has been cancelled for one of its members, nobody cancels it again") {
  reactor::sim::SimKernel kernel;
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

TEST_CASE("group, rule 3: a packet for a member alone, or for a group that is not out, is nobody's") {
  Group f(3);
  const auto post = [&](afd::PacketKey key, void* context) {
    REQUIRE(f.kernel.post(*f.kernel.open.begin(), nullptr, std::to_underlying(key), context) == STATUS_SUCCESS);
  };
  void* const group = f.kernel.pending[0].context;
  // One that is polled alone shows how a context names a slot: by its index, which is the fourth.
  auto alone = f.add(a);
  CHECK(f.wait().empty());
  const auto* request = f.kernel.pending_on(base(a));
  REQUIRE(request != nullptr);
  auto* const first = static_cast<char*>(request->context) - 3 - 3 * (std::uintptr_t{1} << 32);
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

TEST_CASE("arena: what was freed in a full block is used again") {
  afd::Arena arena;
  std::vector<afd::Slot*> slots;
  for (std::uint32_t i = 0; i < afd::Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
  for (int i = 0; i < 10; i++) {
    arena.free(*slots[5]);
    slots[5] = &arena.allocate();
    CHECK(arena.blocks() == 1);
  }
}

TEST_CASE("helper handles that serve nobody are closed, but for one") {
  Fixture f;
  std::vector<Registration> registrations;
  for (int i = 0; i < 200; i++) registrations.push_back(f.add(hot(i)));
  const auto most = f.poller->stats().helper_handles;
  CHECK(most == (200 + afd::HelperHandles::sockets_per_handle - 1) / afd::HelperHandles::sockets_per_handle);
  registrations.clear();
  CHECK(f.poller->stats().helper_handles == 1);
}

TEST_CASE("an add that fails for want of a helper handle keeps no slot") {
  reactor::sim::SimKernel kernel(reactor::sim::Options{.faults = {.helper_refused = 1000}});
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  for (std::uint32_t i = 0; i < 4 * afd::Arena::slots_per_block; i++) {
    const auto socket = static_cast<NativeSocket>(kernel.net().tcp());
    CHECK_FALSE(poller.add(socket, Token{1}, Interest::readable).has_value());
  }
  CHECK(poller.stats().arena_blocks <= 1);
}

TEST_CASE("rule 2: the end cancels again what a cancel has not found") {
  reactor::sim::SimKernel kernel;
  Result<Registration> registration = failure(std::errc::bad_file_descriptor);  // outlives the Poller
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    std::array<Event, 4> room;
    const auto [socket, other] = kernel.net().tcp_pair();
    registration = poller.add(static_cast<NativeSocket>(socket), Token{1}, Interest::readable);
    REQUIRE(registration.has_value());
    REQUIRE(poller.wait(room, 0ns).has_value());
    REQUIRE(kernel.pending_polls() == 1);
    kernel.nth_fault().set(1, STATUS_NOT_FOUND);  // the next call: the end's
  }
  CHECK(kernel.nth_fault().has_struck());
  CHECK(kernel.held_requests() == 0);
  CHECK(kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a nudge and a wake that could not be posted are not lost when the kernel recovers") {
  reactor::sim::SimKernel kernel({.has_reserves = false});
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  std::array<Event, 4> room;
  Result<Registration> registration = failure(std::errc::bad_file_descriptor);
  kernel.set_when_asleep([&] {
    if (registration) return false;
    kernel.play_thread(2);
    kernel.set_faults({.post_refused = 1000});
    registration = poller.add(static_cast<NativeSocket>(kernel.net().udp()), Token{1}, Interest::writable);
    poller.waker().wake();
    kernel.play_thread(1);
    return true;
  });
  auto waited = poller.wait(room, 1ms);
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 1);  // no thread needed the nudge after all
  CHECK_FALSE(waited->woken());
  kernel.set_when_asleep(nullptr);
  kernel.set_faults({});
  waited = poller.wait(room);  // pays what is owed
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 1);
  if (!waited->woken()) waited = poller.wait(room);
  CHECK(waited->woken());
  CHECK(poller.stats().wakes == 1);
}

// Two are asleep: whoever comes back first has to pass it on.
TEST_CASE("retire ends the waits of all who are asleep") {
  reactor::sim::SimKernel kernel;
  const auto created = afd::AfdBackend::create(kernel, {});
  REQUIRE(created.has_value());
  auto& backend = dynamic_cast<afd::AfdBackend&>(**created);
  CHECK(backend.port() != nullptr);
  std::array<Event, 4> room;
  int asleep = 0;
  kernel.set_when_asleep([&] {
    asleep++;
    if (asleep == 1) CHECK(backend.wait(room, std::nullopt).error() == std::errc::bad_file_descriptor);
    if (asleep == 2) backend.retire();
    return asleep <= 2;
  });
  CHECK(backend.wait(room, std::nullopt).error() == std::errc::bad_file_descriptor);
  CHECK(asleep == 2);
  kernel.set_when_asleep(nullptr);
  backend.close();
}

// As above, but a packet that tells of nothing has filled the little room first.
TEST_CASE("retire ends a wait that has not come to its wake") {
  reactor::sim::SimKernel kernel;
  const auto created = afd::AfdBackend::create(kernel, {});
  REQUIRE(created.has_value());
  auto& backend = dynamic_cast<afd::AfdBackend&>(**created);
  const auto socket = kernel.net().tcp_pair().first;
  REQUIRE(backend.add(static_cast<NativeSocket>(socket), Token{1}, Interest::readable, Mode::level).has_value());
  std::array<Event, 1> room;
  kernel.set_when_asleep([&] {
    CHECK(kernel.end_poll(socket, STATUS_SUCCESS));
    backend.retire();
    return true;
  });
  CHECK(backend.wait(room, std::nullopt).error() == std::errc::bad_file_descriptor);
  kernel.set_when_asleep(nullptr);
  backend.close();
}

TEST_CASE("a socket that is none, and a registration whose Poller is gone, are bad_file_descriptor") {
  Fixture f;
  CHECK(f.poller->add(invalid_socket, Token{}, Interest::readable).error() == std::errc::bad_file_descriptor);
  auto registration = f.add(a, Interest::readable, Mode::edge);
  f.poller.reset();
  CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
  CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("rule 3: at the end, too, packets that are nobody's are dropped") {
  Fixture f;
  auto first = f.add(a), second = f.add(b);
  CHECK(f.wait().empty());
  void* const slot = f.kernel.pending_on(base(b))->context;
  f.kernel.complete(base(b), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{b});
  const HANDLE port = *f.kernel.open.begin();
  const auto poll = std::to_underlying(afd::PacketKey::poll);
  CHECK(f.kernel.post(port, nullptr, poll, nullptr) == 0);
  CHECK(f.kernel.post(port, nullptr, poll, slot) == 0);  // its poll is not out
  CHECK(f.kernel.post(port, nullptr, std::to_underlying(afd::PacketKey::group), slot) == 0);
  f.poller.reset();
  CHECK(f.kernel.pending.empty());
}

TEST_CASE("rule 2: memory that a kernel does not let anybody ask for is lost rather than freed") {
  static auto& kernel = *new reactor::sim::SimKernel;  // never destroyed: what it keeps stays reachable
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    const auto socket = static_cast<NativeSocket>(kernel.net().tcp_pair().first);
    const auto registration = poller.add(socket, Token{1}, Interest::readable);
    std::array<Event, 4> room;
    REQUIRE(poller.wait(room, 0ns).has_value());
    kernel.set_faults({.dequeue_refused = 1000});
    {
      const Poller ends = std::move(poller);
    }
  }
  CHECK(kernel.held_requests() == 1);
}

TEST_CASE("rule 2: a probe whose packet a kernel never gives out is leaked rather than freed") {
  static auto& kernel = *new FakeKernel;  // never destroyed: what it keeps stays reachable
  kernel.can_skip = false;
  kernel.dequeue_refusals = 2;
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    REQUIRE(poller.add(a, Token{1}, Interest::readable).has_value());
  }
  CHECK(kernel.dequeue_refusals == 0);
  REQUIRE(kernel.packets.size() == 1);
  REQUIRE(kernel.packets[0].request.has_value());
  kernel.packets[0].request->iosb->Status = STATUS_SUCCESS;  // a sanitizer report if it was freed
  CHECK(kernel.violations.empty());
}

TEST_CASE("where the probe can never look there are no inline completions") {
  reactor::sim::BackendFixture f({.faults = {.dequeue_refused = 1000}});
  const auto registration = f.add(f.kernel.net().udp(), Interest::writable);
  f.kernel.set_faults({});
  CHECK(f.wait(1s).size() == 1);
  CHECK(f.poller->stats().inline_completions == 0);
}

TEST_CASE("a poll whose cancel is refused again and again is left to end by itself") {
  reactor::sim::BackendFixture f;
  const auto [socket, peer] = f.kernel.net().tcp_pair();
  auto registration = f.add(socket, Interest::readable);
  CHECK(f.wait(0ns).empty());
  f.kernel.set_faults({.cancel_refused = 1000});
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  CHECK(f.poller->wait(f.room, 1ms).error() == std::errc::not_enough_memory);
  CHECK(f.poller->stats().cancel_calls > 0);
  f.kernel.set_faults({});
  REQUIRE(f.kernel.net().send(peer, 1) == 1u);
  CHECK(f.wait(1s).size() == 1);
  const auto events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].readiness() == (Readiness::readable | Readiness::writable));
}

TEST_CASE("group, rule 5: a member that was closed needs no room to end") {
  Group f(3);
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_LOCAL_CLOSE, 0}});
  CHECK(f.wait(0ns, 1).size() == 1);
  CHECK(f.poller->stats().registrations == 2);
}

TEST_CASE("group: a poll that failed and found the room full is asked again, first of all") {
  Group f(2);
  auto lone = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_RECEIVE, 0}});
  f.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000022));
  CHECK(f.wait(0ns, 2).size() == 2);
  f.kernel.poll_refusals = {static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(a)});
  CHECK(events[0].failed());
}

TEST_CASE("group: who was left out comes first the next time, though it was changed meanwhile") {
  Group f(2);
  auto lone = f.add(a);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(f.readable(1) == Sockets{a});  // in the call: so the next wait looks at the port first
  REQUIRE(f.members[1].modify(Interest::readable));
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable(1) == Sockets{hot(0)});
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.readable(1) == Sockets{hot(1)});
  CHECK(f.readable(1) == Sockets{a});
}
