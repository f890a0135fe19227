// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

/// Counts durations in nanoseconds, in buckets at most 1/64 of the value wide: percentiles are exact to 1.6 %.
/// (The idea of HdrHistogram, which Debian 12 does not package for C or C++.)
class Histogram {
 public:
  void record(std::uint64_t value_ns) {
    counts_[index_of(value_ns)]++;
    total_++;
    sum_ += value_ns;
    max_ = std::max(max_, value_ns);
  }

  [[nodiscard]] std::uint64_t count() const { return total_; }
  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] double mean() const {
    return total_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(total_);
  }

  /// The smallest value that at least `share` of all values do not exceed; 0 if nothing was recorded.
  [[nodiscard]] std::uint64_t percentile(double share) const {
    const double wanted = share * static_cast<double>(total_);
    std::uint64_t passed = 0;
    for (std::size_t i = 0; i < counts_.size(); i++) {
      passed += counts_[i];
      if (passed > 0 && static_cast<double>(passed) >= wanted) return std::min(upper_end(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned step_bits = 6;
  static constexpr std::uint64_t steps = std::uint64_t{1} << step_bits;

  // Values below 64 have a bucket each; above, each power of two has 64 buckets.
  [[nodiscard]] static std::size_t index_of(std::uint64_t value) {
    if (value < steps) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - step_bits;
    return static_cast<std::size_t>(((shift + 1) << step_bits) + ((value >> shift) - steps));
  }
  [[nodiscard]] static std::uint64_t upper_end(std::size_t index) {
    if (index < steps) return index;
    const auto shift = static_cast<unsigned>(index >> step_bits) - 1;
    return ((steps + (index & (steps - 1)) + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (65 - step_bits) << step_bits> counts_{};
  std::uint64_t total_ = 0, sum_ = 0, max_ = 0;
};

}  // namespace bench
