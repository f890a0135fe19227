// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace reactor::sim {

/// What a process has to say of its seeds.
struct Report {
  bool has_failed = false;
  std::uint64_t seed = 0;
  std::uint64_t seeds_run = 0;
  std::string message, trace;
};

/// What a process does. It has its number, and writes into `seed_now` which seed it is about to run.
using Work = std::function<Report(unsigned which, volatile std::uint64_t& seed_now)>;

/// Does `work` in so many processes, and returns the first failure, or that there is none. The others are ended then.
/// On Windows, where there is no fork, one after the other in this process.
[[nodiscard]] Report in_processes(unsigned count, const Work& work);

}  // namespace reactor::sim
