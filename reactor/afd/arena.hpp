// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <reactor/afd/slot.hpp>

namespace reactor::afd {

/// Slots in blocks of 64 that never move. An empty block goes back to the system, but for one kept in reserve, so that
/// a program that comes and goes by one socket does not allocate every time.
class Arena {
 public:
  static constexpr std::uint32_t slots_per_block = 64;

  Arena() = default;

  /// A slot as new. Throws std::bad_alloc and is then as before.
  [[nodiscard]] Slot& allocate();

  /// The kernel must not hold it any more (rule 2).
  void free(Slot& slot) noexcept;

  /// The slot with that index if it is in use, else null.
  [[nodiscard]] Slot* at(std::uint32_t index) noexcept;

  /// The slot at exactly that address if it is in use, else null: any address may be asked for, none is touched unless
  /// it is a slot's (rule 3).
  [[nodiscard]] Slot* at_address(const void* address) noexcept;

  /// Forgets all blocks without freeing them: for when the kernel did not give them back.
  void abandon() noexcept;

  [[nodiscard]] std::size_t blocks() const noexcept { return by_address_.size(); }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t bytes() const noexcept;

 private:
  struct Block {
    std::array<Slot, slots_per_block> slots{};
    std::uint64_t free_mask = ~std::uint64_t{0};
    std::uint32_t number = 0;

    [[nodiscard]] bool is_free(std::uint32_t i) const noexcept { return ((free_mask >> i) & 1) != 0; }
  };

  Block& add_block();
  void drop_block(Block& block) noexcept;

  std::vector<std::unique_ptr<Block>> blocks_;  // by number; null where a block went back to the system
  std::vector<Block*> by_address_;              // sorted
  std::vector<std::uint32_t> with_room_;        // numbers of blocks that have a free slot; capacity for all of them
  std::size_t empty_blocks_ = 0;
  std::size_t used_ = 0;
};

}  // namespace reactor::afd
