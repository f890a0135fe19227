// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include <reactor/afd/core.hpp>
#include <reactor/afd/event_sink.hpp>
#include <reactor/backend.hpp>
#include <reactor/mutex.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// One wait: arms what is marked, dequeues packets, and does so again until there is an event, a wake, an error, or no
/// time left.
class WaitLoop {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  using Timeout = std::optional<nanoseconds>;  // none: no end

  WaitLoop(Core& core, EventSink& sink, Timeout timeout) noexcept
      : core_(core),
        sink_(sink),
        timeout_(timeout),
        overlaps_(core.waits.fetch_add(1, std::memory_order_relaxed) > 0),
        lock_(core.mutex) {}
  ~WaitLoop() { core_.waits.fetch_sub(1, std::memory_order_relaxed); }
  WaitLoop(const WaitLoop&) = delete;
  WaitLoop& operator=(const WaitLoop&) = delete;

  [[nodiscard]] Result<WaitResult> run();

 private:
  [[nodiscard]] bool is_done() const noexcept;
  void begin();
  void mark_deferred(std::optional<nanoseconds> now);
  void step();
  void arm();
  void resolve_suspects();
  [[nodiscard]] Timeout time_to_sleep();
  bool take_posts();
  [[nodiscard]] Timeout with_timer(Timeout timeout);
  void dequeue(Timeout timeout);
  [[nodiscard]] std::size_t dequeue_once(Timeout timeout, std::size_t count);
  [[nodiscard]] nt::NTSTATUS dequeue_and_change(std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets,
                                                nt::ULONG& removed, Timeout timeout);
  [[nodiscard]] nt::NTSTATUS without_lock(Timeout timeout, auto&& call);
  [[nodiscard]] bool waits_for_changes() const noexcept;
  [[nodiscard]] std::size_t packets_expected() const noexcept;
  void check_time();
  void leave();

  Core& core_;
  EventSink& sink_;
  const Timeout timeout_;
  const bool overlaps_;  // another wait was under way when this one began
  std::unique_lock<Mutex> lock_;
  std::uint32_t thread_ = 0;
  DeadlineTimers::Number timer_ = 0;
  Timeout deadline_;
  nt::NTSTATUS status_ = nt::STATUS_SUCCESS;    // of the port
  nt::NTSTATUS shortage_ = nt::STATUS_SUCCESS;  // of the last time that something was armed
  int shortages_ = 0;                           // in a row
  std::size_t refused_changes_ = 0;             // of the last call that made changes (Notifier), for a shortage
  int changes_refused_ = 0;                     // such calls in a row, with a pause in between
  int fruitless_rounds_ = 0;                    // in which what was armed completed at once, without events
  int late_rounds_ = 0;                         // since the time was up
  bool posts_came_first_ = false;
  bool is_barren_ = false;     // the last packets brought no event
  bool is_cut_short_ = false;  // the last call that made changes did not sleep
  bool has_paused_ = false;    // since changes were refused
  bool woken_ = false;
  bool is_time_up_ = false;
};

}  // namespace reactor::afd
