// SPDX-License-Identifier: MIT
#include <reactor/afd/arena.hpp>

#include <algorithm>
#include <bit>
#include <utility>

namespace reactor::afd {

namespace {

constexpr std::uint64_t all_free = ~std::uint64_t{0};

std::uintptr_t number_of(const void* address) noexcept { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

Slot& Arena::allocate() {
  Block& block = with_room_.empty() ? add_block() : *blocks_[with_room_.back()];
  const auto i = static_cast<std::uint32_t>(std::countr_zero(block.free_mask));
  if (block.free_mask == all_free) empty_blocks_--;
  block.free_mask &= ~(std::uint64_t{1} << i);
  if (block.free_mask == 0) with_room_.pop_back();
  used_++;
  Slot& slot = block.slots[i];
  slot = Slot{};
  slot.index = block.number * slots_per_block + i;
  return slot;
}

Arena::Block& Arena::add_block() {
  auto hole = std::ranges::find_if(blocks_, [](const auto& block) { return block == nullptr; });
  const auto number = static_cast<std::uint32_t>(hole - blocks_.begin());
  // All that can throw comes first.
  auto block = std::make_unique<Block>();
  with_room_.reserve(by_address_.size() + 1);
  by_address_.reserve(by_address_.size() + 1);
  if (hole == blocks_.end()) hole = blocks_.insert(hole, nullptr);
  block->number = number;
  by_address_.insert(std::ranges::upper_bound(by_address_, number_of(block.get()), {}, number_of), block.get());
  with_room_.push_back(number);
  empty_blocks_++;
  return *(*hole = std::move(block));
}

void Arena::free(Slot& slot) noexcept {
  Block& block = *blocks_[slot.index / slots_per_block];
  const std::uint64_t bit = std::uint64_t{1} << (slot.index % slots_per_block);
  if (block.free_mask == 0) with_room_.push_back(block.number);  // there is capacity: see add_block
  block.free_mask |= bit;
  used_--;
  if (block.free_mask != all_free) return;
  if (empty_blocks_ == 0) {
    empty_blocks_++;
  } else {
    drop_block(block);
  }
}

void Arena::drop_block(Block& block) noexcept {
  std::erase(by_address_, &block);
  std::erase(with_room_, block.number);
  blocks_[block.number].reset();
}

Slot* Arena::at(std::uint32_t index) noexcept {
  const std::uint32_t number = index / slots_per_block;
  if (number >= blocks_.size() || blocks_[number] == nullptr) return nullptr;
  Block& block = *blocks_[number];
  return block.is_free(index % slots_per_block) ? nullptr : &block.slots[index % slots_per_block];
}

Slot* Arena::at_address(const void* address) noexcept {
  const auto after = std::ranges::upper_bound(by_address_, number_of(address), {}, number_of);
  if (after == by_address_.begin()) return nullptr;
  Block& block = **(after - 1);
  const std::uintptr_t offset = number_of(address) - number_of(block.slots.data());
  if (offset >= sizeof block.slots || offset % sizeof(Slot) != 0) return nullptr;
  const auto i = static_cast<std::uint32_t>(offset / sizeof(Slot));
  return block.is_free(i) ? nullptr : &block.slots[i];
}

void Arena::abandon() noexcept {
  for (auto& block : blocks_) static_cast<void>(block.release());
  blocks_.clear();
  by_address_.clear();
  with_room_.clear();
  empty_blocks_ = used_ = 0;
}

std::size_t Arena::bytes() const noexcept {
  const std::size_t pointers = blocks_.capacity() + by_address_.capacity();
  return by_address_.size() * sizeof(Block) + pointers * sizeof(void*) + with_room_.capacity() * sizeof(std::uint32_t);
}

}  // namespace reactor::afd
