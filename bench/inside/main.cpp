// SPDX-License-Identifier: MIT
// Measurements without a load: bench_inside register|wake --kind KIND [...] measures itself and prints JSON.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "../common/arguments.hpp"
#include "../common/files.hpp"
#include "../common/histogram.hpp"
#include "../common/json.hpp"
#include "../servers/blocking.hpp"
#include "../servers/calls.hpp"
#include "inside.hpp"

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t ns_since(Clock::time_point begin) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - begin).count());
}

std::string calls_if(bool counts) { return counts ? counted_calls() : "{}"; }

// Registers `count` idle sockets and removes them again.
std::string measure_register(Registrar& registrar, std::size_t count, bool counts_calls) {
  std::vector<reactor::NativeSocket> sockets(count);
  for (reactor::NativeSocket& socket : sockets) socket = blocking::open_datagram();
  registrar.add(blocking::open_datagram());  // the first one may create what the others share
  registrar.settle();
  const std::uint64_t memory_before = registrar.memory_bytes();
  const std::string calls_before = calls_if(counts_calls);
  const auto began = Clock::now();
  for (const reactor::NativeSocket socket : sockets) registrar.add(socket);
  const std::uint64_t added_ns = ns_since(began);
  registrar.settle();
  const std::uint64_t armed_ns = ns_since(began);
  const std::uint64_t memory = registrar.memory_bytes();
  const std::string calls_between = calls_if(counts_calls);
  registrar.remove_all();
  const std::uint64_t removed_ns = ns_since(began);
  registrar.settle();
  const std::uint64_t settled_ns = ns_since(began);
  Json json;
  json.add("count", count).add("add_ns", added_ns).add("arm_ns", armed_ns - added_ns);
  json.add("remove_ns", removed_ns - armed_ns).add("settle_ns", settled_ns - removed_ns);
  json.add("memory_bytes", memory - memory_before);
  json.raw("calls_before", calls_before).raw("calls_between", calls_between).raw("calls_after", calls_if(counts_calls));
  return json.text();
}

// Two loops that wake each other in turn.
std::string measure_wake(Sleeper& one, Sleeper& other, std::uint64_t rounds) {
  Histogram latency;
  const auto start = Clock::now();
  std::thread partner([&] {
    for (std::uint64_t i = 0; i < rounds; i++) {
      other.sleep();
      one.wake();
    }
  });
  for (std::uint64_t i = 0; i < rounds; i++) {
    const auto began = Clock::now();
    other.wake();
    one.sleep();
    latency.record(ns_since(began) / 2);
  }
  partner.join();

  Json json;
  json.add("rounds", rounds).add("p50_ns", latency.percentile(0.5)).add("p99_ns", latency.percentile(0.99));
  json.add("wakes_per_second", 2e9 * static_cast<double>(rounds) / static_cast<double>(ns_since(start)));
  return json.text();
}

}  // namespace

}  // namespace bench

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  bench::Arguments arguments(argc - (argc > 1 ? 1 : 0), argv + (argc > 1 ? 1 : 0));
  const std::string kind = arguments.text("--kind", "ours");
  const std::size_t count = arguments.count("--count", 10000, 1, 100'000);
  const std::uint64_t rounds = arguments.number("--rounds", 10000, 1, 10'000'000);
  const bool counts_calls = arguments.flag("--count-calls");
  arguments.finish();
  bench::allow_many_files();
  if (counts_calls && !bench::count_calls()) bench::fail("kernel calls cannot be counted here");
  if (what == "register") {
    const auto registrar = bench::make_registrar(kind);
    if (registrar == nullptr) bench::fail("sockets cannot be registered for '" + kind + "' in this build");
    std::printf("%s\n", bench::measure_register(*registrar, count, counts_calls).c_str());
  } else if (what == "wake") {
    const auto one = bench::make_sleeper(kind), other = bench::make_sleeper(kind);
    if (one == nullptr) bench::fail("a wake cannot be measured for '" + kind + "' in this build");
    std::printf("%s\n", bench::measure_wake(*one, *other, rounds).c_str());
  } else {
    bench::fail("the first argument must be register or wake, not '" + what + "'");
  }
}
