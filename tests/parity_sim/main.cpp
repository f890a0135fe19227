// SPDX-License-Identifier: MIT
// Runs the parity tests in a simulation:
//   parity_sim_test linux|windows|notifications [--seeds FROM COUNT] [doctest's options]
// The whole suite with the first seed; with the others all but what moves much data. A failure names its seed.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/sim/world.hpp>
#include <reactor/sim/world_state.hpp>

namespace {

// What no World can run, and why; said once in the output of each run.
struct LeftOut {
  const char* tests;
  const char* reason;
};
constexpr const char* threads = "starts threads of the system; a World has one";
constexpr std::array left_out{
    LeftOut{"*thread that registered*", threads},
    LeftOut{"*thread that added them*", threads},
    LeftOut{"a wait without a time-out is*", threads},
    LeftOut{"*work that is posted*", threads},
    LeftOut{"*wakes from ten*", threads},
    LeftOut{"*changes by another thread*", threads},
    LeftOut{"one socket in ten*", threads},
    LeftOut{"ten threads*", threads},
    LeftOut{"*a signal of another thread*", threads},
    LeftOut{"*steady state allocates*", "counts allocations; the simulated kernel makes some"},
};
constexpr LeftOut files_left_out{"*waiting_threads_test*", threads};
constexpr LeftOut not_linked{"embedding_test.cpp", "watches native_handle, which a simulated Poller does not have"};
constexpr const char* takes_long = "echo*,10,000*,2,000*,64 sockets*";

/// Notifications: Windows, where each Poller uses socket notifications.
enum class System : std::uint8_t { of_linux, windows, notifications };

int run(System system, std::uint64_t seed, bool is_whole, int argc, char** argv) {
  reactor::sim::WorldOptions options;
  options.rules = system == System::of_linux ? reactor::sim::Rules::of_linux : reactor::sim::Rules::of_windows;
  options.stack_bytes = std::size_t{4} << 20;
  reactor::sim::World world(seed, options);
  int failed = 1;
  world.host("test").run([&] {
    if (system == System::notifications) {
      reactor::sim::WorldState::current()->here()->automatic = reactor::BackendKind::notifications;
    }
    doctest::Context context;
    for (const LeftOut& some : left_out) context.addFilter("test-case-exclude", some.tests);
    context.addFilter("source-file-exclude", files_left_out.tests);
    if (!is_whole) context.addFilter("test-case-exclude", takes_long);
    context.setOption("minimal", !is_whole);
    context.applyCommandLine(argc, argv);
    failed = context.run();
    if (system != System::notifications || argc > 1) return;
    auto& kernel = *reactor::sim::WorldState::current()->here()->kernel;
    if (kernel.counts()[std::to_underlying(reactor::sim::Call::notify)] == 0) {
      std::puts("FAIL: no Poller used socket notifications");
      failed = 1;
    }
  });
  try {
    world.run_until_idle();
  } catch (const std::exception& why) {
    std::printf("%s\n", why.what());
    failed = 1;
  }
  if (failed != 0) {
    std::printf("FAIL: seed %llu\n", static_cast<unsigned long long>(seed));
    if (std::getenv("REACTOR_TRACE") != nullptr) std::fputs(world.trace_text().c_str(), stdout);
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::array<std::string_view, 3> names{"linux", "windows", "notifications"};
  const auto found = std::ranges::find(names, argc > 1 ? std::string_view(argv[1]) : "");
  if (found == names.end()) {
    std::puts("usage: parity_sim_test linux|windows|notifications [--seeds FROM COUNT] [doctest's options]");
    return 2;
  }
  const auto system = static_cast<System>(found - names.begin());
  std::uint64_t from = 1, count = 100;
  std::vector<char*> rest{argv[0]};
  for (int i = 2; i < argc; i++) {
    if (std::strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
      from = std::strtoull(argv[i + 1], nullptr, 10);
      count = std::strtoull(argv[i + 2], nullptr, 10);
      i += 2;
    } else {
      rest.push_back(argv[i]);
    }
  }
  for (const LeftOut& some : left_out) std::printf("left out: %s: %s\n", some.tests, some.reason);
  for (const LeftOut& some : {files_left_out, not_linked}) std::printf("left out: %s: %s\n", some.tests, some.reason);
  for (std::uint64_t seed = from; seed < from + count; seed++) {
    if (const int failed = run(system, seed, seed == from, static_cast<int>(rest.size()), rest.data()); failed != 0) {
      return failed;
    }
  }
  std::printf("PASS parity on simulated %s: %llu seeds from %llu\n", argv[1], static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(from));
  return 0;
}
