// SPDX-License-Identifier: MIT
//
// Each scenario runs repeatedly: the first kernel call fails, then the second, and so on, with every plausible status;
// then several in succession, for a shortage, also where a post can fail; then the same for allocations. Each run must
// end with all events reported and nothing left.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <reactor/make_poller.hpp>

#include "kernel/sim_system.hpp"
#include "sim/kernel_apart.hpp"
#include "sim/sweep_play.hpp"

#ifdef _WIN32
#include "kernel/real_system.hpp"
#endif

using namespace reactor::nt;
using namespace std::chrono_literals;
using sweep::Play;
using sweep::Scenario;

namespace {

// Not STATUS_NOT_FOUND: for a cancel that is no failure, but says that the packet is queued already.
constexpr std::array statuses{
    STATUS_INSUFFICIENT_RESOURCES,      STATUS_INVALID_HANDLE,
    STATUS_OBJECT_TYPE_MISMATCH,        STATUS_CANCELLED,
    reactor::sim::STATUS_ACCESS_DENIED, reactor::sim::STATUS_QUOTA_EXCEEDED,
    reactor::sim::STATUS_NO_MEMORY,
};
constexpr std::uint64_t calls_max = 2000;

/// The complaint, or an empty string.
std::string play(const Scenario& scenario, conformance::System& system, reactor::sim::FaultyKernel& faulty) {
  std::string complaint;
  try {
    Play play(system, faulty);
    scenario.run(play);
    complaint = play.complaint();
  } catch (const std::exception& error) {
    complaint = error.what();
  }
  if (complaint.empty()) complaint = system.complaint();
  if (const auto* simulated = dynamic_cast<reactor::sim::SimKernel*>(&system.kernel());
      simulated != nullptr && complaint.empty()) {
    auto& kernel = dynamic_cast<reactor::sim::SimKernel&>(system.kernel());
    if (kernel.held_requests() > 0) complaint = "the kernel holds a request after the end";
    if (kernel.open_handles() > 0) complaint = "a handle is left open";
  }
  return complaint;
}

struct Fault {
  NTSTATUS status;
  std::uint64_t in_a_row = 1;
  bool has_reserves = true;
  bool has_notifications = false;
};

/// The number of runs, of which the last one had no fault.
template <class SomeSystem>
std::uint64_t sweep_calls(const Scenario& scenario, const Fault& fault) {
  for (std::uint64_t n = 1; n <= calls_max; n++) {
    CAPTURE(n);
    SomeSystem system;
    reactor::sim::FaultyKernel faulty(system.kernel(), fault.has_reserves, fault.has_notifications);
    faulty.fault().set(n, fault.status, fault.in_a_row);
    CHECK(play(scenario, system, faulty) == "");
    if (!faulty.fault().has_failed()) return n;
  }
  FAIL("it never ends");
  return 0;
}

template <class SomeSystem>
std::uint64_t sweep_allocations(const Scenario& scenario, bool has_notifications) {
  for (std::uint64_t n = 1; n <= calls_max; n++) {
    CAPTURE(n);
    SomeSystem system;
    reactor::sim::FaultyKernel faulty(system.kernel(), true, has_notifications);
    reactor::sim::FailingNew::set(n);
    CHECK(play(scenario, system, faulty) == "");
    const bool has_failed = reactor::sim::FailingNew::has_failed();
    reactor::sim::FailingNew::set(0);
    if (!has_failed) return n;
  }
  FAIL("it never ends");
  return 0;
}

template <class SomeSystem>
void sweep_all(bool has_notifications = false) {
  std::uint64_t runs = 0;
  for (const Scenario& scenario : sweep::scenarios()) {
    CAPTURE(scenario.name);
    for (const NTSTATUS status : statuses) {
      CAPTURE(status);
      runs += sweep_calls<SomeSystem>(scenario, {status, 1, true, has_notifications});
    }
    // A wait tries twice before it fails, so several calls in succession have to fail.
    for (const std::uint64_t in_a_row : {2U, 3U, 5U}) {
      CAPTURE(in_a_row);
      runs += sweep_calls<SomeSystem>(scenario, {STATUS_INSUFFICIENT_RESOURCES, in_a_row, true, has_notifications});
    }
    for (const std::uint64_t in_a_row : {1U, 3U}) {
      CAPTURE(in_a_row);
      runs += sweep_calls<SomeSystem>(scenario, {reactor::sim::STATUS_NO_MEMORY, in_a_row, false, has_notifications});
    }
  }
  MESSAGE(runs, " runs, in each one kernel call failed");
}

template <class SomeSystem>
void sweep_all_allocations(bool has_notifications = false) {
  if (!reactor::sim::FailingNew::is_possible()) {
    MESSAGE("skipped: the race detector has its own operator new");
    return;
  }
  std::uint64_t runs = 0;
  for (const Scenario& scenario : sweep::scenarios()) {
    CAPTURE(scenario.name);
    runs += sweep_allocations<SomeSystem>(scenario, has_notifications);
  }
  MESSAGE(runs, " runs, in each one allocation failed");
}

}  // namespace

