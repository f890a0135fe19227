// SPDX-License-Identifier: MIT
//
// How a Poller ends: retire ends the waits, and close takes all memory back from the kernel or leaks it.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/group.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/make_poller.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("close: the kernel holds nothing any more when a Poller is destroyed") {
  FakeKernel kernel;
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    std::vector<Registration> registrations;
    for (int i = 0; i < 400; i++) {
      registrations.push_back(*poller.add(static_cast<NativeSocket>(1000 + 4 * i), Token{}, Interest::readable));
    }
    std::array<Event, 4> buffer;
    CHECK(poller.wait(buffer, 0ns)->empty());
    CHECK(kernel.pending.size() == 400);
    CHECK(poller.stats().helper_handles == 4);
    Poller moved = std::move(poller);
  }
  CHECK(kernel.pending.empty());
  CHECK(kernel.packets.empty());
  CHECK(kernel.open.empty());
  CHECK(kernel.violations.empty());
}

TEST_CASE("close: memory of a poll that never completes is leaked, since the kernel may still write to it") {
  static FakeKernel& kernel = *new FakeKernel;  // never destroyed: the leaked memory stays reachable
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    auto registration = poller.add(a, Token{}, Interest::readable);
    std::array<Event, 4> buffer;
    CHECK(poller.wait(buffer, 0ns)->empty());
    kernel.keeps_what_is_cancelled = true;
    const auto before = kernel.clock;
    {
      const Poller ends = std::move(poller);
    }
    CHECK(kernel.clock - before <= 10s);  // the deadline of close
  }
  REQUIRE(kernel.pending.size() == 1);
  kernel.pending[0].iosb->Status = STATUS_CANCELLED;  // a sanitizer report if it was freed
  CHECK(kernel.violations.empty());
}

TEST_CASE("close: a group's poll is cancelled and awaited, and its memory leaked if it never completes") {
  for (const bool keeps : {false, true}) {
    CAPTURE(keeps);
    HotSockets f;
    CHECK(f.wait().empty());
    f.kernel.keeps_what_is_cancelled = keeps;
    f.poller.reset();
    CHECK(f.kernel.pending.size() == (keeps ? 1 : 0));
    static auto& kept = *new std::vector<void*>;  // still referenced, so not a leak for the sanitizer
    for (const auto& request : f.kernel.pending) {
      kept.push_back(request.iosb);
      request.iosb->Status = 0;
      request.poll->NumberOfHandles = 0;
      reinterpret_cast<afd::Group*>(request.iosb)->all[0].slot->iosb.Status =
          0;  // the slots of its members are alive too
    }
    f.kernel.keeps_what_is_cancelled = false;
    f.kernel.pending.clear();
  }
}

TEST_CASE("close: a dequeue that the kernel refuses is tried again") {
  Fixture f;
  const auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.dequeue_refusals = 3;
  f.poller.reset();
  CHECK(f.kernel.dequeue_refusals == 0);
  CHECK(f.kernel.packets.empty());
}

TEST_CASE("close: a cancel that returns NOT_FOUND is tried again while the poll is pending") {
  reactor::sim::SimKernel kernel;
  Result<Registration> registration = failure(std::errc::bad_file_descriptor);  // outlives the Poller
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    std::array<Event, 4> buffer;
    const auto [socket, other] = kernel.net().tcp_pair();
    registration = poller.add(static_cast<NativeSocket>(socket), Token{1}, Interest::readable);
    REQUIRE(registration.has_value());
    REQUIRE(poller.wait(buffer, 0ns).has_value());
    REQUIRE(kernel.pending_polls() == 1);
    kernel.nth_fault().set(1, STATUS_NOT_FOUND);  // the next call is the cancel by close
  }
  CHECK(kernel.nth_fault().has_failed());
  CHECK(kernel.held_requests() == 0);
  CHECK(kernel.violations() == std::vector<std::string>{});
}

