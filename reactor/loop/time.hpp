// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <optional>
#include <system_error>
#include <utility>

#include <reactor/clock.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/timers.hpp>

namespace reactor {

namespace detail {

[[nodiscard]] inline Clock::time_point after(Clock::duration time, Clock::time_point now = Clock::now()) noexcept {
  return now + std::min(time, Clock::time_point::max() - now);
}

/// A point in time, or a duration that begins when something begins to wait: what completes at once reads no clock.
class Until {
 public:
  explicit Until(Clock::time_point deadline) noexcept : time_(deadline.time_since_epoch()) {}
  explicit Until(Clock::duration time) noexcept : time_(time), is_relative_(true) {}
  [[nodiscard]] Clock::time_point deadline() const noexcept {
    return is_relative_ ? after(time_) : Clock::time_point(time_);
  }
  /// If the duration began then.
  [[nodiscard]] Clock::time_point deadline_from(Clock::time_point then) const noexcept {
    return is_relative_ ? after(time_, then) : Clock::time_point(time_);
  }
  [[nodiscard]] bool is_relative() const noexcept { return is_relative_; }

 private:
  Clock::duration time_;
  bool is_relative_ = false;
};

/// The timer of an operation.
class REACTOR_LOOP_API Timer {
 public:
  Timer() noexcept = default;
  Timer(const Timer&) noexcept {}  // of an operation that was not started
  Timer& operator=(const Timer&) = delete;
  ~Timer() { disarm(); }

  void arm(Core& core, Clock::time_point deadline, Operation& owner);
  /// A duration begins at the end of the loop's turn, before which no timer expires.
  void arm_in_turn(Core& core, Until until, Operation& owner);
  void disarm() noexcept {
    if (slot_ != nullptr) timers_->cancel(*std::exchange(slot_, nullptr));
  }
  /// To be called by on_timer first.
  void expired() noexcept { slot_ = nullptr; }

 private:
  Timers* timers_ = nullptr;
  Timers::Slot* slot_ = nullptr;
};

class REACTOR_LOOP_API SleepOperation final : public Operation {
 public:
  explicit SleepOperation(Clock::time_point deadline) noexcept : deadline_(deadline) {}
  void cancel() noexcept override;
  void on_timer() noexcept override;
  [[nodiscard]] const char* what() const noexcept override { return "a time"; }

  [[nodiscard]] bool await_ready() const noexcept { return is_stopped(); }
  bool await_suspend(std::coroutine_handle<>);
  // NOLINTNEXTLINE(modernize-use-nodiscard): often only its time is of interest
  Result<> await_resume() const noexcept {
    if (is_canceled_ || is_stopped()) return failure(std::errc::operation_canceled);
    return {};
  }

 private:
  Clock::time_point deadline_;
  Timer timer_;
  bool is_canceled_ = false;
};

/// An operation of ours that ends with a Result.
template <class Type>
concept AnOperation = std::derived_from<Type, Operation>;

template <AnOperation Inner>
class TimedOperation final : public Operation {
 public:
  TimedOperation(Until until, Inner&& inner) noexcept : inner_(std::move(inner)), until_(until) {}
  void cancel() noexcept override {}  // never waited for: the inner one is
  void on_timer() noexcept override {
    timer_.expired();
    is_over_ = true;
    inner_.cancel();
  }
  [[nodiscard]] const char* what() const noexcept override { return inner_.what(); }

  [[nodiscard]] bool await_ready() {
    inner_.promise = promise;
    return inner_.await_ready();
  }
  bool await_suspend(std::coroutine_handle<> awaiting) {
    if (!inner_.await_suspend(awaiting)) return false;
    timer_.arm_in_turn(core(), until_, *this);
    return true;
  }
  auto await_resume() {
    timer_.disarm();
    auto result = inner_.await_resume();
    if (is_over_ && !result && result.error() == std::errc::operation_canceled && !is_stopped()) {
      return decltype(result)(failure(std::errc::timed_out));  // assigned to `result`, it crashes GCC 12
    }
    return result;
  }

 private:
  Inner inner_;
  Until until_;
  Timer timer_;
  bool is_over_ = false;
};

/// A task in a context of its own, below that of the task that awaits it.
template <class T>
class ScopedTask : public Operation {
 public:
  void cancel() noexcept override {}  // the request to stop goes down the tree, and the task ends by that
  [[nodiscard]] const char* what() const noexcept override { return "a task"; }
  [[nodiscard]] bool await_ready() const noexcept { return false; }

 protected:
  explicit ScopedTask(Task<T> task) noexcept : task_(std::move(task)) {}
  // Before it is awaited there is no context.
  ScopedTask(ScopedTask&& other) noexcept : Operation(other), task_(std::move(other.task_)) {}

