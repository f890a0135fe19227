// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim {

/// A Poller of the AFD backend over a simulated kernel. At its end the kernel must have seen nothing wrong and hold
/// nothing.
struct BackendFixture {
  SimKernel kernel;
  std::optional<reactor::Poller> poller;
  std::array<reactor::Event, 64> room;

  explicit BackendFixture(const Options& options = {}, const reactor::PollerOptions& how = {}) : kernel(options) {
    poller.emplace(reactor::poller_on(*reactor::afd::AfdBackend::create(kernel, how)));
  }
  ~BackendFixture() {
    poller.reset();
    CHECK(kernel.complaint() == "");
    CHECK(kernel.open_handles() == 0);
    CHECK(kernel.held_requests() == 0);
  }
  BackendFixture(const BackendFixture&) = delete;
  BackendFixture& operator=(const BackendFixture&) = delete;

  reactor::Registration add(SocketNumber socket, reactor::Interest interest,
                            reactor::Mode mode = reactor::Mode::level) {
    auto added = poller->add(static_cast<reactor::NativeSocket>(socket), reactor::Token{socket}, interest, mode);
    REQUIRE(added.has_value());
    return std::move(*added);
  }
  std::vector<reactor::Event> wait(std::chrono::nanoseconds timeout) {
    const auto waited = poller->wait(room, timeout);
    if (!waited) {  // with fault injection it may have had nothing to report for want of memory
      REQUIRE(waited.error() == std::errc::not_enough_memory);
      return {};
    }
    return {waited->begin(), waited->end()};
  }
};

}  // namespace reactor::sim
