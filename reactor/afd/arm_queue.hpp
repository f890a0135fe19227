// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/slot.hpp>
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
///   delivered   their readiness was delivered: the next wait that begins arms them, so that no other thread is given
///               the same readiness while the first still handles it
///   modified    by a thread that is between two waits and will arm them together
///   suspected   the kernel would not poll their socket, and it is not known yet whether it was closed
///   changing    the kernel's registration for socket notifications is to be enabled, or of a retired slot removed, by
///               the next call that can do that
class ArmQueue {
 public:
  explicit ArmQueue(Arena& arena) noexcept
      : marked_(arena, ListName::marked),
        delivered_(arena, ListName::delivered),
        modified_(arena, ListName::modified),
        suspected_(arena, ListName::suspected),
        changes_(arena, ListName::changing) {}

  [[nodiscard]] SlotList& marked() noexcept { return marked_; }
  [[nodiscard]] SlotList& suspected() noexcept { return suspected_; }
  [[nodiscard]] SlotList& changes() noexcept { return changes_; }
  [[nodiscard]] bool has_deferred() const noexcept { return !delivered_.empty() || !modified_.empty(); }

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
  void defer_delivered(Slot& slot) noexcept { move(slot, delivered_); }
  void defer_modified(Slot& slot) noexcept { move(slot, modified_); }
  void suspect(Slot& slot) noexcept { move(slot, suspected_); }
  void change(Slot& slot) noexcept { move(slot, changes_); }

  void mark_modified() noexcept { mark_all(modified_); }
  void mark_deferred() noexcept {
    mark_all(delivered_);
    mark_all(modified_);
  }

  /// From the list that it is in, if it is in one.
  void erase(Slot& slot) noexcept {
    switch (slot.list) {
      case ListName::none: return;
      case ListName::marked: return marked_.erase(slot);
      case ListName::delivered: return delivered_.erase(slot);
      case ListName::modified: return modified_.erase(slot);
      case ListName::suspected: return suspected_.erase(slot);
      case ListName::changing: return changes_.erase(slot);
    }
  }

 private:
  void move(Slot& slot, SlotList& to) noexcept {
    erase(slot);
    to.push_back(slot);
  }
  void mark_all(SlotList& from) noexcept {
    while (!from.empty()) mark(from.front());
  }

  SlotList marked_, delivered_, modified_, suspected_, changes_;
};

}  // namespace reactor::afd