// Two waits sleep: the first that returns has to end the other.
TEST_CASE("retire: all sleeping waits end with bad_file_descriptor") {
  reactor::sim::SimKernel kernel;
  const auto created = afd::AfdBackend::create(kernel, {});
  REQUIRE(created.has_value());
  auto& backend = dynamic_cast<afd::AfdBackend&>(**created);
  CHECK(backend.port() != nullptr);
  std::array<Event, 4> buffer;
  int asleep = 0;
  kernel.set_when_asleep([&] {
    asleep++;
    if (asleep == 1) CHECK(backend.wait(buffer, std::nullopt).error() == std::errc::bad_file_descriptor);
    if (asleep == 2) backend.retire();
    return asleep <= 2;
  });
  CHECK(backend.wait(buffer, std::nullopt).error() == std::errc::bad_file_descriptor);
  CHECK(asleep == 2);
  kernel.set_when_asleep(nullptr);
  backend.close();
}

// Before the packet of retire comes one without an event, which fills the wait's buffer of one packet.
TEST_CASE("retire: a wait ends although it has not dequeued the packet of retire yet") {
  reactor::sim::SimKernel kernel;
  const auto created = afd::AfdBackend::create(kernel, {});
  REQUIRE(created.has_value());
  auto& backend = dynamic_cast<afd::AfdBackend&>(**created);
  const auto socket = kernel.net().tcp_pair().first;
  REQUIRE(backend.add(static_cast<NativeSocket>(socket), Token{1}, Interest::readable, Mode::level).has_value());
  std::array<Event, 1> buffer;
  kernel.set_when_asleep([&] {
    CHECK(kernel.end_poll(socket, STATUS_SUCCESS));
    backend.retire();
    return true;
  });
  CHECK(backend.wait(buffer, std::nullopt).error() == std::errc::bad_file_descriptor);
  kernel.set_when_asleep(nullptr);
  backend.close();
}

TEST_CASE("close: unrecognised packets are dropped") {
  Fixture f;
  auto first = f.add(a), second = f.add(b);
  CHECK(f.wait().empty());
  void* const slot = f.kernel.pending_on(base(b))->context;
  f.kernel.complete(base(b), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{b});
  const HANDLE port = *f.kernel.open.begin();
  const auto poll = std::to_underlying(afd::PacketKey::poll);
  CHECK(f.kernel.post(port, nullptr, poll, nullptr) == 0);
  CHECK(f.kernel.post(port, nullptr, poll, slot) == 0);  // its poll is not pending
  CHECK(f.kernel.post(port, nullptr, std::to_underlying(afd::PacketKey::group), slot) == 0);
  f.poller.reset();
  CHECK(f.kernel.pending.empty());
}

TEST_CASE("close: memory of a poll is leaked when the kernel refuses each dequeue") {
  static auto& kernel = *new reactor::sim::SimKernel;  // never destroyed: the leaked memory stays reachable
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    const auto socket = static_cast<NativeSocket>(kernel.net().tcp_pair().first);
    const auto registration = poller.add(socket, Token{1}, Interest::readable);
    std::array<Event, 4> buffer;
    REQUIRE(poller.wait(buffer, 0ns).has_value());
    kernel.set_faults({.dequeue_refused = 1000});
    {
      const Poller ends = std::move(poller);
    }
  }
  CHECK(kernel.held_requests() == 1);
}

TEST_CASE("close: a forged packet for a member of a group does not delay it") {
  ArmedGroup f(4);
  auto* group = reinterpret_cast<afd::Group*>(f.kernel.pending[0].iosb);
  const afd::Slot& slot = *group->all[0].slot;
  auto* const member_context =
      reinterpret_cast<void*>(static_cast<std::uintptr_t>(slot.asked_for) * one_generation + slot.index + 1);
  const HANDLE port = *f.kernel.open.begin();
  REQUIRE(f.kernel.post(port, nullptr, std::to_underlying(afd::PacketKey::poll), member_context) == 0);
  const auto before = f.kernel.clock;
  f.poller.reset();
  CHECK(f.kernel.clock == before);  // close did not wait until its deadline
  f.members.clear();
}
