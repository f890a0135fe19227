// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <reactor/afd/slot.hpp>
#include <reactor/assert.hpp>

namespace reactor::afd {

/// Slots in blocks of 64 that never move. Empty blocks are released, except one, so that a program that adds and
/// removes one socket repeatedly does not allocate each time. The cost of an operation does not depend on the number of
/// blocks.
class Arena {
 public:
  static constexpr std::uint32_t slots_per_block = 64;

  Arena() = default;

  /// A new slot. Throws std::bad_alloc and is then unchanged.
  [[nodiscard]] Slot& allocate();

  /// The kernel must not hold it any more ("kernel owns its memory").
  void free(Slot& slot) noexcept;

  /// The slot with that index if it is in use, else null. Any index is allowed.
  [[nodiscard]] Slot* at(std::uint32_t index) noexcept;

  /// The slot with that index, which is in use.
  [[nodiscard]] Slot& operator[](std::uint32_t index) noexcept {
    REACTOR_ASSERT(at(index) != nullptr);
    return blocks_[index / slots_per_block]->slots[index % slots_per_block];
  }

  /// Calls `function` with each slot in use; it may free that one.
  template <class Function>
  void for_each(Function&& function) {
    for (std::uint32_t number = 0; number < blocks_.size(); number++) {
      for (std::uint32_t i = 0; i < slots_per_block; i++) {
        if (Slot* slot = at(number * slots_per_block + i)) function(*slot);
      }
    }
  }

  /// Forgets all blocks without freeing them: leaked on purpose, since the kernel may still write to them.
  void abandon() noexcept;

  [[nodiscard]] std::size_t blocks() const noexcept { return blocks_.size() - holes_.size(); }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t bytes() const noexcept;

 private:
  static constexpr std::uint32_t no_block = ~std::uint32_t{0};

  struct Block {
    std::array<Slot, slots_per_block> slots{};
    std::uint64_t free_mask = ~std::uint64_t{0};
    std::uint32_t number = 0;
    std::uint32_t previous = no_block, next = no_block;  // among the blocks with a free slot

    [[nodiscard]] bool is_free(std::uint32_t i) const noexcept { return ((free_mask >> i) & 1) != 0; }
  };

  Block& add_block();
  void drop_block(Block& block) noexcept;
  void link(Block& block) noexcept;
  void unlink(Block& block) noexcept;

  std::vector<std::unique_ptr<Block>> blocks_;  // by number; null where a block was released
  std::vector<std::uint32_t> holes_;            // numbers of those; capacity for all
  std::uint32_t first_with_free_ = no_block;
  std::size_t empty_blocks_ = 0;
  std::size_t used_ = 0;
};

}  // namespace reactor::afd
