// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

namespace reactor::afd {

/// How many packets a wait asks the port for: no more than polls are out, since each brings one. (A wake beside them is
/// dequeued by the next wait.) To ask for more than come costs kernel memory on Windows where it is more than 16
/// (windows-facts 103), and one more request to its server under Wine; so beyond 16 only while that many do come.
class BatchSize {
 public:
  static constexpr std::size_t min = 16, max = 256;

  [[nodiscard]] std::size_t next(std::size_t requests_out) const noexcept {
    return std::clamp<std::size_t>(requests_out, 1, size_);
  }

  /// `taken` packets were dequeued by a call that asked for `asked`.
  void took(std::size_t taken, std::size_t asked) noexcept {
    if (taken == asked && asked >= size_) {
      size_ = std::min(size_ * 2, max);
    } else if (taken < size_ / 4) {
      size_ = std::max(size_ / 2, min);
    }
  }

 private:
  std::size_t size_ = min;
};

}  // namespace reactor::afd
