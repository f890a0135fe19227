// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <reactor/clock.hpp>
#include <reactor/loop/export.hpp>

namespace reactor::detail {

class Operation;

/// The timers of a loop: a 4-ary heap of (time, slot), and slots that hold what changes.
///
/// An entry of the heap is not touched when its timer is cancelled or moved to a later time: the slot has that, and the
/// entry is dropped or put right when it comes to the top. The next timer that is armed takes over the slot that was
/// cancelled last together with its entry, if that stands at no later a time. So where time-outs are armed and
/// cancelled again and again, both are a few stores, and the heap has no more entries than there were timers at one
/// time.
class REACTOR_LOOP_API Timers {
 public:
  struct Slot {
    Clock::time_point deadline;
    Clock::time_point key;       // where its entry stands in the heap: not later than the deadline
    Operation* owner = nullptr;  // none: cancelled
    Slot* next = nullptr;        // among the free ones, or the cancelled ones
    Slot* previous = nullptr;    // among the cancelled ones
    bool is_late = false;        // armed by arm_late, and its time has not begun
    bool is_listed = false;      // in late_
  };

  Timers() = default;
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;
  ~Timers() = default;

  /// The slot is the caller's until it is cancelled or has expired. Throws std::bad_alloc.
  [[nodiscard]] Slot* arm(Clock::time_point deadline, Operation& owner) {
    ++armed_;
    if (cancelled_ != nullptr && cancelled_->key <= deadline) {
      Slot* const slot = cancelled_;
      unlink_cancelled(*slot);
      slot->deadline = deadline;
      slot->owner = &owner;
      slot->is_late = false;
      return slot;
    }
    return push(deadline, owner);
  }

  /// The same, and moved later by what passes until begin_late: so many time-outs that are armed one after the other
  /// read the clock once. It must not be due before. Throws std::bad_alloc.
  [[nodiscard]] Slot* arm_late(Clock::time_point deadline, Operation& owner) {
    Slot* const slot = arm(deadline, owner);
    slot->is_late = true;
    if (!std::exchange(slot->is_listed, true)) late_.push_back(slot);  // there is capacity for all slots
    return slot;
  }
  [[nodiscard]] bool has_late() const noexcept { return !late_.empty(); }
  void begin_late(Clock::duration passed) noexcept;

  /// To an earlier time too, and the slot may be another one then. Throws std::bad_alloc.
  void move(Slot*& slot, Clock::time_point deadline) {
    if (slot->key <= deadline) {
      slot->deadline = deadline;
      return;
    }
    Operation& owner = *slot->owner;
    cancel(*slot);
    slot = arm(deadline, owner);
  }

  void cancel(Slot& slot) noexcept {
    --armed_;
    slot.owner = nullptr;
    slot.previous = nullptr;
    slot.next = cancelled_;
    if (cancelled_ != nullptr) cancelled_->previous = &slot;
    cancelled_ = &slot;
  }

  /// When to look again: the next deadline, or earlier. None when no timer is armed. An entry that is far from due is
  /// not put right, as its timer may be cancelled or moved again before: that costs a second one look at most.
  [[nodiscard]] std::optional<Clock::time_point> next(Clock::time_point now) noexcept;

  struct Expired {
    Operation* owner = nullptr;
    Clock::time_point deadline;
  };
  /// One that was due at `now`, which it has disarmed. No owner: there is none, or next() is in the past.
  [[nodiscard]] Expired expire(Clock::time_point now) noexcept;

  [[nodiscard]] std::size_t armed() const noexcept { return armed_; }
  /// Entries in the heap, of which some may be of timers that were cancelled.
  [[nodiscard]] std::size_t entries() const noexcept { return heap_.size(); }

 private:
  struct Entry {
    Clock::time_point key;
    Slot* slot;
  };
  static constexpr std::size_t slots_in_block = 256;
  // So many entries are dropped or put right before a caller is served: no call takes long.
  static constexpr int repairs_max = 64;
  static constexpr Clock::duration distant = std::chrono::seconds(1);

  Slot* push(Clock::time_point deadline, Operation& owner);
  void unlink_cancelled(Slot& slot) noexcept;
  bool repair_top() noexcept;
  void pop() noexcept;
  void sift_up(std::size_t at, Entry entry) noexcept;
  void sift_down(std::size_t at, Entry entry) noexcept;

  std::vector<Entry> heap_;
  std::vector<std::unique_ptr<Slot[]>> blocks_;  // NOLINT(*-avoid-c-arrays)
  Slot* free_ = nullptr;
  Slot* cancelled_ = nullptr;  // the last one first
  std::vector<Slot*> late_;    // those of arm_late in this turn, of which some may have been cancelled since
  std::size_t armed_ = 0;
};

}  // namespace reactor::detail
