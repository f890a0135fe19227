// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace reactor::sim {

/// The one source of chance: splitmix64. Its distributions are its own, so that a seed means the same run with every
/// standard library. They are a little uneven for huge ranges, which no test minds.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}

  constexpr std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  /// 0 ... count-1; 0 when count is 0.
  constexpr std::size_t below(std::size_t count) noexcept {
    return count == 0 ? 0 : static_cast<std::size_t>(next() % count);
  }

  /// Both ends may come.
  constexpr std::chrono::nanoseconds between(std::chrono::nanoseconds low, std::chrono::nanoseconds high) noexcept {
    if (high <= low) return low;
    const auto width = static_cast<std::uint64_t>((high - low).count()) + 1;
    return low + std::chrono::nanoseconds(static_cast<std::int64_t>(next() % width));
  }

  /// True so many times in a thousand. Draws nothing for 0, so a fault that is off does not change the run.
  constexpr bool chance(int per_mille) noexcept {
    return per_mille > 0 && below(1000) < static_cast<std::size_t>(per_mille);
  }

 private:
  std::uint64_t state_;
};

}  // namespace reactor::sim
