// SPDX-License-Identifier: MIT
#include <reactor/afd/arena.hpp>

#include <bit>
#include <utility>

namespace reactor::afd {

namespace {

constexpr std::uint64_t all_free = ~std::uint64_t{0};

}  // namespace

Slot& Arena::allocate() {
  Block& block = first_with_free_ == no_block ? add_block() : *blocks_[first_with_free_];
  const auto i = static_cast<std::uint32_t>(std::countr_zero(block.free_mask));
  if (block.free_mask == all_free) empty_blocks_--;
  block.free_mask &= ~(std::uint64_t{1} << i);
  if (block.free_mask == 0) unlink(block);
  used_++;
  Slot& slot = block.slots[i];
  slot = Slot{};
  slot.index = block.number * slots_per_block + i;
  return slot;
}

Arena::Block& Arena::add_block() {
  // All that can throw comes first.
  auto block = std::make_unique<Block>();
  if (holes_.empty()) {
    holes_.reserve(blocks_.size() + 1);
    if (holes_.capacity() < blocks_.capacity()) holes_.reserve(blocks_.capacity());
    block->number = static_cast<std::uint32_t>(blocks_.size());
    blocks_.push_back(nullptr);
  } else {
    block->number = holes_.back();
    holes_.pop_back();
  }
  empty_blocks_++;
  link(*block);
  return *(blocks_[block->number] = std::move(block));
}

void Arena::free(Slot& slot) noexcept {
  REACTOR_ASSERT(at(slot.index) == &slot && slot.is_free() && slot.list == ListName::none);
  Block& block = *blocks_[slot.index / slots_per_block];
  if (block.free_mask == 0) link(block);
  block.free_mask |= std::uint64_t{1} << (slot.index % slots_per_block);
  used_--;
  if (block.free_mask != all_free) return;
  if (empty_blocks_ == 0) {
    empty_blocks_++;
  } else {
    drop_block(block);
  }
}

void Arena::drop_block(Block& block) noexcept {
  unlink(block);
  holes_.push_back(block.number);  // there is capacity: see add_block
  blocks_[block.number].reset();
}

void Arena::link(Block& block) noexcept {
  block.previous = no_block;
  block.next = first_with_free_;
  if (first_with_free_ != no_block) blocks_[first_with_free_]->previous = block.number;
  first_with_free_ = block.number;
}

void Arena::unlink(Block& block) noexcept {
  (block.previous == no_block ? first_with_free_ : blocks_[block.previous]->next) = block.next;
  if (block.next != no_block) blocks_[block.next]->previous = block.previous;
}

Slot* Arena::at(std::uint32_t index) noexcept {
  const std::uint32_t number = index / slots_per_block;
  if (number >= blocks_.size() || blocks_[number] == nullptr) return nullptr;
  Block& block = *blocks_[number];
  return block.is_free(index % slots_per_block) ? nullptr : &block.slots[index % slots_per_block];
}

void Arena::abandon() noexcept {
  for (auto& block : blocks_) static_cast<void>(block.release());
  blocks_.clear();
  holes_.clear();
  first_with_free_ = no_block;
  empty_blocks_ = used_ = 0;
}

std::size_t Arena::bytes() const noexcept {
  return blocks() * sizeof(Block) + blocks_.capacity() * sizeof(blocks_[0]) + holes_.capacity() * sizeof(holes_[0]);
}

}  // namespace reactor::afd
