// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <reactor/assert.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// Base socket to slot index: by that, and not by the number that a program goes by, since it is what AFD polls ("one
/// poll per socket").
///
/// A table by the handle's value, in pages. Windows hands out handle values densely, the lowest free ones first, as
/// multiples of 4 whose low bits it ignores, and no process has more than 2^24 of them (documented); so a page is
/// mostly full, and nothing is ever moved or hashed anew.
class HandleTable {
 public:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  /// Windows assigns no larger handles.
  [[nodiscard]] static bool can_hold(nt::HANDLE base) noexcept { return key_of(base) < std::uintptr_t{1} << 26; }

  [[nodiscard]] std::uint32_t find(nt::HANDLE base) const noexcept {
    const std::uintptr_t key = key_of(base);
    const std::size_t page = key / entries_per_page;
    return page < pages_.size() && pages_[page] != nullptr ? pages_[page]->entries[key % entries_per_page] : none;
  }

  /// Makes a place for that handle, so that insert cannot fail. Throws std::bad_alloc and is then unchanged.
  void reserve(nt::HANDLE base) {
    REACTOR_ASSERT(can_hold(base));
    const std::size_t page = key_of(base) / entries_per_page;
    if (page >= pages_.size()) pages_.resize(page + 1);
    if (pages_[page] == nullptr) {
      pages_[page] = std::make_unique<Page>();
      used_pages_++;
    }
  }

  void insert(nt::HANDLE base, std::uint32_t index) noexcept {
    REACTOR_ASSERT(find(base) == none);
    Page& page = page_of(base);
    page.entries[key_of(base) % entries_per_page] = index;
    page.used++;
  }

  void erase(nt::HANDLE base) noexcept {
    REACTOR_ASSERT(find(base) != none);
    Page& page = page_of(base);
    page.entries[key_of(base) % entries_per_page] = none;
    if (--page.used > 0 || used_pages_ == 1) return;  // one page is kept, for a program that uses one socket at a time
    used_pages_--;
    pages_[key_of(base) / entries_per_page].reset();
  }

  [[nodiscard]] std::size_t bytes() const noexcept {
    return pages_.capacity() * sizeof(pages_[0]) + used_pages_ * sizeof(Page);
  }

 private:
  static constexpr std::size_t entries_per_page = 1024;
  struct Page {
    Page() noexcept { entries.fill(none); }
    std::array<std::uint32_t, entries_per_page> entries;
    std::uint32_t used = 0;
  };

  [[nodiscard]] static std::uintptr_t key_of(nt::HANDLE base) noexcept {
    return reinterpret_cast<std::uintptr_t>(base) >> 2;
  }
  [[nodiscard]] Page& page_of(nt::HANDLE base) const noexcept { return *pages_[key_of(base) / entries_per_page]; }

  std::vector<std::unique_ptr<Page>> pages_;
  std::size_t used_pages_ = 0;
};

}  // namespace reactor::afd
