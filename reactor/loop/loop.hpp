// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <reactor/clock.hpp>
#include <reactor/loop/context.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/loop/task.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor {

/// What may be chosen when a Loop is created; the defaults are right for programs.
struct LoopOptions {
  PollerOptions poller;  ///< of the Poller that the loop waits on
  /// Measure how long each resumption takes: one look at the clock each. LoopStats::longest_resumption is 0 without.
  bool measures_resumptions = false;
};

/// What a Loop has done since it was created, and what it holds now.
struct LoopStats {
  std::uint64_t turns = 0;                        ///< waits
  std::uint64_t resumptions = 0;                  ///< of tasks, by the loop
  std::uint64_t posts = 0;                        ///< posted functions that have run
  std::uint64_t timers = 0;                       ///< timers that were due
  std::uint64_t tasks = 0;                        ///< that run now: given to run, spawned, or under a time-out
  std::uint64_t armed_timers = 0;                 ///< timers that are not due yet
  std::chrono::nanoseconds timer_lag_max{};       ///< how late a timer ran, at most
  std::chrono::nanoseconds post_lag_max{};        ///< how late a posted function ran, at most
  std::chrono::nanoseconds longest_resumption{};  ///< with LoopOptions::measures_resumptions
};

namespace detail {

/// A function that was posted.
struct PostedBase {
  PostedBase() noexcept : posted_at(Clock::now()) {}
  PostedBase(const PostedBase&) = delete;
  PostedBase& operator=(const PostedBase&) = delete;
  virtual ~PostedBase() = default;
  virtual void run() noexcept = 0;

  PostedBase* next = nullptr;
  Clock::time_point posted_at;
};

template <class Function>
struct Posted final : PostedBase {
  explicit Posted(Function posted) : function(std::move(posted)) {}
  void run() noexcept override { function(); }
  Function function;
};

/// From any thread.
REACTOR_LOOP_API void post(Core& core, std::unique_ptr<PostedBase> posted) noexcept;

/// What Loop::run waits for.
class REACTOR_LOOP_API RunContext final : public Context {
 public:
  explicit RunContext(Core& core) noexcept : Context(core, nullptr) {}
  void on_finished() noexcept override { is_finished = true; }
  bool is_finished = false;
};

/// Of Task<T> and Task<Result<T>> alike: Result<T>.
template <class T>
struct Flattened {
  using type = Result<T>;
  static constexpr bool is_result = false;
};
template <class T>
struct Flattened<Result<T>> {
  using type = Result<T>;
  static constexpr bool is_result = true;
};
template <class T>
using FlattenedResult = typename Flattened<T>::type;

template <class T>
[[nodiscard]] FlattenedResult<T> take_flattened(Promise<T>& promise) {
  if constexpr (std::is_void_v<T>) {
    promise.take();
    return {};
  } else {
    return promise.take();
  }
}

}  // namespace detail

/// Runs tasks on one thread: resumes them when the sockets, timers and other tasks that they wait for are ready.
///
///   auto loop = Loop::create();
///   if (!loop) ...
///   Result<int> result = loop->run(program());
///
/// Threads: post, and what is said to be for any thread, may be called from any thread; everything else, and all
/// objects that belong to the loop (tasks, groups, sockets), only on the thread that runs it. Several loops may run in
/// several threads. Destroy tasks, groups and sockets before their loop.
class REACTOR_LOOP_API Loop {
 public:
  /// Errors: those of Poller::create.
  [[nodiscard]] static Result<Loop> create(const LoopOptions& options = {});
  /// On a Poller that the caller has made, which must have no registrations.
  [[nodiscard]] static Loop on(Poller poller, const LoopOptions& options = {});

  /// Leaves the other without anything.
  Loop(Loop&&) noexcept;
  /// Ends what it was before.
  Loop& operator=(Loop&&) noexcept;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  /// Functions that were posted and have not run are destroyed.
  ~Loop();

