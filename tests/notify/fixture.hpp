// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <utility>
#include <vector>

#include <reactor/notify/notify_backend.hpp>
#include <reactor/sim/sim_kernel.hpp>
#include "afd/fixture.hpp"

// A Poller on notifications, or on polls alone, over a simulated kernel.
namespace fixture {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;
using sim::SocketNumber;

struct Fixture : afd_fixture::BackendFixture<sim::SimKernel> {
  sim::SimNet& net = kernel.net();

  explicit Fixture(const sim::Options& options = {}, bool is_notified = true)
      : BackendFixture(WithoutPoller(), options) {
    poller.emplace(another(is_notified));
  }
  ~Fixture() {
    poller.reset();
    CHECK(kernel.notices() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Poller another(bool is_notified = true) {
    if (!is_notified) return poller_on(*afd::AfdBackend::create(kernel, {}));
    return poller_on(*notify::NotifyBackend::create(kernel, {}));
  }
  std::vector<Event> wait(std::chrono::nanoseconds timeout = 0ns, std::size_t size = 256) {
    return BackendFixture::wait(timeout, size);
  }
  /// The one event of a wait, which is of that token.
  Readiness one(Token token, std::chrono::nanoseconds timeout = 0ns) {
    const auto events = wait(timeout);
    REQUIRE(events.size() == 1);
    CHECK(events[0].token() == token);
    return events[0].readiness();
  }
  Readiness one(SocketNumber socket, std::chrono::nanoseconds timeout = 0ns) { return one(Token{socket}, timeout); }
  void send(SocketNumber to_peer_of, std::size_t bytes = 1) { REQUIRE(net.send(to_peer_of, bytes) == bytes); }
  void read(SocketNumber socket) { REQUIRE(net.recv(socket, 1 << 20).has_value()); }
  [[nodiscard]] std::uint64_t polls() { return kernel.counts()[std::to_underlying(sim::Call::poll)]; }
  [[nodiscard]] std::uint64_t changes() { return kernel.counts()[std::to_underlying(sim::Call::notify)]; }
  [[nodiscard]] std::uint64_t calls() { return sim::SimKernel::total(kernel.counts()); }
};

/// Runs it for each reading of what the documentation leaves open, one at a time the other way.
template <class Function>
void for_each_reading(Function&& function) {
  constexpr std::array readings{&sim::NoticeReadings::fin_is_in,         &sim::NoticeReadings::reset_is_hangup,
                                &sim::NoticeReadings::unreachable_is_in, &sim::NoticeReadings::keeps_queued,
                                &sim::NoticeReadings::ntstatus,          &sim::NoticeReadings::refusal_ends_call,
                                &sim::NoticeReadings::removing_refuses,  &sim::NoticeReadings::remove_checks_key};
  for (std::size_t i = 0; i <= readings.size(); i++) {
    CAPTURE(i);
    sim::NoticeReadings chosen;
    if (i < readings.size()) chosen.*readings[i] = !(chosen.*readings[i]);
    function(sim::Options{.notices = chosen});
  }
}

}  // namespace fixture
