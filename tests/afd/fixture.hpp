// SPDX-License-Identifier: MIT
//
// What a test of the AFD backend begins with: a Poller over a kernel. Fixture has a FakeKernel: the test sets what is
// ready and completes polls by hand. SimFixture has a SimKernel, in which sockets connect, send and close, and packets
// take time.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/group_policy.hpp>
#include <reactor/make_poller.hpp>
#include <reactor/poller.hpp>

#include <reactor/sim/sim_kernel.hpp>
#include "fake_kernel.hpp"

namespace afd_fixture {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// What the context of a poll's packet grows by from one generation to the next: afd/polls.cpp packs it.
inline constexpr std::uintptr_t one_generation = std::uintptr_t{1} << (sizeof(void*) == 8 ? 32 : 20);

inline std::string violations_of(const FakeKernel& kernel) {
  std::string all;
  for (const std::string& violation : kernel.violations) (all += violation) += '\n';
  return all;
}
inline std::string violations_of(reactor::sim::SimKernel& kernel) { return kernel.complaint(); }
inline std::size_t open_handles_of(const FakeKernel& kernel) { return kernel.open.size(); }
inline std::size_t open_handles_of(reactor::sim::SimKernel& kernel) { return kernel.open_handles(); }
inline std::size_t requests_of(const FakeKernel& kernel) {
  return kernel.keeps_what_is_cancelled ? 0 : kernel.pending.size();
}
inline std::size_t requests_of(reactor::sim::SimKernel& kernel) { return kernel.held_requests(); }

/// A Poller over a kernel: of the AFD backend, or what a fixture that is derived from this makes. At its end the kernel
/// must have seen no violation, and hold nothing.
template <class Kernel>
struct BackendFixture {
  struct WithoutPoller {};

  Kernel kernel;
  std::optional<Poller> poller;
  std::array<Event, 256> buffer;

  template <class... Arguments>
  explicit BackendFixture(WithoutPoller, Arguments&&... arguments) : kernel(std::forward<Arguments>(arguments)...) {}
  template <class... Arguments>
  explicit BackendFixture(const PollerOptions& options, Arguments&&... arguments)
      : BackendFixture(WithoutPoller(), std::forward<Arguments>(arguments)...) {
    poller.emplace(poller_on(*afd::AfdBackend::create(kernel, options)));
  }
  ~BackendFixture() {
    poller.reset();
    CHECK(violations_of(kernel) == "");
    CHECK(open_handles_of(kernel) == 0);
    CHECK(requests_of(kernel) == 0);
  }
  BackendFixture(const BackendFixture&) = delete;
  BackendFixture& operator=(const BackendFixture&) = delete;

  /// The token is the number of the socket.
  template <class Socket>
  Registration add(Socket socket, Interest interest = Interest::readable, Mode mode = Mode::level) {
    return add(socket, Token{static_cast<std::uint64_t>(socket)}, interest, mode);
  }
  template <class Socket>
  Registration add(Socket socket, Token token, Interest interest, Mode mode = Mode::level) {
    auto added = poller->add(static_cast<NativeSocket>(socket), token, interest, mode);
    REQUIRE(added.has_value());
    return std::move(*added);
  }
  /// Uses the first `size` events of the buffer.
  std::vector<Event> wait(nanoseconds timeout = 0ns, std::size_t size = 64) {
    const auto events = poller->wait(std::span(buffer).first(size), timeout);
    REQUIRE(events.has_value());
    return {events->begin(), events->end()};
  }
};

struct SimFixture : BackendFixture<reactor::sim::SimKernel> {
  explicit SimFixture(const reactor::sim::Options& kernel_options = {}, const PollerOptions& options = {})
      : BackendFixture(options, kernel_options) {}
};

// The numbers of sockets that FakeKernel has.
/// Sockets of the fake kernel. Not variables, since tests over the simulated one give its sockets these names.
enum : NativeSocket { a = 100, b = 104, c = 108 };
inline NativeSocket hot(int i) { return NativeSocket{200} + 4 * i; }

inline HANDLE base(NativeSocket socket) { return FakeKernel::handle(static_cast<std::uintptr_t>(socket)); }

using Sockets = std::multiset<NativeSocket>;

struct Fixture : BackendFixture<FakeKernel> {
  explicit Fixture(const PollerOptions& options = {}, bool has_reserves = true)
      : BackendFixture(options, has_reserves) {}

  /// The sockets that a wait reports; each of them must be readable and nothing else.
  Sockets readable(std::size_t size = 64) {
    Sockets sockets;
    for (const Event& event : wait(0ns, size)) {
      CHECK(event.readiness() == Readiness::readable);
      sockets.insert(static_cast<NativeSocket>(event.token()));
    }
    return sockets;
  }
};

/// `count` sockets, hot(0), hot(1) and so on, that have fired until they are polled together. None is ready, none is
/// armed.
struct HotSockets : Fixture {
  std::vector<Registration> members;

  explicit HotSockets(int count = 4, const PollerOptions& options = {}) : Fixture(options) {
    for (int i = 0; i < count; i++) members.push_back(add(hot(i)));
    fire_until_hot();
  }

  void fire_until_hot() {
    for (int i = 0; i < static_cast<int>(members.size()); i++) {
      kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
      if (kernel.pending_on(base(hot(i))) != nullptr) kernel.complete(base(hot(i)), AFD_POLL_RECEIVE);
    }
    for (int round = 0; round < afd::GroupPolicy::hot_score + 1; round++) {
      std::size_t events = 0;
      for (int waits = 0; events < members.size() && waits < 4; waits++) events = wait().size();
      CHECK(events == members.size());
    }
    kernel.ready.clear();
  }

  /// How many events each socket has in `waits` waits.
  std::map<NativeSocket, int> count_events(int waits, std::size_t size = 64) {
    std::map<NativeSocket, int> counts;
    for (int i = 0; i < waits; i++) {
      for (const NativeSocket socket : readable(size)) counts[socket]++;
    }
    return counts;
  }
};

/// The same with the poll of the group pending.
struct ArmedGroup : HotSockets {
  explicit ArmedGroup(int count) : HotSockets(count) {
    CHECK(wait().empty());
    REQUIRE(kernel.pending.size() == 1);
    REQUIRE(kernel.pending[0].asked.size() == static_cast<std::size_t>(count));
  }
};

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
    std::array<Event, 64> thread_buffer;
    Waited waited;
    as(thread, [&] {
      const auto events = poller->wait(std::span(thread_buffer).first(size), timeout);
      REQUIRE(events.has_value());
      waited.woken = events->woken();
      for (const Event& event : *events) {
        CHECK(event.readiness() == Readiness::readable);
        CHECK(waited.sockets.insert(static_cast<NativeSocket>(event.token())).second);
      }
    });
    return waited;
  }

  /// Thread 1 waits for 10 s. Each time that it falls asleep the next of `steps` runs. In a step that is null, and
  /// after the last one, time passes.
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
