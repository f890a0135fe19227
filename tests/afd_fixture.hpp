// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>
#include <reactor/poller.hpp>

#include "fake_kernel.hpp"

// A Poller on the AFD backend over FakeKernel, and a few socket numbers.
namespace afd_fixture {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

inline constexpr auto a = NativeSocket{100}, b = NativeSocket{104}, c = NativeSocket{108};

inline HANDLE base(NativeSocket socket) { return FakeKernel::handle(static_cast<std::uintptr_t>(socket)); }

struct Fixture {
  FakeKernel kernel;
  std::optional<Poller> poller;
  std::array<Event, 64> room;

  explicit Fixture(const PollerOptions& options = {}, bool has_reserves = true) {
    kernel.has_reserves = has_reserves;
    poller.emplace(poller_on(*afd::AfdBackend::create(kernel, options)));
  }
  ~Fixture() {
    poller.reset();
    CHECK(kernel.violations == std::vector<std::string>{});
    CHECK(kernel.open.size() == 0);
    if (!kernel.keeps_what_is_cancelled) CHECK(kernel.pending.size() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Registration add(NativeSocket socket, Interest interest = Interest::readable, Mode mode = Mode::level) {
    auto added = poller->add(socket, Token{static_cast<std::uint64_t>(socket)}, interest, mode);
    REQUIRE(added.has_value());
    return std::move(*added);
  }
  std::vector<Event> wait(std::chrono::nanoseconds timeout = 0ns, std::size_t size = 64) {
    const auto told = poller->wait(std::span(room).first(size), timeout);
    REQUIRE(told.has_value());
    return {told->begin(), told->end()};
  }
  // The sockets that a wait tells of, and nothing else than that they are readable.
  std::multiset<NativeSocket> readable(std::size_t size = 64) {
    std::multiset<NativeSocket> sockets;
    for (const Event& event : wait(0ns, size)) {
      CHECK(event.readiness() == Readiness::readable);
      sockets.insert(static_cast<NativeSocket>(event.token()));
    }
    return sockets;
  }
};

using Sockets = std::multiset<NativeSocket>;

}  // namespace afd_fixture
