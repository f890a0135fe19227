// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>

namespace reactor::afd {

/// PollerOptions::high_resolution: timers that end a wait at its deadline, since the port's own time-outs end with a
/// clock tick. Each wait that sleeps until its deadline has a timer of its own, and each timer a wait packet:
///
///            arm: set, associate                    its packet is dequeued
///     idle ----------------------> pending ----------------------------------> idle
///                                  | arm: set anew, the association goes on
///
/// A wait that ends earlier leaves its timer pending: the next wait sets it anew, for one call and not two, and a
/// packet that comes in between ends no wait. Nothing here decides that time is up: that is the wait's own clock.
///
/// Not thread-safe: the backend's lock guards it.
class DeadlineTimers {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  /// The interrupts of the clock come every 15.625 ms, or more often.
  static constexpr nanoseconds tick_max = std::chrono::milliseconds(16);
  /// Only a deadline that is nearer needs a timer: a wait first sleeps until two ticks before it, by the port's
  /// time-out, which may end a tick late. So a wait that ends by an event long before costs nothing more.
  static constexpr nanoseconds distance_max = 4 * tick_max;

  /// The timer of one wait; 0: it has none.
  using Number = std::uint32_t;

  DeadlineTimers(nt::Kernel& kernel, nt::HANDLE port, bool is_wanted, Stats& stats) noexcept
      : kernel_(kernel), port_(port), stats_(stats), is_on_(is_wanted && kernel.has_wait_packets()) {}

  [[nodiscard]] bool is_on() const noexcept { return is_on_; }

  /// A packet comes once `left` has passed. `wait` is the timer of the caller's wait; 0: it gets one. False: there is
  /// none, and the wait ends by the port's time-out.
  [[nodiscard]] bool arm(Number& wait, nanoseconds left) noexcept;
  /// The wait has ended.
  void release(Number wait) noexcept;

  /// Whether the packet is of a timer. `own` is that of the wait that has dequeued it: what another thread waits for is
  /// armed again, or passed on.
  [[nodiscard]] bool take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, Number own) noexcept;

  /// How many packets may come.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return timers_.capacity() * sizeof(Timer); }
  void close() noexcept;

 private:
  // A packet that another thread has dequeued is posted again: the port prefers the thread that came to it last, so
  // that it may be one of several others again. Then its wait ends with the tick.
  static constexpr std::uint32_t passes_max = 8;

  struct Timer {
    nt::HANDLE timer = nullptr;
    nt::HANDLE packet = nullptr;
    std::uintptr_t association = 0;  // the number of the last one
    nanoseconds deadline{0};
    std::uint32_t passes = 0;
    bool is_pending = false;  // associated, or its packet is queued
    bool is_used = false;     // by a wait
  };

  [[nodiscard]] Number find_free() noexcept;
  [[nodiscard]] bool open(Timer& timer) noexcept;
  [[nodiscard]] bool start(Timer& timer, nanoseconds left) noexcept;
  void set_pending(Timer& timer, bool is_pending) noexcept;

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  Stats& stats_;
  std::vector<Timer> timers_;  // as many as waits have slept until their deadlines at a time
  std::uintptr_t last_association_ = 0;
  std::size_t pending_ = 0;
  bool is_on_;
};

}  // namespace reactor::afd
