// SPDX-License-Identifier: MIT
//
// Calls that the kernel refuses: errors of one socket, shortages of memory, sockets of other providers, polls that
// complete without events.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include <reactor/afd/directions.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

constexpr auto access_denied = static_cast<NTSTATUS>(0xC0000022);
constexpr std::array shortages{
    static_cast<NTSTATUS>(0xC0000017),  // STATUS_NO_MEMORY
    static_cast<NTSTATUS>(0xC0000044),  // STATUS_QUOTA_EXCEEDED
    STATUS_INSUFFICIENT_RESOURCES,
    static_cast<NTSTATUS>(0xC00000A1),  // STATUS_WORKING_SET_QUOTA
    static_cast<NTSTATUS>(0xC000011F),  // STATUS_TOO_MANY_OPENED_FILES
    static_cast<NTSTATUS>(0xC000012C),  // STATUS_PAGEFILE_QUOTA_EXCEEDED
    static_cast<NTSTATUS>(0xC000012D),  // STATUS_COMMITMENT_LIMIT
    static_cast<NTSTATUS>(0xC0000205),  // STATUS_INSUFF_SERVER_RESOURCES
};

}  // namespace

TEST_CASE("one bad socket never fails wait: a refused poll is a failed event of its socket") {
  Fixture f;
  auto bad = f.add(a);
  auto good = f.add(b);
  f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  f.kernel.poll_refusals = {access_denied, 0};
  auto events = f.wait();
  REQUIRE(events.size() == 2);
  CHECK(events[0].token() == Token{100});
  CHECK(events[0].failed());
  CHECK(events[0].error() == std::errc::permission_denied);
  CHECK(events[1].token() == Token{104});
  CHECK(f.readable() == Sockets{b});
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);  // it was submitted again
  CHECK(f.readable() == Sockets{a, b});
}

TEST_CASE("one bad socket never fails wait: a socket that was closed while disarmed is retired, and the others go on") {
  Fixture f;
  auto gone = f.add(a);
  auto good = f.add(b);
  f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  f.kernel.closed.insert(base(a));
  CHECK(f.readable() == Sockets{b});
  CHECK(f.poller->stats().registrations == 1);
}

TEST_CASE("one bad socket never fails wait: with Mode::edge a failed poll disarms the reported directions only") {
  Fixture f;
  auto registration = f.add(a, Interest::readable | Interest::priority, Mode::edge);
  f.kernel.poll_refusals = {access_denied};
  CHECK(f.wait().size() == 1);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_RECEIVE_EXPEDITED;
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].readiness() == Readiness::priority);
}

TEST_CASE("one bad socket never fails wait: a shortage is not reported as an event, and the socket is armed later") {
  for (const NTSTATUS status : shortages) {
    CAPTURE(status);
    Fixture f;
    auto starved = f.add(a, Interest::readable, Mode::oneshot);
    auto good = f.add(b);
    f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
    f.kernel.poll_refusals = {status, 0};
    CHECK(f.readable() == Sockets{b});
    f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
    CHECK(f.readable() == Sockets{a, b});
  }
}

TEST_CASE("one bad socket never fails wait: without memory and without events it fails after a pause") {
  Fixture f;
  auto starved = f.add(a);
  f.kernel.poll_refusals = {STATUS_INSUFFICIENT_RESOURCES, STATUS_INSUFFICIENT_RESOURCES};
  const auto before = f.kernel.clock;
  const auto waited = f.poller->wait(f.buffer);
  REQUIRE_FALSE(waited.has_value());
  CHECK(waited.error() == std::errc::not_enough_memory);
  CHECK(f.kernel.clock - before >= 10ms);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("one bad socket never fails wait: the next wait repeats a cancel that was refused for want of memory") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.cancel_refusals = 2;
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  CHECK(f.poller->wait(f.buffer, 0ns).error() == std::errc::not_enough_memory);
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 3);
  CHECK(f.kernel.pending_on(base(a))->mask() ==
        afd::poll_mask(afd::directions_of(Interest::readable | Interest::writable)));
}

TEST_CASE("flat cost: while the code of a layered provider runs, other threads are not kept waiting") {
  Fixture f;
  f.kernel.not_of_afd.insert(base(a));
  int asked = 0, free = 0;
  std::atomic<bool> has_returned = false;
  std::thread other;
  f.kernel.when_asked_for_base = [&] {
    if (other.joinable()) other.join();
    has_returned = false;
    asked++;
    other = std::thread([&] {
      static_cast<void>(f.poller->stats());
      has_returned = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!has_returned && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    if (has_returned) free++;
  };
  const auto registration = f.add(a);
  CHECK(f.wait().size() == 1);  // that it is no socket of AFD's
  if (other.joinable()) other.join();
  CHECK(asked == 2);
  CHECK(free == asked);
}

TEST_CASE("a socket that is not AFD's is reported as failed, once") {
  Fixture f;
  f.kernel.not_of_afd.insert(base(a));
  auto foreign = f.add(a);
  auto good = f.add(b);
  f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  const auto events = f.wait();
  REQUIRE(events.size() == 2);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(a)});
  CHECK(events[0].readiness() == (Readiness::readable | Readiness::writable | Readiness::failed));
  CHECK(events[0].error() == std::errc::not_supported);
  CHECK(f.readable() == Sockets{b});
  CHECK(foreign.remove().has_value());
}

