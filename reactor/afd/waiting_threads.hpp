// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <reactor/assert.hpp>

namespace reactor::afd {

/// The threads that wait on a backend: which of them sleep in the kernel, and which are between two waits, with events
/// to handle. The latter will come back and arm what they have marked, all together, so that is left to them; but not
/// for longer than `grace` while another thread sleeps, or a thread that is stuck or gone would leave sockets unarmed.
///
/// Not thread-safe: the backend's lock guards it.
class WaitingThreads {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  /// Far longer than a batch of events takes, and short for a program that waits for what one thread has left.
  static constexpr nanoseconds grace = std::chrono::milliseconds(100);

  // Between waits.

  void begin_wait(std::uint32_t thread) noexcept {
    if (Batch* batch = find(thread)) *batch = {};
  }
  /// A wait has given that thread events, so many of which it has to re-arm.
  void end_wait(std::uint32_t thread, std::size_t events, std::size_t to_rearm) noexcept {
    // With no place left it counts as any other thread: what it marks is armed at once.
    if (Batch* free = events == 0 ? nullptr : find(0)) *free = {thread, to_rearm};
  }
  [[nodiscard]] bool is_between_waits(std::uint32_t thread) noexcept { return find(thread) != nullptr; }
  /// That thread has re-armed one more. True: it was the last of its batch, so it counts as any other thread again.
  [[nodiscard]] bool rearmed(std::uint32_t thread) noexcept {
    Batch* batch = find(thread);
    if (batch == nullptr || batch->to_rearm == 0) return false;
    if (--batch->to_rearm > 0) return false;
    *batch = {};
    return true;
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

  // When what was deferred has to be armed by a thread that sleeps.

  void defer(nanoseconds now) noexcept {
    if (!due_) due_ = now + grace;
  }
  void end_deferral() noexcept { due_.reset(); }
  [[nodiscard]] std::optional<nanoseconds> due() const noexcept { return due_; }

 private:
  struct Batch {
    std::uint32_t thread = 0;  // 0: none
    std::size_t to_rearm = 0;
  };
  [[nodiscard]] Batch* find(std::uint32_t thread) noexcept {
    const auto found = std::ranges::find(between_, thread, &Batch::thread);
    return found == between_.end() ? nullptr : &*found;
  }

  std::array<Batch, 32> between_{};
  std::size_t sleeping_ = 0, watching_ = 0;
  std::optional<nanoseconds> due_;
};

}  // namespace reactor::afd
