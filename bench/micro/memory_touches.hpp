// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

/// What cache misses alone cost: memory as large as that of `count` registrations, touched at random as an operation on
/// one of them must: the registration itself, its entry in the look-up table, the caller's record and the kernel's.
/// Each address depends on the value read before it, as with a pointer.
class MemoryTouches {
 public:
  MemoryTouches(std::size_t count, std::size_t bytes_each)
      : words_each_(bytes_each / sizeof(std::uint64_t)),
        registrations_(count * words_each_),
        table_(count),
        callers_(count * caller_words),
        kernels_(count * caller_words),
        count_(count) {}

  void touch() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    const std::size_t i = (state_ + last_) % count_;
    last_ = callers_[i * caller_words]++ & 1;
    last_ = table_[(i * 0x9E3779B1 + last_) % count_]++ & 1;
    const std::size_t begin = ((i + last_) % count_) * words_each_;
    for (std::size_t word = 0; word < words_each_; word += line_words) last_ = registrations_[begin + word]++ & 1;
    last_ = kernels_[((i * 0x85EBCA6B + last_) % count_) * caller_words]++ & 1;
  }

 private:
  static constexpr std::size_t line_words = 64 / sizeof(std::uint64_t);
  static constexpr std::size_t caller_words = 5;  // about 40 bytes

  std::size_t words_each_;
  std::vector<std::uint64_t> registrations_;
  std::vector<std::uint32_t> table_;
  std::vector<std::uint64_t> callers_, kernels_;
  std::size_t count_;
  std::uint64_t state_ = 88172645463325252;
  std::uint64_t last_ = 0;
};

}  // namespace bench
