// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <reactor/assert.hpp>

namespace reactor::afd {

/// The threads that wait on a backend: which of them sleep in the kernel, and which are between two waits, with a batch
/// of events to handle. The latter will come back and arm what their last wait delivered, so that is left to them; but
/// not for longer than `grace`, or a thread that is stuck or gone would leave sockets unarmed.
///
/// In a program whose waits never overlap, a thread may hand the waiting over to another and not come back: there each
/// wait arms what any thread has left.
///
/// Not thread-safe: the backend's lock guards it.
class WaitingThreads {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  /// Far longer than a batch of events takes, and short for a program that waits for what one thread has left.
  static constexpr nanoseconds grace = std::chrono::milliseconds(100);

  /// Batches have numbers below this. What is in this one is armed by the next wait that begins on any thread: what was
  /// delivered to a thread for which no other was free, and what was modified.
  static constexpr std::uint8_t batches_max = 33, of_any_thread = 0;

  // Between waits.

  /// The batch of that thread from now on.
  [[nodiscard]] std::uint8_t begin_wait(std::uint32_t thread) noexcept {
    std::uint8_t number = find(thread);
    if (number == of_any_thread) number = find(0);
    if (number == of_any_thread) number = find_abandoned();
    if (number == of_any_thread) return of_any_thread;
    Batch& batch = batches_[number];
    batch.thread = thread;
    batch.is_waiting = true;
    batch.is_handled = false;
    return number;
  }
  /// The wait has delivered so many events, so many of which the thread has to re-arm.
  void end_wait(std::uint8_t number, std::size_t events, std::size_t to_rearm) noexcept {
    if (number == of_any_thread) return;
    Batch& batch = batches_[number];
    batch.is_waiting = false;
    batch.is_handled = events > 0;
    batch.to_rearm = to_rearm;
    if (events == 0) batch.thread = 0;
  }
  /// The batch that the thread handles; of_any_thread: none, so it counts as any other thread.
  [[nodiscard]] std::uint8_t handled_by(std::uint32_t thread) const noexcept {
    const std::uint8_t number = find(thread);
    return batches_[number].is_handled ? number : of_any_thread;
  }
  /// That thread has re-armed one more. True: it was the last of its batch, so it counts as any other thread again.
  [[nodiscard]] bool rearmed(std::uint32_t thread) noexcept {
    Batch& batch = batches_[handled_by(thread)];
    if (batch.to_rearm == 0) return false;
    if (--batch.to_rearm > 0) return false;
    batch.is_handled = false;
    return true;
  }

  // Overlap: a wait began while another was under way.

  void overlapped(nanoseconds now) noexcept { overlapped_ = now; }
  /// So is_overlapping has to be asked.
  [[nodiscard]] bool has_overlapped() const noexcept { return overlapped_.has_value(); }
  /// It happened within the last `grace`.
  [[nodiscard]] bool is_overlapping(nanoseconds now) noexcept {
    if (overlapped_ && now - *overlapped_ >= grace) overlapped_.reset();
    return overlapped_.has_value();
  }

  // Asleep.

  [[nodiscard]] bool any_sleeps() const noexcept { return sleeping_ > 0; }
  /// Some thread wakes up by itself when what was deferred is due.
  [[nodiscard]] bool any_watches() const noexcept { return watching_ > 0; }

  void begin_sleep(bool watches) noexcept {
    sleeping_++;
    watching_ += watches ? 1 : 0;
  }
  void end_sleep(bool watches) noexcept {
    REACTOR_ASSERT(sleeping_ > 0 && (!watches || watching_ > 0));
    sleeping_--;
    watching_ -= watches ? 1 : 0;
  }

  // When a batch has to be armed by whichever thread is in a wait.

  void defer(std::uint8_t number, nanoseconds now) noexcept {
    Batch& batch = batches_[number];
    if (batch.due) return;
    batch.due = now + grace;
    deferred_++;
  }
  void end_deferral(std::uint8_t number) noexcept {
    deferred_ -= batches_[number].due ? 1 : 0;
    batches_[number].due.reset();
  }
  void end_deferrals() noexcept {
    for (std::uint8_t number = 0; deferred_ > 0; number++) end_deferral(number);
  }
  [[nodiscard]] bool any_deferred() const noexcept { return deferred_ > 0; }
  /// The first time.
  [[nodiscard]] std::optional<nanoseconds> due() const noexcept {
    std::optional<nanoseconds> first;
    if (deferred_ == 0) return first;
    for (const Batch& batch : batches_) {
      if (batch.due) first = first ? std::min(*first, *batch.due) : *batch.due;
    }
    return first;
  }
  /// Ends the deferral of each batch that is due, and calls `function` with its number.
  void expire(nanoseconds now, auto&& function) {
    for (std::uint8_t number = 0; number < batches_max; number++) {
      const std::optional<nanoseconds> due = batches_[number].due;
      if (!due || now < *due) continue;
      end_deferral(number);
      function(number);
    }
  }

 private:
  struct Batch {
    std::uint32_t thread = 0;  // 0: none
    bool is_waiting = false;   // the thread is in a wait
    bool is_handled = false;   // between two waits, and has not re-armed all that it has to
    std::size_t to_rearm = 0;
    std::optional<nanoseconds> due;
  };

  [[nodiscard]] std::uint8_t find(std::uint32_t thread) const noexcept {
    const auto of_threads = std::span(batches_).subspan(1);
    const auto found = std::ranges::find(of_threads, thread, &Batch::thread);
    return found == of_threads.end() ? of_any_thread : static_cast<std::uint8_t>(1 + (found - of_threads.begin()));
  }
  // Of a thread that may have ended: nothing of it is deferred.
  [[nodiscard]] std::uint8_t find_abandoned() const noexcept {
    const auto of_threads = std::span(batches_).subspan(1);
    const auto found =
        std::ranges::find_if(of_threads, [](const Batch& batch) { return !batch.is_waiting && !batch.due; });
    return found == of_threads.end() ? of_any_thread : static_cast<std::uint8_t>(1 + (found - of_threads.begin()));
  }

  std::array<Batch, batches_max> batches_{};
  std::size_t deferred_ = 0;  // batches with a time
  std::size_t sleeping_ = 0, watching_ = 0;
  std::optional<nanoseconds> overlapped_;
};

}  // namespace reactor::afd
