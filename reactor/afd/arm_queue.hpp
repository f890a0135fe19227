// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/afd/waiting_threads.hpp>
#include <reactor/assert.hpp>

namespace reactor::afd {

/// Slots in order, linked through themselves: no operation allocates, and none depends on the number of slots.
class SlotList {
 public:
  SlotList(Arena& arena, ListName name) noexcept : arena_(&arena), name_(name) {}

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Slot& front() const noexcept {
    REACTOR_ASSERT(!empty());
    return (*arena_)[first_];
  }
  /// Null behind the last.
  [[nodiscard]] Slot* after(const Slot& slot) const noexcept {
    REACTOR_ASSERT(slot.list == name_);
    return slot.next == no_slot ? nullptr : &(*arena_)[slot.next];
  }

  void push_back(Slot& slot) noexcept { link(slot, last_, no_slot); }
  void push_front(Slot& slot) noexcept { link(slot, no_slot, first_); }

  void erase(Slot& slot) noexcept {
    REACTOR_ASSERT(slot.list == name_ && size_ > 0);
    slot.list = ListName::none;
    size_--;
    (slot.previous == no_slot ? first_ : (*arena_)[slot.previous].next) = slot.next;
    (slot.next == no_slot ? last_ : (*arena_)[slot.next].previous) = slot.previous;
    REACTOR_ASSERT((size_ == 0) == (first_ == no_slot) && (size_ == 0) == (last_ == no_slot));
  }

 private:
  static constexpr std::uint32_t no_slot = ~std::uint32_t{0};

  void link(Slot& slot, std::uint32_t previous, std::uint32_t next) noexcept {
    REACTOR_ASSERT(slot.list == ListName::none && (slot.is_live() || name_ == ListName::changing));
    slot.list = name_;
    size_++;
    slot.previous = previous;
    slot.next = next;
    (previous == no_slot ? first_ : (*arena_)[previous].next) = slot.index;
    (next == no_slot ? last_ : (*arena_)[next].previous) = slot.index;
  }

  Arena* arena_;
  ListName name_;
  std::uint32_t first_ = no_slot, last_ = no_slot;
  std::size_t size_ = 0;
};

/// The registrations that are to be armed, in order, and those that are to be armed later, by the reason:
///
///   delivered   their readiness was delivered: the next wait of the same thread arms them, so that no other thread is
///               given the same readiness while the first still handles it. A list for each batch of WaitingThreads
///   modified    by a thread that is between two waits: the next wait that begins arms them, or the last re-arm of
///               that thread's batch
///   suspected   the kernel would not poll their socket, and it is not known yet whether it was closed
///   changing    the kernel's registration for socket notifications is to be enabled, or of a retired slot removed, by
///               the next call that can do that
class ArmQueue {
 public:
  explicit ArmQueue(Arena& arena) noexcept
      : marked_(arena, ListName::marked),
        delivered_(make_lists(arena, std::make_index_sequence<WaitingThreads::batches_max>{})),
        modified_(arena, ListName::modified),
        suspected_(arena, ListName::suspected),
        changes_(arena, ListName::changing) {}

  [[nodiscard]] SlotList& marked() noexcept { return marked_; }
  [[nodiscard]] SlotList& suspected() noexcept { return suspected_; }
  [[nodiscard]] SlotList& changes() noexcept { return changes_; }
  [[nodiscard]] bool has_delivered(std::uint8_t batch) const noexcept { return !delivered_[batch].empty(); }
  /// Calls `function` with each batch of which something is in the list `delivered`.
  void for_each_delivered(auto&& function) const {
    for (std::uint64_t left = delivered_in_; left != 0; left &= left - 1) {
      const auto batch = static_cast<std::uint8_t>(std::countr_zero(left));
      if (has_delivered(batch)) function(batch);
    }
  }

  /// To be armed, behind the others. One that is marked already keeps its turn.
  void mark(Slot& slot) noexcept {
    if (slot.list == ListName::marked) return;
    erase(slot);
    marked_.push_back(slot);
  }
  /// To be armed before the others.
  void mark_first(Slot& slot) noexcept {
    erase(slot);
    marked_.push_front(slot);
  }
  void defer_delivered(Slot& slot, std::uint8_t batch) noexcept {
    erase(slot);
    slot.batch = batch;
    delivered_[batch].push_back(slot);
    delivered_in_ |= std::uint64_t{1} << batch;
  }
  void defer_modified(Slot& slot) noexcept { move(slot, modified_); }
  void suspect(Slot& slot) noexcept { move(slot, suspected_); }
  void change(Slot& slot) noexcept { move(slot, changes_); }

  void mark_modified() noexcept { mark_all(modified_); }
  void mark_delivered(std::uint8_t batch) noexcept { mark_all(delivered_[batch]); }
  void mark_delivered() noexcept {
    for_each_delivered([this](std::uint8_t batch) { mark_all(delivered_[batch]); });
    delivered_in_ = 0;
  }

  /// From the list that it is in, if it is in one.
  void erase(Slot& slot) noexcept {
    switch (slot.list) {
      case ListName::none: return;
      case ListName::marked: return marked_.erase(slot);
      case ListName::delivered: return delivered_[slot.batch].erase(slot);
      case ListName::modified: return modified_.erase(slot);
      case ListName::suspected: return suspected_.erase(slot);
      case ListName::changing: return changes_.erase(slot);
    }
  }

 private:
  using Lists = std::array<SlotList, WaitingThreads::batches_max>;

  template <std::size_t... Indices>
  static Lists make_lists(Arena& arena, std::index_sequence<Indices...> /*all*/) noexcept {
    return {((void)Indices, SlotList(arena, ListName::delivered))...};
  }
  void move(Slot& slot, SlotList& to) noexcept {
    erase(slot);
    to.push_back(slot);
  }
  void mark_all(SlotList& from) noexcept {
    while (!from.empty()) mark(from.front());
  }

  SlotList marked_;
  Lists delivered_;                 // by batch
  std::uint64_t delivered_in_ = 0;  // a bit for each batch of whose list not all is known to be gone
  SlotList modified_, suspected_, changes_;
};

}  // namespace reactor::afd
