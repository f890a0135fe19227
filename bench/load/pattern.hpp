// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace bench {

/// The bytes of every connection. Each depends on its connection and its offset in the stream, so a byte that is lost,
/// duplicated, swapped or from another connection is found.
class Pattern {
 public:
  /// `size_max`: of a call of at().
  explicit Pattern(std::size_t size_max) : table_(period + size_max) {
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < table_.size(); i++) {
      state = state * 1664525 + 1013904223;
      table_[i] = i < period ? static_cast<std::byte>(state >> 24) : table_[i - period];
    }
  }

  [[nodiscard]] std::span<const std::byte> at(std::uint64_t connection, std::uint64_t offset, std::size_t size) const {
    return std::span(table_).subspan((connection * 7919 + offset) % period, size);
  }

  [[nodiscard]] bool matches(std::uint64_t connection, std::uint64_t offset, std::span<const std::byte> bytes) const {
    return std::memcmp(at(connection, offset, bytes.size()).data(), bytes.data(), bytes.size()) == 0;
  }

 private:
  static constexpr std::size_t period = 65521;  // a prime: no message size divides it
  std::vector<std::byte> table_;
};

}  // namespace bench
