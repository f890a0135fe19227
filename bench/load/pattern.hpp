// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace bench {

/// The bytes of every connection. Each depends on its connection and its offset in the stream, so a byte that is lost,
/// duplicated, swapped or from another connection is found. Or the same text again and again on all of them.
class Pattern {
 public:
  /// `size_max`: of a call of at().
  explicit Pattern(std::size_t size_max) : table_(prime + size_max), period_(prime), shift_(7919) {
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < table_.size(); i++) {
      state = state * 1664525 + 1013904223;
      table_[i] = i < prime ? static_cast<std::byte>(state >> 24) : table_[i - prime];
    }
  }
  Pattern(std::string_view text, std::size_t size_max) : table_(text.size() + size_max), period_(text.size()) {
    for (std::size_t i = 0; i < table_.size(); i++) table_[i] = static_cast<std::byte>(text[i % period_]);
  }

  [[nodiscard]] std::span<const std::byte> at(std::uint64_t connection, std::uint64_t offset, std::size_t size) const {
    return std::span(table_).subspan((connection * shift_ + offset) % period_, size);
  }

  [[nodiscard]] bool matches(std::uint64_t connection, std::uint64_t offset, std::span<const std::byte> bytes) const {
    return std::memcmp(at(connection, offset, bytes.size()).data(), bytes.data(), bytes.size()) == 0;
  }

 private:
  static constexpr std::size_t prime = 65521;  // no message size divides it
  std::vector<std::byte> table_;
  std::size_t period_;
  std::size_t shift_ = 0;  // of one connection to the next
};

}  // namespace bench