  std::coroutine_handle<> begin(std::coroutine_handle<> awaiting, Context::Inherits inherits) {
    scope_.emplace(core(), &context(), inherits);
    scope_->begin(task_.promise());
    task_.promise().continuation = awaiting;
    wait();
    return task_.promise().handle;
  }
  [[nodiscard]] FlattenedResult<T> end() {
    was_resumed();
    return take_flattened(task_.promise());
  }
  [[nodiscard]] Context& scope() noexcept {
    return *scope_;  // NOLINT(bugprone-unchecked-optional-access): wait has made it
  }

 private:
  std::optional<Context> scope_;
  Task<T> task_;  // destroyed first
};

template <class T>
class TimedTask final : public ScopedTask<T> {
 public:
  TimedTask(Until until, Task<T> task) noexcept : ScopedTask<T>(std::move(task)), until_(until) {}
  void on_timer() noexcept override {
    timer_.expired();
    is_over_ = true;
    this->scope().request_stop();
  }
  [[nodiscard]] const char* what() const noexcept override { return "a task with a time-out"; }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    timer_.arm(this->core(), until_.deadline(), *this);
    return this->begin(awaiting, Context::Inherits::stop);
  }
  FlattenedResult<T> await_resume() {
    timer_.disarm();
    auto result = this->end();
    if (!is_over_ || this->is_stopped()) return result;
    const bool was_cut = result ? !Flattened<T>::is_result : result.error() == std::errc::operation_canceled;
    if (was_cut) return failure(std::errc::timed_out);
    return result;
  }

 private:
  Until until_;
  Timer timer_;
  bool is_over_ = false;
};

template <class T>
class ShieldedTask final : public ScopedTask<T> {
 public:
  explicit ShieldedTask(Task<T> task) noexcept : ScopedTask<T>(std::move(task)) {}
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    return this->begin(awaiting, Context::Inherits::nothing);
  }
  FlattenedResult<T> await_resume() { return this->end(); }
};

}  // namespace detail

/// Waits until the time has passed, and never returns early. Error: operation_canceled.
[[nodiscard]] inline detail::SleepOperation sleep_until(Clock::time_point deadline) noexcept {
  return detail::SleepOperation(deadline);
}
/// The same for a time from now on.
[[nodiscard]] inline detail::SleepOperation sleep_for(Clock::duration time) noexcept {
  return detail::SleepOperation(detail::after(time));
}

/// Awaits an operation (a receive, a join, ...), and cancels it when the time has come: then the error is timed_out.
/// What a cancelled operation can lose is said where it is declared. If it completes in spite of that, its result is
/// returned. An operation that can complete at once does, even after the deadline.
template <detail::AnOperation Operation>
// NOLINTBEGIN(performance-unnecessary-value-param): some can only be moved
[[nodiscard]] detail::TimedOperation<Operation> with_deadline(Clock::time_point deadline,
                                                              Operation operation) noexcept {
  return {detail::Until(deadline), std::move(operation)};
}
/// Awaits a task; when the time has come, stops it (its operations end with operation_canceled) and waits for its end,
/// so nothing of it runs later. Returns Result<T> for a Task<T> and for a Task<Result<T>>. Error: timed_out, when the
/// task was cut short: a Task<Result<T>> that ends with a value, or with another error than operation_canceled, has not
/// been. Throws what the task throws.
template <class T>
[[nodiscard]] detail::TimedTask<T> with_deadline(Clock::time_point deadline, Task<T> task) noexcept {
  return {detail::Until(deadline), std::move(task)};
}
/// The same, for a time that begins when the task does; of an operation, at the end of the loop's turn in which it
/// begins to wait.
template <detail::AnOperation Operation>
[[nodiscard]] detail::TimedOperation<Operation> with_timeout(Clock::duration time, Operation operation) noexcept {
  return {detail::Until(time), std::move(operation)};
}
// NOLINTEND(performance-unnecessary-value-param)
/// The same of a task.
template <class T>
[[nodiscard]] detail::TimedTask<T> with_timeout(Clock::duration time, Task<T> task) noexcept {
  return {detail::Until(time), std::move(task)};
}

/// Awaits a task that a request to stop does not reach: for what has to be done at the end, such as to say goodbye to a
/// peer. Give it a time-out of its own: `co_await shielded(goodbye_with_timeout())`. Returns Result<T> for a Task<T>
/// and for a Task<Result<T>>.
template <class T>
[[nodiscard]] detail::ShieldedTask<T> shielded(Task<T> task) noexcept {
  return detail::ShieldedTask<T>(std::move(task));
}

}  // namespace reactor
