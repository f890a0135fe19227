// SPDX-License-Identifier: MIT
#include <reactor/loop/timers.hpp>

#include <algorithm>
#include <utility>

#include <reactor/assert.hpp>

namespace reactor::detail {

Timers::Slot* Timers::push(Clock::time_point deadline, Operation& owner) {
  if (free_ == nullptr) {
    const std::size_t slots = (blocks_.size() + 1) * slots_in_block;
    if (late_.capacity() < slots) late_.reserve(std::max(slots, late_.capacity() * 2));
    blocks_.push_back(std::make_unique<Slot[]>(slots_in_block));  // NOLINT(*-avoid-c-arrays)
    for (std::size_t i = 0; i != slots_in_block; ++i) {
      Slot& slot = blocks_.back()[i];
      slot.next = free_;
      free_ = &slot;
    }
  }
  Slot* const slot = free_;
  heap_.push_back({deadline, slot});
  free_ = slot->next;
  *slot = {.deadline = deadline, .key = deadline, .owner = &owner, .is_listed = slot->is_listed};
  sift_up(heap_.size() - 1, heap_.back());
  return slot;
}

void Timers::begin_late(Clock::duration passed) noexcept {
  for (Slot* const slot : late_) {
    slot->is_listed = false;
    if (!std::exchange(slot->is_late, false) || slot->owner == nullptr) continue;
    slot->deadline += std::min(passed, Clock::time_point::max() - slot->deadline);
  }
  late_.clear();
}

void Timers::unlink_cancelled(Slot& slot) noexcept {
  if (slot.next != nullptr) slot.next->previous = slot.previous;
  (slot.previous != nullptr ? slot.previous->next : cancelled_) = slot.next;
}

// True when the entry at the top is that of a timer which is due at its key.
bool Timers::repair_top() noexcept {
  Slot& slot = *heap_.front().slot;
  if (slot.owner == nullptr) {
    unlink_cancelled(slot);
    slot.next = free_;
    free_ = &slot;
    pop();
    return false;
  }
  REACTOR_ASSERT(slot.deadline >= slot.key);
  if (slot.deadline == slot.key) return true;
  slot.key = slot.deadline;
  sift_down(0, {slot.key, &slot});
  return false;
}

std::optional<Clock::time_point> Timers::next(Clock::time_point now) noexcept {
  if (armed_ == 0) return std::nullopt;
  for (int repairs = 0; repairs != repairs_max && heap_.front().key - now < distant && !repair_top(); ++repairs) {
  }
  return heap_.front().key;
}

Timers::Expired Timers::expire(Clock::time_point now) noexcept {
  for (int repairs = 0; repairs != repairs_max && !heap_.empty() && heap_.front().key <= now; ++repairs) {
    if (!repair_top()) continue;
    Slot& slot = *heap_.front().slot;
    const Expired expired{slot.owner, slot.deadline};
    slot.owner = nullptr;
    slot.next = free_;
    free_ = &slot;
    --armed_;
    pop();
    return expired;
  }
  return {};
}

void Timers::pop() noexcept {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) sift_down(0, last);
}

void Timers::sift_up(std::size_t at, Entry entry) noexcept {
  while (at != 0) {
    const std::size_t parent = (at - 1) / 4;
    if (heap_[parent].key <= entry.key) break;
    heap_[at] = heap_[parent];
    at = parent;
  }
  heap_[at] = entry;
}

void Timers::sift_down(std::size_t at, Entry entry) noexcept {
  const std::size_t size = heap_.size();
  for (;;) {
    const std::size_t first = at * 4 + 1;
    if (first >= size) break;
    const std::size_t end = std::min(first + 4, size);
    std::size_t least = first;
    for (std::size_t i = first + 1; i < end; ++i) {
      if (heap_[i].key < heap_[least].key) least = i;
    }
    if (heap_[least].key >= entry.key) break;
    heap_[at] = heap_[least];
    at = least;
  }
  heap_[at] = entry;
}

}  // namespace reactor::detail
