// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <system_error>
#include <type_traits>
#include <utility>

#include <reactor/loop/loop.hpp>

namespace reactor {

/// What a group does when one of its tasks fails: returns a Result without a value, or throws.
enum class OnFailure : std::uint8_t {
  stop,        ///< stops the others; join reports the first failure
  keep_going,  ///< the others go on; join reports the first failure
};

namespace detail {

class JoinOperation;

/// The context of a group: its tasks' contexts are below it.
class REACTOR_LOOP_API GroupScope final : public Context {
 public:
  GroupScope(Core& core, Context* parent, OnFailure on_failure) noexcept
      : Context(core, parent), on_failure_(on_failure) {}
  [[nodiscard]] const char* label() const noexcept override { return "group"; }

  void child_began() noexcept { ++children_; }
  void child_ended();
  void fail(std::error_code why) noexcept;
  void fail(std::exception_ptr why) noexcept;
  [[nodiscard]] std::size_t children() const noexcept { return children_; }

 private:
  friend JoinOperation;
  JoinOperation* joiner_ = nullptr;
  std::size_t children_ = 0;
  std::error_code error_;
  std::exception_ptr exception_;
  OnFailure on_failure_;
};

class REACTOR_LOOP_API JoinOperation final : public Operation {
 public:
  explicit JoinOperation(GroupScope& scope) noexcept : scope_(&scope) {}
  ~JoinOperation() override;
  JoinOperation(const JoinOperation&) noexcept = default;
  JoinOperation& operator=(const JoinOperation&) = delete;

  void cancel() noexcept override;
  void ended() { context().complete(); }
  [[nodiscard]] const char* what() const noexcept override { return "the end of its group"; }
  [[nodiscard]] bool await_ready() const noexcept { return scope_->children() == 0; }
  bool await_suspend(std::coroutine_handle<>) noexcept;
  Result<> await_resume();

 private:
  GroupScope* scope_;
  bool is_canceled_ = false;
};

/// A task of a group, with its context and, for a function that returned it, that.
template <class T>
class Child : public Context, public Recycled {
 public:
  explicit Child(GroupScope& scope) noexcept : Context(scope.core(), &scope) {}
  void start(Task<T> task) noexcept {
    task_ = std::move(task);
    scope().child_began();
    start_soon(task_.promise());
  }
  void on_finished() noexcept override {
    report();
    GroupScope& of = scope();
    delete this;
    of.child_ended();
  }

 protected:
  ~Child() override = default;
  void drop() noexcept { task_ = {}; }

 private:
  [[nodiscard]] GroupScope& scope() const noexcept { return static_cast<GroupScope&>(*parent()); }
  void report() noexcept {
    if (task_.promise().exception) return scope().fail(task_.promise().exception);
    if constexpr (Flattened<T>::is_result) {
      if (const auto result = task_.promise().take(); !result) scope().fail(result.error());
    }
  }

  Task<T> task_;
};

template <class Function, class T>
class FunctionChild final : public Child<T> {
 public:
  FunctionChild(GroupScope& scope, Function function) : Child<T>(scope), function_(std::move(function)) {}
  void start() { Child<T>::start(function_()); }

 private:
  // What its coroutine refers to is destroyed before ~Child would destroy that: so the coroutine goes first.
  ~FunctionChild() override { this->drop(); }
  Function function_;
};

}  // namespace detail

/// Tasks that run at the same time. They end before the group does.
///
///   TaskGroup group(co_await this_task());
///   group.spawn(first());
///   group.spawn(second());
///   const Result<> joined = co_await group.join();
///
/// A request to stop that reaches the task which made the group reaches the group's tasks too. The destructor destroys
/// tasks that have not ended where they stand (their destructors run, nothing else of them): join to let them end by
/// themselves. Must not be destroyed by one of its own tasks. On the loop's thread only.
class TaskGroup {
 public:
  /// Within a task: `TaskGroup group(co_await this_task());`
  explicit TaskGroup(const ThisTask& within, OnFailure on_failure = OnFailure::stop) noexcept
      : scope_(within.context().core(), &within.context(), on_failure) {}
  /// At the top, not within a task: for a program that calls Loop::run_once. Only the program stops it.
  explicit TaskGroup(const Loop& loop, OnFailure on_failure = OnFailure::stop) noexcept
      : scope_(loop.core(), nullptr, on_failure) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() { scope_.destroy_children(); }

  /// Starts the task in the loop's next turn. Its value is dropped. In a group that was stopped it starts too, and its
  /// operations end with operation_canceled. Throws std::bad_alloc.
  template <class T>
  void spawn(Task<T> task) {
    (new detail::Child<T>(scope_))->start(std::move(task));
  }
  /// Calls a function that returns a task, and keeps the function until the task ends: for lambdas that capture.
  template <std::invocable Function>
  void spawn(Function function) {
    using T = typename std::invoke_result_t<Function&>::value_type;
    (new detail::FunctionChild<Function, T>(scope_, std::move(function)))->start();
  }

  /// Waits until no task is left; the group may be used again then. Error: that of the first task that failed, or
  /// operation_canceled when the task that joins is to stop: after the group's tasks have ended, in every case. A
  /// time-out (with_timeout) stops the group, and waits as well. Throws what the first task threw, if that was the
  /// first failure. One task at a time may join.
  [[nodiscard]] detail::JoinOperation join() noexcept { return detail::JoinOperation(scope_); }

  /// The operations of its tasks, now and later, end with operation_canceled. That is no failure of theirs.
  void stop() noexcept { scope_.request_stop(); }
  /// It was stopped, by stop, by a failure or because the task that made it was.
  [[nodiscard]] bool is_stopped() const noexcept { return scope_.is_stopped(); }
  /// How many tasks have not ended.
  [[nodiscard]] std::size_t size() const noexcept { return scope_.children(); }

 private:
  detail::GroupScope scope_;
};

}  // namespace reactor
