// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <reactor/afd/arena.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// Base socket to slot: by that, and not by the number that a program goes by, since it is what AFD polls (rule 1).
/// Open addressing over slot indices alone, 4 bytes an entry at most 3/4 full: the handle itself stands in the slot.
class SocketTable {
 public:
  explicit SocketTable(Arena& arena) noexcept : arena_(&arena) {}

  [[nodiscard]] Slot* find(nt::HANDLE base) noexcept {
    if (entries_.empty()) return nullptr;
    const std::size_t at = locate(base);
    return entries_[at] == none ? nullptr : arena_->at(entries_[at]);
  }

  /// Room for one more. Throws std::bad_alloc and is then as before.
  void reserve_one() {
    if ((size_ + 1) * 4 > entries_.size() * 3) grow();
  }

  /// Its base must not be in the table, and there must be room.
  void insert(const Slot& slot) noexcept {
    entries_[locate(slot.base)] = slot.index;
    size_++;
  }

  void erase(nt::HANDLE base) noexcept {
    std::size_t hole = locate(base);
    if (entries_[hole] == none) return;
    size_--;
    // Those behind it move up, unless that would put them before their own place.
    for (std::size_t at = after(hole); entries_[at] != none; at = after(at)) {
      const std::size_t home = home_of(arena_->at(entries_[at])->base);
      if (((at - home) & mask()) < ((at - hole) & mask())) continue;
      entries_[hole] = entries_[at];
      hole = at;
    }
    entries_[hole] = none;
  }

  void clear() noexcept {
    entries_.clear();
    size_ = 0;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return entries_.capacity() * sizeof(entries_[0]); }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  [[nodiscard]] std::size_t mask() const noexcept { return entries_.size() - 1; }
  [[nodiscard]] std::size_t after(std::size_t at) const noexcept { return (at + 1) & mask(); }
  [[nodiscard]] std::size_t home_of(nt::HANDLE base) const noexcept {
    // Handles are multiples of 4 and mostly in sequence: Fibonacci hashing spreads them.
    return static_cast<std::size_t>((std::uint64_t{reinterpret_cast<std::uintptr_t>(base)} * 0x9E3779B97F4A7C15) >>
                                    32) &
           mask();
  }
  [[nodiscard]] std::size_t locate(nt::HANDLE base) const noexcept {
    std::size_t at = home_of(base);
    while (entries_[at] != none && arena_->at(entries_[at])->base != base) at = after(at);
    return at;
  }

  void grow() {
    std::vector<std::uint32_t> old(entries_.empty() ? 16 : entries_.size() * 2, none);
    old.swap(entries_);
    for (const std::uint32_t index : old) {
      if (index != none) entries_[locate(arena_->at(index)->base)] = index;
    }
  }

  Arena* arena_;
  std::vector<std::uint32_t> entries_;
  std::size_t size_ = 0;
};

}  // namespace reactor::afd