TEST_CASE("no spin: polls that complete at once without events are submitted again after growing pauses") {
  Fixture f;
  auto registration = f.add(a);
  f.kernel.completes_empty.insert(base(a));
  const int before = f.kernel.polls;
  CHECK(f.wait(1s).empty());
  // Four at once, then after 1, 2, 4, ... 64 ms, and every 64 ms from then on.
  CHECK(f.kernel.polls - before <= 4 + 7 + 1000 / 64 + 5);
}

TEST_CASE("no spin: with Interest::none a hang-up is reported once, in level mode too") {
  Fixture f;
  auto registration = f.add(a, Interest::none);
  f.kernel.ready[base(a)] = AFD_POLL_ABORT;
  CHECK(f.wait().size() == 1);
  const auto before = f.poller->stats().kernel_calls();
  CHECK(f.wait(1h).empty());
  CHECK(f.poller->stats().kernel_calls() - before == 1);
  REQUIRE(registration.modify(Interest::none));
  CHECK(f.wait().size() == 1);
  REQUIRE(registration.modify(Interest::readable));
  CHECK(f.wait().size() == 1);
  CHECK(f.wait().size() == 1);
}

TEST_CASE("a first poll that is refused with INVALID_HANDLE is submitted once more while the socket is open") {
  Fixture f;
  auto registration = f.add(a);
  f.kernel.poll_refusals = {STATUS_INVALID_HANDLE};
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(a)) != nullptr);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("one bad socket never fails wait: a cancel after the completion is not taken for a shortage") {
  SimFixture f;
  const auto [socket, peer] = f.kernel.net().tcp_pair();
  auto registration = f.add(socket, Interest::readable);
  CHECK(f.wait(0ns).empty());
  f.kernel.set_delays({}, {}, {5ms, 5ms});  // its packet is on its way
  REQUIRE(f.kernel.net().send(peer, 1) == 1u);
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  const auto waited = f.poller->wait(f.buffer, 0ns);
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 0);
  CHECK(f.wait(1s).size() == 1);
}

TEST_CASE("a dequeue that is refused for want of memory fails that wait only") {
  Fixture f;
  const auto registration = f.add(a);
  f.kernel.dequeue_refusals = 1;
  CHECK(f.poller->wait(f.buffer, 0ns).error() == std::errc::not_enough_memory);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("add: a handle larger than Windows assigns is not_supported") {
  Fixture f;
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = FakeKernel::handle(std::uintptr_t{1} << 28);
  CHECK(f.poller->add(a, Token{1}, Interest::readable).error() == std::errc::not_supported);
  CHECK(f.poller->stats().arena_slots == 0);
}

TEST_CASE("invalid_socket, and a registration whose Poller was destroyed, are bad_file_descriptor") {
  Fixture f;
  CHECK(f.poller->add(invalid_socket, Token{}, Interest::readable).error() == std::errc::bad_file_descriptor);
  auto registration = f.add(a, Interest::readable, Mode::edge);
  f.poller.reset();
  CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
  CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("a poll whose cancel is always refused stays pending until it completes") {
  SimFixture f;
  const auto [socket, peer] = f.kernel.net().tcp_pair();
  auto registration = f.add(socket, Interest::readable);
  CHECK(f.wait(0ns).empty());
  f.kernel.set_faults({.cancel_refused = 1000});
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  CHECK(f.poller->wait(f.buffer, 1ms).error() == std::errc::not_enough_memory);
  CHECK(f.poller->stats().cancel_calls > 0);
  f.kernel.set_faults({});
  REQUIRE(f.kernel.net().send(peer, 1) == 1u);
  CHECK(f.wait(1s).size() == 1);
  const auto events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].readiness() == (Readiness::readable | Readiness::writable));
}

TEST_CASE("a poll that returns a warning status is pending until its packet") {
  Fixture f;
  auto registration = f.add(a);
  constexpr auto warning = static_cast<NTSTATUS>(0x80000005);
  f.kernel.poll_refusals = {warning};
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().pending_polls == 1);
  // FakeKernel queues no packet for a poll that it refuses. A real kernel would queue this one.
  const auto key = FakeKernel::handle(std::to_underlying(afd::PacketKey::poll));
  f.kernel.packets.push_back({*f.kernel.open.begin(), {key, f.kernel.last_context, {{warning}, 0}}, std::nullopt, {}});
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(f.poller->stats().pending_polls == 0);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("a cancel that the kernel refuses is repeated") {
  SimFixture f;
  const auto [a, b] = f.kernel.net().tcp_pair();
  auto registration = f.add(a);
  CHECK(f.wait(0ms).size() == 0);
  f.kernel.nth_fault().set(1, STATUS_INSUFFICIENT_RESOURCES);
  REQUIRE(registration.modify(Interest::writable));
  CHECK(f.wait(0ms).size() == 1);
  CHECK(f.buffer[0].writable());
  CHECK(f.kernel.nth_fault().has_failed());
}
