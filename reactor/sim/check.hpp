// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <reactor/sim/world.hpp>

/// Runs a simulation with many seeds. Works inside any test framework, and without one.
namespace reactor::sim {

/// Which seeds are run.
struct Seeds {
  std::uint64_t from = 1;      ///< the first
  std::uint64_t count = 1000;  ///< how many, one after the other
};

/// How check runs them.
struct CheckOptions {
  WorldOptions world;  ///< of each seed's World
  /// How many processes share the seeds; 0: as many as there are processors. Windows has no fork: there it is one, the
  /// caller's own.
  unsigned processes = 0;
  /// What a test framework knows of failures that throw nothing, asked after each seed. For GoogleTest:
  /// `[] { return HasFailure(); }`, inside of a test
  std::function<bool()> has_failed;
  /// Where the trace of a failure is written: this folder, or nowhere when it is empty.
  std::string trace_folder = ".";
};

/// What came of it: true when all seeds have passed.
struct Outcome {
  bool passed = true;           ///< false: a seed failed
  std::uint64_t seeds_run = 0;  ///< until the end or the first failure
  std::uint64_t seed = 0;       ///< of the failure
  std::string message;          ///< what failed, and how to run it again
  std::string trace;            ///< of the failure, a line for each thing that happened

  [[nodiscard]] explicit operator bool() const noexcept { return passed; }  ///< `passed`
};

/// Runs `test` in a World of its own for each seed, on all processors, until the first failure: an exception that comes
/// out of `test` (assertions that throw, like doctest's REQUIRE), `has_failed`, or the end of the process. Then that
/// seed runs again with its trace recorded, which is written as text, as pcapng and as SVG. Every process runs its
/// first seed twice: a different trace hash is a failure too. When `test` has returned, the World runs until it is
/// idle, if that was not done.
///
/// With REACTOR_SIM_SEED=N in the environment just that seed runs, in this process and with its trace, so that a
/// debugger can be used; with REACTOR_SIM_SEEDS=N so many seeds.
[[nodiscard]] Outcome check(Seeds seeds, const std::function<void(World&)>& test, const CheckOptions& options = {});

/// Throws std::runtime_error with that message when `condition` is false: an assertion for programs and tests.
void require(bool condition, std::string_view message);

}  // namespace reactor::sim
