// SPDX-License-Identifier: MIT
#include <reactor/loop/loop.hpp>

#include <algorithm>
#include <utility>

#include <reactor/assert.hpp>
#include <reactor/loop/core.hpp>
#include <reactor/loop/memory.hpp>
#include <reactor/loop/socket_state.hpp>

namespace reactor {

namespace detail {

Core::Core(Poller poller, const LoopOptions& options)
    : poller_(std::move(poller)), waker_(poller_.waker()), now_(Clock::now()), options_(options) {}

Core::~Core() {
  require(roots_ == nullptr, "a loop ended before its tasks and groups");
  release_retired();
  for (PostedBase* posted = posted_.exchange(nullptr); posted != nullptr;) {
    const std::unique_ptr<PostedBase> owner(posted);
    posted = posted->next;
  }
  release_kept();
}

Result<std::size_t> Core::turn(std::optional<std::chrono::nanoseconds> timeout) {
  const std::uint64_t before = counted_.resumptions + counted_.posts;
  if (first_queued_ != nullptr) {
    timeout = std::chrono::nanoseconds::zero();
  } else if (timers_.armed() != 0) {
    const auto now = Clock::now();
    const auto left = std::max(timers_.next(now).value_or(now) - now, Clock::duration::zero());
    timeout = timeout ? std::min(*timeout, left) : left;
  }
  const auto events = poller_.wait(buffer_, timeout);
  now_ = Clock::now();
  ++counted_.turns;
  if (!events && events.error() != std::errc::not_enough_memory && events.error() != std::errc::interrupted) {
    return failure(events.error());
  }
  if (events && events->woken()) run_posted();
  run_timers();
  if (events) run_events(events->span());
  run_queued();
  if (timers_.has_late()) timers_.begin_late(Clock::now() - now_);
  release_retired();
  return counted_.resumptions + counted_.posts - before;
}

void Core::run_events(std::span<const Event> events) {
  for (at_hand_ = events; !at_hand_.empty();) {
    const Event& event = at_hand_.front();
    at_hand_ = at_hand_.subspan(1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the token is the state's address
    auto& state = *reinterpret_cast<SocketState*>(static_cast<std::uintptr_t>(event.token()));
    if (!state.is_retired) state.on_event(event);
  }
}

void Core::run_timers() {
  for (auto due = timers_.expire(now_); due.owner != nullptr; due = timers_.expire(now_)) {
    ++counted_.timers;
    counted_.timer_lag_max = std::max<std::chrono::nanoseconds>(counted_.timer_lag_max, now_ - due.deadline);
    due.owner->on_timer();
  }
}

void Core::run_posted() {
  PostedBase* first = nullptr;
  for (PostedBase* posted = posted_.exchange(nullptr, std::memory_order_acquire); posted != nullptr;) {
    PostedBase* const next = std::exchange(posted->next, first);
    first = std::exchange(posted, next);
  }
  while (first != nullptr) {
    const std::unique_ptr<PostedBase> owner(std::exchange(first, first->next));
    ++counted_.posts;
    counted_.post_lag_max = std::max<std::chrono::nanoseconds>(counted_.post_lag_max, now_ - owner->posted_at);
    owner->run();
  }
}

void Core::post(PostedBase* posted) noexcept {
  PostedBase* first = posted_.load(std::memory_order_relaxed);
  do {
    posted->next = first;
  } while (!posted_.compare_exchange_weak(first, posted, std::memory_order_release, std::memory_order_relaxed));
  if (first == nullptr) waker_.wake();
}

void Core::measure(Clock::time_point began) noexcept {
  counted_.longest_resumption = std::max<std::chrono::nanoseconds>(counted_.longest_resumption, Clock::now() - began);
}

std::optional<Clock::time_point> Core::next_deadline() noexcept {
  if (first_queued_ != nullptr) return Clock::now();
  return timers_.next(Clock::now());
}

LoopStats Core::stats() const noexcept {
  LoopStats stats = counted_;
  stats.armed_timers = timers_.armed();
  return stats;
}

void Core::retire(SocketState& state) noexcept {
  state.is_retired = true;
  state.next_retired = std::exchange(retired_, &state);
}

bool Core::is_reported(const SocketState& state) const noexcept {
  return std::ranges::any_of(at_hand_, [&](const Event& event) { return event.token() == state.token(); });
}

void Core::release_retired() noexcept {
  while (retired_ != nullptr) delete std::exchange(retired_, retired_->next_retired);
}

void post(Core& core, std::unique_ptr<PostedBase> posted) noexcept { core.post(posted.release()); }

void YieldOperation::await_suspend(std::coroutine_handle<>) noexcept {
  wait();
  context().complete_soon();
}

}  // namespace detail

Loop::Loop(std::unique_ptr<detail::Core> core) noexcept : core_(std::move(core)) {}
Loop::Loop(Loop&&) noexcept = default;
Loop& Loop::operator=(Loop&&) noexcept = default;
Loop::~Loop() = default;

Result<Loop> Loop::create(const LoopOptions& options) {
  auto poller = Poller::create(options.poller);
  if (!poller) return failure(poller.error());
  return on(std::move(*poller), options);
}

Loop Loop::on(Poller poller, const LoopOptions& options) {
  return Loop(std::make_unique<detail::Core>(std::move(poller), options));
}

Result<std::size_t> Loop::run_once(std::optional<std::chrono::nanoseconds> timeout) { return core_->turn(timeout); }

std::optional<Clock::time_point> Loop::next_deadline() noexcept { return core_->next_deadline(); }

Result<NativeHandle> Loop::native_handle() const { return core_->poller().native_handle(); }

LoopStats Loop::stats() const noexcept { return core_->stats(); }

Stats Loop::poller_stats() const noexcept { return core_->poller().stats(); }

void Loop::dump(std::FILE* to) const { core_->dump(to); }

}  // namespace reactor