  /// Runs until the task ends, and returns what it returned: Result<T> for a Task<T> and for a Task<Result<T>>. Throws
  /// what the task threw. Errors of its own: those of Poller::wait that last (the loop belongs to another process,
  /// after a fork); then the task is destroyed where it stands. Not from within a task.
  template <class T>
  [[nodiscard]] detail::FlattenedResult<T> run(Task<T> task) {
    detail::RunContext context(*core_);
    // Declared after its context, so destroyed before it: what the task leaves is taken out of the context first.
    Task<T> first = std::move(task);
    context.start_soon(first.promise());
    while (!context.is_finished) {
      if (const auto turned = run_once(); !turned) return failure(turned.error());
    }
    return detail::take_flattened(first.promise());
  }

  /// One turn, for a program that has a loop of its own: runs what is ready, and if nothing is, waits until something
  /// is, or for `timeout` (none: no end). Returns how many tasks were resumed and functions called. Errors: those of
  /// Poller::wait. Not from within a task.
  [[nodiscard]] Result<std::size_t> run_once(std::optional<std::chrono::nanoseconds> timeout = std::nullopt);

  /// Calls the function on the loop's thread, in a later turn; functions of one thread in their order. Any thread, for
  /// as long as the Loop lives; wakes the loop at most once however many are posted until it runs them. The function
  /// must not throw. Throws std::bad_alloc.
  template <class Function>
  void post(Function function) {
    detail::post(*core_, std::make_unique<detail::Posted<Function>>(std::move(function)));
  }

  /// When run_once has to be called at the latest; none when only events can make it necessary. It may be a little
  /// earlier than the next timer.
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() noexcept;
  /// For another loop to watch, as Poller::native_handle: call run_once(0s) when it is readable, at next_deadline, and
  /// after anything was spawned, posted or changed from outside.
  [[nodiscard]] Result<NativeHandle> native_handle() const;

  /// What it has done so far.
  [[nodiscard]] LoopStats stats() const noexcept;
  /// What its Poller has done so far.
  [[nodiscard]] Stats poller_stats() const noexcept;
  /// Prints the tree of tasks: what each waits for, and since when.
  void dump(std::FILE* to) const;

  /// For the library.
  [[nodiscard]] detail::Core& core() const noexcept { return *core_; }

 private:
  explicit Loop(std::unique_ptr<detail::Core> core) noexcept;

  std::unique_ptr<detail::Core> core_;
};

/// The task that asks: `co_await this_task()`.
class ThisTask {
 public:
  /// For the library.
  explicit ThisTask(detail::Context& context) noexcept : context_(&context) {}

  /// It is to stop: its operations end with operation_canceled. For code that computes for long without any.
  [[nodiscard]] bool is_stopped() const noexcept { return context_->is_stopped(); }

  /// For the library.
  [[nodiscard]] detail::Context& context() const noexcept { return *context_; }

 private:
  detail::Context* context_;
};

namespace detail {

class ThisTaskOperation final : public Operation {
 public:
  void cancel() noexcept override {}
  [[nodiscard]] const char* what() const noexcept override { return "itself"; }
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  [[nodiscard]] ThisTask await_resume() const noexcept { return ThisTask(context()); }
};

class REACTOR_LOOP_API YieldOperation final : public Operation {
 public:
  void cancel() noexcept override {}
  [[nodiscard]] const char* what() const noexcept override { return "its turn"; }
  [[nodiscard]] bool await_ready() const noexcept { return is_stopped(); }
  void await_suspend(std::coroutine_handle<>) noexcept;
  // NOLINTNEXTLINE(modernize-use-nodiscard): often only its time is of interest
  Result<> await_resume() const noexcept {
    if (is_stopped()) return failure(std::errc::operation_canceled);
    return {};
  }
};

}  // namespace detail

/// `co_await this_task()`: the task that asks. Does not wait.
[[nodiscard]] inline detail::ThisTaskOperation this_task() noexcept { return {}; }

/// Lets others run: the task goes on in the loop's next turn. Error: operation_canceled.
[[nodiscard]] inline detail::YieldOperation yield() noexcept { return {}; }

}  // namespace reactor
