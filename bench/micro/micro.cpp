// SPDX-License-Identifier: MIT
// What the library itself adds to each event, over a kernel that costs next to nothing. These measure the AFD backend,
// which is portable, on Linux.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/directions.hpp>
#include <reactor/make_poller.hpp>
#include <reactor/poller.hpp>

#include "../common/value_or_fail.hpp"
#include "null_kernel.hpp"

namespace {

using bench::NullKernel, bench::value_or_fail;
using reactor::Event, reactor::Interest, reactor::Mode, reactor::Token;
using namespace std::chrono_literals;

/// A Poller over the null kernel, with that many sockets registered.
struct Setting {
  Setting(std::int64_t sockets, NullKernel::Completes completes, bool has_groups, Mode mode = Mode::level) {
    kernel.completes = completes;
    reactor::PollerOptions options;
    options.hot_groups = has_groups;
    poller = std::make_unique<reactor::Poller>(
        reactor::poller_on(value_or_fail(reactor::afd::AfdBackend::create(kernel, options), "create")));
    for (std::int64_t i = 0; i < sockets; i++) {
      const auto socket = static_cast<reactor::NativeSocket>(0x1000 + (i * 4));
      registrations.push_back(
          value_or_fail(poller->add(socket, Token{static_cast<std::uint64_t>(i)}, Interest::readable, mode), "add"));
    }
  }

  std::size_t wait() { return value_or_fail(poller->wait(buffer, 0ms), "wait").size(); }

  NullKernel kernel;
  std::unique_ptr<reactor::Poller> poller;
  std::vector<reactor::Registration> registrations;
  std::array<Event, 256> buffer;
};

void per_event(benchmark::State& state, std::uint64_t events) {
  if (events == 0) state.SkipWithError("no event was delivered");
  state.counters["event"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// add and remove without a wait in between: the table, the arena, the queue.
void add_remove(benchmark::State& state) {
  Setting setting(state.range(0), NullKernel::Completes::never, true);
  setting.wait();
  while (state.KeepRunning()) {
    auto made = setting.poller->add(4, Token{4}, Interest::readable);
    benchmark::DoNotOptimize(made);
  }
}

// add, a wait that arms it, remove, a wait that dequeues the cancelled request.
void add_arm_remove(benchmark::State& state) {
  Setting setting(state.range(0), NullKernel::Completes::never, true);
  setting.wait();
  while (state.KeepRunning()) {
    auto made = value_or_fail(setting.poller->add(4, Token{4}, Interest::readable), "add");
    setting.wait();
    value_or_fail(made.remove(), "remove");
    setting.wait();
  }
}

// An interest that the pending request covers already.
void modify_covered(benchmark::State& state) {
  Setting setting(64, NullKernel::Completes::never, true);
  setting.wait();
  while (state.KeepRunning()) {
    value_or_fail(setting.registrations.front().modify(Interest::readable), "modify");
    setting.wait();
  }
}

// For each event of a wait: the choice of how to arm, the request, its result, the event. The sockets are level and
// always readable, so each is armed anew after its event.
void event_inline(benchmark::State& state) {
  Setting setting(state.range(0), NullKernel::Completes::synchronously, state.range(1) != 0);
  std::uint64_t events = 0;
  while (state.KeepRunning()) events += setting.wait();
  per_event(state, events);
}

void event_by_packet(benchmark::State& state) {
  Setting setting(state.range(0), NullKernel::Completes::by_packet, state.range(1) != 0);
  std::uint64_t events = 0;
  while (state.KeepRunning()) events += setting.wait();
  per_event(state, events);
}

// A wait that has nothing to do, with that many idle registrations.
void idle_wait(benchmark::State& state) {
  Setting setting(state.range(0), NullKernel::Completes::never, true);
  setting.wait();
  while (state.KeepRunning()) benchmark::DoNotOptimize(setting.wait());
}

// From AFD's events to the readiness that a registration is given.
void translate(benchmark::State& state) {
  std::uint32_t bits = 0;
  while (state.KeepRunning()) {
    bits = (bits + 0x35) & 0x1FF;
    const auto directions = reactor::afd::directions_of(Interest::readable | Interest::writable);
    benchmark::DoNotOptimize(reactor::afd::filter_readiness(reactor::afd::to_readiness(bits), directions));
  }
}

BENCHMARK(add_remove)->Arg(0)->Arg(10000);
BENCHMARK(add_arm_remove)->Arg(0)->Arg(10000);
BENCHMARK(modify_covered);
BENCHMARK(event_inline)->ArgNames({"sockets", "groups"})->ArgsProduct({{1, 16, 64, 256}, {0, 1}});
BENCHMARK(event_by_packet)->ArgNames({"sockets", "groups"})->ArgsProduct({{1, 16, 64, 256}, {0, 1}});
BENCHMARK(idle_wait)->Arg(0)->Arg(10000);
BENCHMARK(translate);

}  // namespace

BENCHMARK_MAIN();
