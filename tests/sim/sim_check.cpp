// SPDX-License-Identifier: MIT
//
// The long run of the model check:
//   sim_check --seeds FROM COUNT [--threads N] [--notifications] [--without RULE,RULE]
// Each of the N is a process, so that a crash, a sanitizer's report or a hang names its seed too. The first failure is
// printed with as few steps as possible, and with the command that replays it.
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "model_checker.hpp"
#include "model_shrink.hpp"

namespace {

using namespace reactor::sim::model;

constexpr unsigned seconds_per_seed = 60;

struct Arguments {
  std::uint64_t from = 0, count = 1000;
  unsigned threads = 1;
  std::uint32_t left_out = rules_to_come;
  bool on_notifications = false;

  [[nodiscard]] Program program(std::uint64_t seed) const {
    Program made = make_program(seed);
    if (on_notifications) made = with_notifications(std::move(made));
    made.left_out = left_out;
    return made;
  }
};

/// How many seeds were taken, by all workers, in shared memory.
using Taken = std::atomic<std::uint64_t>;

/// What a worker reports to its parent, in shared memory.
struct Shared {
  std::atomic<std::uint64_t> seed{0};
  std::array<char, 400> broken{};  // the rule, if one was
  Totals totals{};
};

bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--seeds") == 0 && i + 2 < argc) {
      arguments.from = std::strtoull(argv[++i], nullptr, 10);
      arguments.count = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      arguments.threads = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
    } else if (std::strcmp(argv[i], "--notifications") == 0) {
      arguments.on_notifications = true;
    } else if (std::strcmp(argv[i], "--without") == 0 && i + 1 < argc) {
      const auto rules = rules_of(argv[++i]);
      if (!rules) return false;
      arguments.left_out = *rules;
    } else {
      return false;
    }
  }
  return arguments.threads > 0 && arguments.threads <= 64 && arguments.count > 0;
}

// CPU time, so that a busy machine fails no seed; and a long time by the clock, in case of a deadlock.
void limit_time() {
  const itimerval own{{0, 0}, {seconds_per_seed, 0}};
  ::setitimer(ITIMER_PROF, &own, nullptr);
  ::alarm(20 * seconds_per_seed);
}

[[noreturn]] void work(const Arguments& arguments, Taken& taken, Shared& shared) {
  // One by one, since some kinds of program take longer and are of odd numbers alone.
  for (std::uint64_t count = taken++; count < arguments.count; count = taken++) {
    const std::uint64_t seed = arguments.from + count;
    shared.seed = seed;
    limit_time();
    if (const auto broken = run(arguments.program(seed), nullptr, &shared.totals)) {
      std::snprintf(shared.broken.data(), shared.broken.size(), "%s", broken->c_str());
      ::_exit(1);
    }
    if (seed % 50'000 == 0 && seed != arguments.from) {
      std::printf("at seed %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(stdout);
    }
  }
  ::_exit(0);
}

void print_failure(const Arguments& arguments, const Shared& shared, int status) {
  const std::uint64_t seed = shared.seed;
  const Program program = arguments.program(seed);
  const auto number = static_cast<unsigned long long>(seed);
  const char* const how = WIFSIGNALED(status) ? ::strsignal(WTERMSIG(status)) : "a sanitizer's report";
  std::printf("seed %llu: %s\n", number, shared.broken[0] != 0 ? shared.broken.data() : how);
  if (!fails(program, seconds_per_seed)) {
    std::printf("FAIL model check: seed %llu failed and passes when run again\n", number);
    return;
  }
  const auto kept = shrink(program);
  std::printf("FAIL model check: seed %llu; %zu of its %zu steps are enough\n%s\n", number, kept.size(),
              program.steps.size(), describe(program).c_str());
  for (const std::size_t at : kept) std::printf("%5zu %s\n", at, describe(program.steps[at]).c_str());
  const char* const backend = arguments.on_notifications ? " --notifications" : "";
  std::printf("sim_replay %llu%s\nsim_replay %llu%s --steps %s\n", number, backend, number, backend,
              to_text(kept).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::puts("usage: sim_check --seeds FROM COUNT [--threads N] [--notifications] [--without RULE,RULE]");
    return 2;
  }
  const auto begin = std::chrono::steady_clock::now();
  void* const memory = ::mmap(nullptr, sizeof(Taken) + arguments.threads * sizeof(Shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  static_assert(alignof(Shared) <= sizeof(Taken));
  auto* const taken = new (memory) Taken{0};
  auto* const shared = reinterpret_cast<Shared*>(taken + 1);
  std::vector<pid_t> workers;
  for (unsigned i = 0; i < arguments.threads; i++) {
    new (&shared[i]) Shared;
    const pid_t child = ::fork();
    if (child < 0) return 2;
    if (child == 0) work(arguments, *taken, shared[i]);
    workers.push_back(child);
  }
  // In the order in which they end, so that a failure is printed at once and ends the others.
  int failed = 0;
  Totals totals;
  for (unsigned left = arguments.threads; left > 0; left--) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    const auto worker = static_cast<std::size_t>(std::ranges::find(workers, ended) - workers.begin());
    if (worker == workers.size()) return 2;
    workers[worker] = 0;
    totals += shared[worker].totals;
    if (failed > 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) continue;
    failed++;
    for (const pid_t other : workers) {
      if (other != 0) ::kill(other, SIGKILL);
    }
    print_failure(arguments, shared[worker], status);
  }
  const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%s model check: %llu seeds from %llu in %.1f s (%.0f a second): %s\n", failed == 0 ? "PASS" : "FAIL",
              static_cast<unsigned long long>(arguments.count), static_cast<unsigned long long>(arguments.from), s,
              static_cast<double>(arguments.count) / s, describe(totals).c_str());
  return failed == 0 ? 0 : 1;
}