TEST_CASE("sweep: every kernel call fails once, simulated Windows") { sweep_all<conformance::SimWindows>(); }
TEST_CASE("sweep: every kernel call fails once, simulated Wine") { sweep_all<conformance::SimWine>(); }
TEST_CASE("sweep: every kernel call fails once, socket notifications") { sweep_all<conformance::SimWindows>(true); }
TEST_CASE("sweep: every allocation fails once, socket notifications") {
  sweep_all_allocations<conformance::SimWindows>(true);
}
TEST_CASE("sweep: every allocation fails once") { sweep_all_allocations<conformance::SimWindows>(); }

// A slot that was allocated for a failed add would never be released.
TEST_CASE("sweep: an add that fails for want of memory releases its slot") {
  if (!reactor::sim::FailingNew::is_possible()) return;
  reactor::sim::SimKernel kernel;
  reactor::Poller poller = reactor::poller_on(*reactor::afd::AfdBackend::create(kernel, {}));
  const auto add = [&](std::uint64_t nth) {
    const auto socket = static_cast<reactor::NativeSocket>(kernel.net().tcp());
    reactor::sim::FailingNew::set(nth);
    const reactor::sim::FailsHere here;
    auto added = poller.add(socket, reactor::Token{}, reactor::Interest::readable);
    reactor::sim::FailingNew::set(0);
    return added;
  };
  // As many as share a helper handle: the next one needs another handle, and memory for it.
  std::vector<reactor::Registration> registrations;
  for (std::uint32_t i = 0; i < reactor::afd::HelperHandles::sockets_per_handle; i++) {
    registrations.push_back(std::move(*add(0)));
  }
  for (std::uint64_t nth = 1; nth <= 2; nth++) {
    for (std::uint32_t i = 0; i < 2 * reactor::afd::Arena::slots_per_block; i++) {
      const auto added = add(nth);
      REQUIRE_FALSE(added.has_value());
      CHECK(added.error() == std::errc::not_enough_memory);
    }
  }
  // No slot of the blocks is in use.
  const auto blocks = poller.stats().arena_blocks;
  while (registrations.size() < blocks * reactor::afd::Arena::slots_per_block) {
    registrations.push_back(std::move(*add(0)));
  }
  CHECK(poller.stats().arena_slots == registrations.size());
  CHECK(poller.stats().arena_blocks == blocks);
}

// Without the probe it is not known whether a poll that completes synchronously has a packet as well.
TEST_CASE("sweep: the probe for inline completions is repeated after it failed for want of memory") {
  if (!reactor::sim::FailingNew::is_possible()) return;
  for (std::uint64_t nth = 1; nth <= 10; nth++) {
    CAPTURE(nth);
    reactor::sim::SimKernel kernel({.skips = false});
    reactor::sim::KernelApart apart(kernel);
    reactor::Poller poller = reactor::poller_on(*reactor::afd::AfdBackend::create(apart, {}));
    const auto socket = static_cast<reactor::NativeSocket>(kernel.net().tcp_pair().first);
    const auto add = [&] {
      const reactor::sim::FailsHere here;
      return poller.add(socket, reactor::Token{}, reactor::Interest::writable);
    };
    reactor::sim::FailingNew::set(nth);
    auto added = add();
    reactor::sim::FailingNew::set(0);
    if (!added) added = add();
    REQUIRE(added.has_value());
    std::array<reactor::Event, 4> buffer;
    for (int i = 0; i < 3; i++) CHECK(poller.wait(buffer, 0ms).value().size() == 1);
    CHECK(kernel.complaint() == "");
  }
}

#ifdef _WIN32
TEST_CASE("sweep: every kernel call fails once, the kernel of this system") {
  for (const Scenario& scenario : sweep::scenarios()) {
    if (!scenario.is_for_real_kernels) continue;
    CAPTURE(scenario.name);
    for (const NTSTATUS status : {STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_HANDLE}) {
      CAPTURE(status);
      CHECK(sweep_calls<conformance::RealSystem>(scenario, {status}) > 1);
    }
  }
}
#endif
