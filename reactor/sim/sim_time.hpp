// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <reactor/sim/sim_random.hpp>

namespace reactor::sim {

class Fiber;

/// The programs that sleep until something happens to the object that has this. Used by a Scheduler alone.
struct WaitQueue {
  std::vector<Fiber*> fibers;
};

/// Lets simulated programs take turns on one thread. Without one nothing ever sleeps: time jumps instead.
class Scheduler {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  /// The current program sleeps until `queue` is woken or that time has come; `why` is for a report of a deadlock and
  /// must stay valid meanwhile. May throw: the program's host crashed, or the World ends.
  virtual void sleep(WaitQueue& queue, std::optional<nanoseconds> until, const char* why) = 0;
  virtual void wake(WaitQueue& queue) = 0;

 protected:
  ~Scheduler() = default;
};

/// What all hosts of a simulation share: the lock, the clock, what is due, and chance.
class Timeline {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  static constexpr nanoseconds start = std::chrono::hours(1);

  Timeline(std::uint64_t seed, bool real_threads) : random(seed), real_threads_(real_threads) {}

  std::mutex mutex;  // guards all of the simulator
  std::condition_variable changed;
  Random random;
  Scheduler* scheduler = nullptr;

  [[nodiscard]] nanoseconds now() const {
    return real_threads_ ? nanoseconds(std::chrono::steady_clock::now().time_since_epoch()) : clock_;
  }
  /// Simulated time only; never back.
  void jump_to(nanoseconds time) { clock_ = std::max(clock_, time); }

  /// `what` is done when it is time, in order of time; of what is due at the same time, in the order of these calls.
  void after(nanoseconds delay, std::function<void()> what) {
    std::uint32_t place = static_cast<std::uint32_t>(actions_.size());
    if (free_.empty()) {
      actions_.push_back(std::move(what));
    } else {
      place = free_.back();
      free_.pop_back();
      actions_[place] = std::move(what);
    }
    due_.push_back({now() + delay, ++last_, place});
    std::ranges::push_heap(due_, later);
    if (real_threads_) changed.notify_all();
  }
  void run_due() {
    while (!due_.empty() && due_.front().time <= now()) {
      std::ranges::pop_heap(due_, later);
      const std::uint32_t place = due_.back().place;
      due_.pop_back();
      const auto what = std::exchange(actions_[place], nullptr);
      free_.push_back(place);
      what();
    }
  }
  [[nodiscard]] std::optional<nanoseconds> next_due() const {
    return due_.empty() ? std::nullopt : std::optional(due_.front().time);
  }

 private:
  struct Due {
    nanoseconds time;
    std::uint64_t order;
    std::uint32_t place;  // among the actions, so that the heap moves small things
  };
  static bool later(const Due& a, const Due& b) noexcept {
    return a.time != b.time ? a.time > b.time : a.order > b.order;
  }

  bool real_threads_;
  nanoseconds clock_ = start;
  std::vector<Due> due_;  // a heap: what is due first is in front
  std::vector<std::function<void()>> actions_;
  std::vector<std::uint32_t> free_;  // places among them
  std::uint64_t last_ = 0;
};

}  // namespace reactor::sim
