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

TEST_CASE("rule 2: a Poller that ends takes everything back from the kernel first") {
  FakeKernel kernel;
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    std::vector<Registration> registrations;
    for (int i = 0; i < 400; i++) {
      registrations.push_back(*poller.add(static_cast<NativeSocket>(1000 + 4 * i), Token{}, Interest::readable));
    }
    std::array<Event, 4> room;
    CHECK(poller.wait(room, 0ns)->empty());
    CHECK(kernel.pending.size() == 400);
    CHECK(poller.stats().helper_handles == 4);
    Poller moved = std::move(poller);
  }
  CHECK(kernel.pending.empty());
  CHECK(kernel.packets.empty());
  CHECK(kernel.open.empty());
  CHECK(kernel.violations.empty());
}

TEST_CASE("rule 2: memory that a kernel does not give back is lost rather than freed") {
  static FakeKernel& kernel = *new FakeKernel;  // never destroyed: what it keeps stays reachable
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    auto registration = poller.add(a, Token{}, Interest::readable);
    std::array<Event, 4> room;
    CHECK(poller.wait(room, 0ns)->empty());
    kernel.keeps_what_is_cancelled = true;
    const auto before = kernel.clock;
    {
      const Poller ends = std::move(poller);
    }
    CHECK(kernel.clock - before <= 10s);  // and whatever waits has a deadline
  }
  REQUIRE(kernel.pending.size() == 1);
  kernel.pending[0].iosb->Status = STATUS_CANCELLED;  // a sanitizer report if it was freed
  CHECK(kernel.violations.empty());
}

TEST_CASE("group, rule 2: a Poller that ends takes the group back first, or leaves it to a kernel that keeps it") {
  for (const bool keeps : {false, true}) {
    CAPTURE(keeps);
    HotSockets f;
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

TEST_CASE("rule 2: the end reads the port again when the kernel refused that") {
  Fixture f;
  const auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.dequeue_refusals = 3;
  f.poller.reset();
  CHECK(f.kernel.dequeue_refusals == 0);
  CHECK(f.kernel.packets.empty());
}

TEST_CASE("rule 2: the end cancels again what a cancel has not found") {
  sim::SimKernel kernel;
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

// Two are asleep: whoever comes back first has to pass it on.
TEST_CASE("retire ends the waits of all who are asleep") {
  sim::SimKernel kernel;
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
  sim::SimKernel kernel;
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
  static auto& kernel = *new sim::SimKernel;  // never destroyed: what it keeps stays reachable
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

TEST_CASE("rule 3: a packet that claims to be a member's own poll does not disturb the end") {
  ArmedGroup f(4);
  auto* group = reinterpret_cast<afd::Group*>(f.kernel.pending[0].iosb);
  const afd::Slot& slot = *group->all[0].slot;
  auto* const member_context = reinterpret_cast<void*>((slot.asked_for << 32) + slot.index + 1);
  const HANDLE port = *f.kernel.open.begin();
  REQUIRE(f.kernel.post(port, nullptr, std::to_underlying(afd::PacketKey::poll), member_context) == 0);
  const auto before = f.kernel.clock;
  f.poller.reset();
  CHECK(f.kernel.clock == before);  // nothing was waited for in vain
  f.members.clear();
}
