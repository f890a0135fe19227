// SPDX-License-Identifier: MIT
#pragma once

// What Task, TaskGroup and the operations are built from. Programs use those.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include <reactor/clock.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/result.hpp>

namespace reactor::detail {

class Context;
class Core;
class Operation;

/// A use of the library that can never be right: prints that to stderr and aborts, in every build.
[[noreturn]] REACTOR_LOOP_API void misuse(const char* what) noexcept;
inline void require(bool condition, const char* what) noexcept {
  if (!condition) [[unlikely]]
    misuse(what);
}

/// What the promises of all tasks have in common.
struct PromiseBase {
  std::coroutine_handle<> handle;        // of this coroutine
  std::coroutine_handle<> continuation;  // resumed at its end; none at a context's first task
  PromiseBase* parent = nullptr;         // the task that awaits this one
  Context* context = nullptr;
  const char* name = nullptr;
};

/// What a task waits for at the bottom: a socket's readiness, a time, the end of other tasks.
///
/// Life: await_transform gives it its task; start() tries; if there is nothing yet, suspend() makes it the one
/// operation that its context waits for. Then exactly one of these happens: it completes (Context::complete), it is
/// cancelled, which makes it complete soon, or it is destroyed with its task.
class REACTOR_LOOP_API Operation {
 public:
  Operation() noexcept = default;
  Operation(const Operation&) noexcept = default;  // before it is started
  Operation& operator=(const Operation&) = delete;
  virtual ~Operation() {
    if (is_waiting_) abandon();
  }

  /// Its task is to stop, or its time is over: unless it has completed already (is_pending), let go of what it waits
  /// for, set its result to operation_canceled and complete it soon. One that must not be cut short does nothing.
  virtual void cancel() noexcept = 0;
  /// The timer that it has armed is due.
  virtual void on_timer() noexcept {}
  /// For Loop::dump.
  [[nodiscard]] virtual const char* what() const noexcept = 0;

  /// The task, or none while it has not been awaited.
  PromiseBase* promise = nullptr;

 protected:
  [[nodiscard]] Context& context() const noexcept { return *promise->context; }  // NOLINT(*UndefReturn): set by await
  [[nodiscard]] Core& core() const noexcept;
  /// Its context waits for this from now on.
  void wait() noexcept;
  /// Its context waits for this, and it has not completed.
  [[nodiscard]] bool is_pending() const noexcept;
  /// Its task is to stop.
  [[nodiscard]] bool is_stopped() const noexcept;
  /// Its task runs again, and not by the loop.
  void was_resumed() noexcept;

 private:
  friend class Context;
  friend class Core;
  void abandon() noexcept;

  bool is_waiting_ = false;
};

/// What runs one after the other: a first task and all that it awaits. So it waits for one operation at most. Contexts
/// form a tree, and a request to stop goes down that tree.
class REACTOR_LOOP_API Context {
 public:
  enum class Inherits : std::uint8_t { stop, nothing };

  Context(Core& core, Context* parent, Inherits inherits = Inherits::stop) noexcept;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  virtual ~Context();

  [[nodiscard]] Core& core() const noexcept { return *core_; }
  [[nodiscard]] bool is_stopped() const noexcept { return is_stopped_; }
  [[nodiscard]] Context* parent() const noexcept { return parent_; }

  /// All operations in it and below it end with operation_canceled from now on.
  void request_stop() noexcept;

  /// What it runs: a task that has not been awaited yet.
  void begin(PromiseBase& first) noexcept;
  /// The same, and resumes it when the loop gets there.
  void start_soon(PromiseBase& first) noexcept;
  /// Its first task has ended: on_finished is called when the loop gets there.
  std::coroutine_handle<> finish_soon() noexcept;
  /// What it waits for has completed: its task is resumed when the loop gets there.
  void complete_soon() noexcept;
  /// The same now. May only be called by the loop itself, not from within a task.
  void complete();

  /// Destroys all contexts below it, which must have been created by new.
  void destroy_children() noexcept;

  /// The last thing that the loop does with it: may destroy it.
  virtual void on_finished() noexcept {}
  /// The request to stop has come here.
  virtual void on_stop() noexcept {}
  /// For Loop::dump: the name of what has no task of its own.
  [[nodiscard]] virtual const char* label() const noexcept { return nullptr; }

 private:
  friend class Core;
  friend class Operation;
  enum class Queued : std::uint8_t { no, to_start, to_resume, to_finish };

  void queue(Queued why) noexcept;
  void unqueue() noexcept;
  void print(std::FILE* to, int depth, Clock::time_point now) const;

  Core* core_;
  Context* parent_;
  Context* first_child_ = nullptr;
  Context* next_sibling_ = nullptr;
  Context* previous_sibling_ = nullptr;
  Context* next_queued_ = nullptr;
  Context* previous_queued_ = nullptr;
  Operation* waits_for_ = nullptr;
  PromiseBase* first_ = nullptr;
  Clock::time_point since_;  // it waits
  Queued queued_ = Queued::no;
  Inherits inherits_;
  bool is_stopped_ = false;
};

inline bool Operation::is_stopped() const noexcept { return context().is_stopped(); }

}  // namespace reactor::detail
