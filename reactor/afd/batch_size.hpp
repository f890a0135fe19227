// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace reactor::afd {

/// How many packets a wait asks the port for. To ask for more than there are costs nothing much on Windows (kernel
/// memory for more than 16: windows-facts 103) and one more request to its server under Wine. So a port that has
/// brought one packet again and again is asked for one, and now and then for more, to see whether that is still so.
class BatchSize {
 public:
  static constexpr std::size_t max = 256;
  static constexpr std::uint32_t singles_min = 16;  ///< in a row, before only one is asked for
  static constexpr std::uint32_t probe_every = 8;   ///< of those, one asks for more

  [[nodiscard]] std::size_t next() noexcept {
    const bool asks_for_one = singles_ >= singles_min && ++asked_ % probe_every != 0;
    return asks_for_one ? 1 : size_;
  }

  /// So many packets came of `asked` that were asked for.
  void took(std::size_t taken, std::size_t asked) noexcept {
    singles_ = taken > 1 ? 0 : std::min(singles_ + 1, singles_min);
    if (taken == asked && asked >= size_) {
      size_ = std::min(size_ * 2, max);
    } else if (taken < size_ / 4) {
      size_ = std::max(size_ / 2, min);
    }
  }

 private:
  static constexpr std::size_t min = 16;

  std::size_t size_ = min;
  std::uint32_t singles_ = 0, asked_ = 0;
};

}  // namespace reactor::afd
