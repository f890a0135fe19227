// SPDX-License-Identifier: MIT
#pragma once

// The inside of a Loop: what its own sources share. Not installed.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <span>

#include <reactor/clock.hpp>
#include <reactor/loop/context.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/timers.hpp>
#include <reactor/poller.hpp>

namespace reactor::detail {

struct SocketState;

class Core {
 public:
  Core(Poller poller, const LoopOptions& options);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  /// One turn: waits if nothing is to be done, and does what is.
  Result<std::size_t> turn(std::optional<std::chrono::nanoseconds> timeout);
  void post(PostedBase* posted) noexcept;
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() noexcept;
  void dump(std::FILE* to) const;

  [[nodiscard]] Timers& timers() noexcept { return timers_; }
  [[nodiscard]] Poller& poller() noexcept { return poller_; }
  [[nodiscard]] const Poller& poller() const noexcept { return poller_; }
  [[nodiscard]] LoopStats stats() const noexcept;
  /// When the turn began: exact enough for a report, and free.
  [[nodiscard]] Clock::time_point turn_began() const noexcept { return now_; }

  /// False now and then: a task whose operations all complete at once has had its share, and others are to run.
  [[nodiscard]] bool take_budget() noexcept { return budget_-- > 0; }

  /// Of a socket that was closed while the events at hand may still name it: released when they are handled.
  void retire(SocketState& state) noexcept;
  /// One of the events at hand, which have not been handled yet, is of it.
  [[nodiscard]] bool is_reported(const SocketState& state) const noexcept;

  // The parts of Context that concern the loop.
  void add(Context& context) noexcept;
  void remove(Context& context) noexcept;
  void push(Context& context) noexcept;
  void erase(Context& context) noexcept;
  void resume(Context& context);
  void count_task(int change) noexcept { counted_.tasks += static_cast<std::uint64_t>(change); }

 private:
  static constexpr std::size_t events_max = 256;
  static constexpr int budget_max = 64;

  void run_queued();
  void run_posted();
  void run_timers();
  void run_events(std::span<const Event> events);
  void release_retired() noexcept;
  void measure(Clock::time_point began) noexcept;

  Poller poller_;
  Waker waker_;
  Timers timers_;
  std::array<Event, events_max> buffer_;
  std::span<const Event> at_hand_;  // events of this turn that have not been handled yet
  Context* roots_ = nullptr;
  Context* first_queued_ = nullptr;
  Context* last_queued_ = nullptr;
  std::size_t queued_ = 0;
  SocketState* retired_ = nullptr;
  Clock::time_point now_;
  int budget_ = 0;
  LoopOptions options_;
  LoopStats counted_;
  std::atomic<PostedBase*> posted_ = nullptr;  // the last one first
};

}  // namespace reactor::detail
