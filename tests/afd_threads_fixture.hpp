// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <span>
#include <utility>

#include "afd_fixture.hpp"

namespace afd_fixture {

using std::chrono::nanoseconds;

struct Waited {
  std::set<NativeSocket> sockets;
  bool woken = false;
};

// Threads 1, 2, ...: thread 1 sleeps in a wait, and the others act meanwhile.
struct Threads : Fixture {
  using Fixture::Fixture;
  using Steps = std::deque<std::function<void()>>;

  /// A wait of that thread. No socket is reported twice in one wait, and all are readable.
  Waited wait_as(std::uint32_t thread, nanoseconds timeout = 0ns, std::size_t size = 64) {
    std::array<Event, 64> buffer;
    Waited waited;
    as(thread, [&] {
      const auto events = poller->wait(std::span(buffer).first(size), timeout);
      REQUIRE(events.has_value());
      waited.woken = events->woken();
      for (const Event& event : *events) {
        CHECK(event.readiness() == Readiness::readable);
        CHECK(waited.sockets.insert(static_cast<NativeSocket>(event.token())).second);
      }
    });
    return waited;
  }

  /// Thread 1 waits for 10 s. Each time that it falls asleep the next of `steps` happens: in one that is null, and
  /// after the last, time passes.
  Waited sleep(Steps steps) {
    kernel.when_asleep = [this, &steps] {
      if (steps.empty()) return false;
      const auto step = std::move(steps.front());
      steps.pop_front();
      if (!step) return false;
      step();
      return !steps.empty() || !kernel.packets.empty();
    };
    Waited waited = wait_as(1, 10s);
    kernel.when_asleep = nullptr;
    CHECK(steps.empty());
    return waited;
  }

  template <class Function>
  void as(std::uint32_t thread, Function&& function) {
    const std::uint32_t outer = std::exchange(kernel.thread, thread);
    function();
    kernel.thread = outer;
  }

  void receive(NativeSocket socket) {
    kernel.ready[base(socket)] = AFD_POLL_RECEIVE;
    if (is_armed(socket)) kernel.complete(base(socket), AFD_POLL_RECEIVE);
  }
  void read(NativeSocket socket) { kernel.ready.erase(base(socket)); }
  [[nodiscard]] bool is_armed(NativeSocket socket) const { return kernel.pending_on(base(socket)) != nullptr; }
};

}  // namespace afd_fixture
