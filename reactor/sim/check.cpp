// SPDX-License-Identifier: MIT
#include <reactor/sim/check.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <reactor/sim/check_processes.hpp>

namespace reactor::sim {

namespace {

std::optional<std::uint64_t> number_in_environment(const char* name) {
  const char* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read before any process is made
  if (text == nullptr || *text == '\0') return std::nullopt;
  return std::strtoull(text, nullptr, 0);
}

std::string text_of_exception() {
  try {
    throw;
  } catch (const std::exception& why) {
    return why.what();
  } catch (...) {
    return "an exception that is no std::exception (what the test framework printed says more)";
  }
}

struct Run {
  std::string failure;  // empty: none
  std::uint64_t hash = 0;
};

class Check {
 public:
  Check(const std::function<void(World&)>& test, const CheckOptions& options) : test_(test), options_(options) {}

  [[nodiscard]] Run run(std::uint64_t seed, std::string* trace) const {
    WorldOptions chosen = options_.world;
    chosen.records_trace = chosen.records_trace || trace != nullptr;
    Run run;
    World world(seed, chosen);
    try {
      test_(world);
      world.run_until_idle();
      if (options_.has_failed && options_.has_failed()) run.failure = "the test framework reports a failure";
    } catch (...) {
      run.failure = text_of_exception();
    }
    run.hash = world.trace_hash();
    if (trace == nullptr) return run;
    *trace = world.trace_text();
    if (!options_.trace_folder.empty() && !run.failure.empty()) write_files(world, *trace);
    return run;
  }

  /// Of the seeds first, first + step, ... below end, until one fails.
  [[nodiscard]] Report run_some(std::uint64_t first, std::uint64_t end, std::uint64_t step,
                                volatile std::uint64_t& seed_now) const {
    Report report;
    for (std::uint64_t seed = first; seed < end; seed += step) {
      report.seeds_run++;
      seed_now = seed;
      Run one = run(seed, nullptr);
      if (one.failure.empty() && seed == first && run(seed, nullptr).hash != one.hash) {
        one.failure =
            "the same seed has given two different runs: the program asks for something that the World does "
            "not simulate (the time, chance, addresses of memory)";
      }
      if (one.failure.empty()) continue;
      report.has_failed = true;
      report.seed = seed;
      report.message = one.failure;
      return report;
    }
    return report;
  }

  [[nodiscard]] static std::string file_of(const std::string& folder, std::uint64_t seed, const char* extension) {
    return folder + "/sim-seed-" + std::to_string(seed) + extension;
  }

 private:
  void write_files(World& world, const std::string& trace) const {
    const auto name = [&](const char* extension) { return file_of(options_.trace_folder, world.seed(), extension); };
    if (std::FILE* const file = std::fopen(name(".txt").c_str(), "wb")) {
      static_cast<void>(std::fwrite(trace.data(), 1, trace.size(), file));
      static_cast<void>(std::fclose(file));
    }
    static_cast<void>(world.write_pcapng(name(".pcapng")));
    static_cast<void>(world.write_svg(name(".svg")));
  }

  const std::function<void(World&)>& test_;
  const CheckOptions& options_;
};

std::string explained(const Report& report, const std::string& folder, bool has_trace) {
  const std::string seed = std::to_string(report.seed);
  std::string text = "seed " + seed + ": " + report.message + "\n  to run it again: set REACTOR_SIM_SEED=" + seed;
  if (has_trace && !folder.empty()) {
    text += "\n  its trace: " + Check::file_of(folder, report.seed, ".txt") + ", .pcapng, .svg";
  }
  return text;
}

}  // namespace

void require(bool condition, std::string_view message) {
  if (!condition) throw std::runtime_error(std::string(message));
}

Outcome check(Seeds seeds, const std::function<void(World&)>& test, const CheckOptions& options) {
  const Check checks(test, options);
  Outcome outcome;
  Report report;
  if (const auto only = number_in_environment("REACTOR_SIM_SEED")) {
    Run run = checks.run(*only, &outcome.trace);
    std::fputs(outcome.trace.c_str(), stderr);
    report = {.has_failed = !run.failure.empty(), .seed = *only, .seeds_run = 1, .message = run.failure, .trace = {}};
  } else {
    seeds.count = number_in_environment("REACTOR_SIM_SEEDS").value_or(seeds.count);
    const std::uint64_t end = seeds.from + seeds.count;
    const auto wanted = options.processes == 0 ? std::max(1U, std::thread::hardware_concurrency()) : options.processes;
    const auto step = std::min<std::uint64_t>(wanted, std::max<std::uint64_t>(seeds.count, 1));
    report = in_processes(static_cast<unsigned>(step), [&](unsigned which, volatile std::uint64_t& seed_now) {
      return checks.run_some(seeds.from + which, end, step, seed_now);
    });
    if (report.has_failed) {
      // Once more, with its trace; in a process of its own, since it may end that.
      Report again = in_processes(1, [&](unsigned, volatile std::uint64_t& seed_now) {
        seed_now = report.seed;
        Report one{.has_failed = true, .seed = report.seed, .seeds_run = 1, .message = {}, .trace = {}};
        one.message = checks.run(report.seed, &one.trace).failure;
        return one;
      });
      outcome.trace = std::move(again.trace);
      if (again.message.empty()) report.message += "\n  (when it ran again it passed)";
    }
  }
  outcome.passed = !report.has_failed;
  outcome.seeds_run = report.seeds_run;
  if (outcome.passed) return outcome;
  outcome.seed = report.seed;
  outcome.message = explained(report, options.trace_folder, !outcome.trace.empty());
  std::fprintf(stderr, "FAIL simulation: %s\n", outcome.message.c_str());
  return outcome;
}

}  // namespace reactor::sim
