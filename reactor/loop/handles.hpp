// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/loop/io.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor {

/// A process, as the system's calls that start one name it: a HANDLE on Windows, a number (pid_t) on Linux.
#ifdef _WIN32
using NativeProcess = void*;
#else
using NativeProcess = int;
#endif

namespace detail {

struct HandleState;

class REACTOR_LOOP_API HandleOperation : public IoOperation {
 protected:
  explicit HandleOperation(SocketState* state) noexcept : IoOperation(state, Direction::read) {}
  [[nodiscard]] HandleState& handle_state() const noexcept;

 private:
  Result<> arm() override;
};

class REACTOR_LOOP_API SignalledOperation final : public HandleOperation {
 public:
  explicit SignalledOperation(SocketState* state) noexcept : HandleOperation(state) {}
  [[nodiscard]] const char* what() const noexcept override { return "a handle"; }
  [[nodiscard]] Result<> await_resume() const noexcept { return result(); }

 private:
  Tried attempt() override;
};

class REACTOR_LOOP_API EndedOperation final : public HandleOperation {
 public:
  explicit EndedOperation(SocketState* state) noexcept : HandleOperation(state) {}
  [[nodiscard]] const char* what() const noexcept override { return "a process"; }
  [[nodiscard]] Result<int> await_resume() const noexcept {
    if (error()) return failure(error());
    return exit_code_;
  }

 private:
  Tried attempt() override;
  int exit_code_ = 0;
};

}  // namespace detail

/// Waits for what is no socket and can be waited for, by Poller::add_handle: on Windows an event, a semaphore, a timer,
/// a process, a thread; on Linux a descriptor that becomes readable: an eventfd, a timerfd, an inotify, a pipe.
///
///   HandleWatch watch(event);
///   const auto signalled = co_await watch.signalled();
///
/// Does not own it; on Linux it must stay open.
class REACTOR_LOOP_API HandleWatch {
 public:
  /// Of this handle or descriptor. Nothing is registered before the first signalled(). Throws std::bad_alloc.
  explicit HandleWatch(NativeHandle handle);

  /// Until it is signalled, and each signal once; a hint, as of a Poller. On Windows this takes the signal as
  /// WaitForSingleObject does: an auto-reset event is reset, a semaphore counted down; what stays signalled (a
  /// manual-reset event, a process) completes the next signalled() too. On Linux it takes nothing: read the descriptor,
  /// or the next signalled() completes at once. Errors: those of Poller::add_handle. One at a time.
  ///
  /// Cancelled: nothing is lost. The handle stays armed, so it may take a signal after that; the next signalled() of
  /// this object returns it, and withdraw() reports it.
  [[nodiscard]] detail::SignalledOperation signalled() noexcept { return detail::SignalledOperation(state_.get()); }

  /// Ends it: what waits ends with operation_canceled, and later ones with bad_file_descriptor. True: it was signalled,
  /// or may have been, and no signalled() has returned that; on Windows such a signal is taken. So a program that must
  /// not lose one acts as if signalled() had returned. The destructor does the same, and then it is not known.
  bool withdraw() noexcept;

 private:
  detail::SocketStateOwner state_;
};

/// Waits for the end of a child process.
class REACTOR_LOOP_API ChildWatch {
 public:
  /// Windows: a process's HANDLE, of which this keeps a duplicate. Linux: the number of a child of this process, by a
  /// pidfd (Linux 5.4); what else waits for that child, or ignores SIGCHLD, takes its exit code away. Errors:
  /// bad_file_descriptor, permission_denied, invalid_argument, no_such_process, function_not_supported, the system's
  /// own. Throws std::bad_alloc.
  [[nodiscard]] static Result<ChildWatch> create(NativeProcess process);

  /// Until it has ended, and at once if it has. Returns its exit code; on Linux 128 and the signal's number when a
  /// signal has killed it, as a shell says it, and the child is no zombie from then on. Errors: no_child_process when
  /// the exit code was taken away; those of Poller::add_handle. Cancelled: nothing is lost. One at a time.
  [[nodiscard]] detail::EndedOperation ended() noexcept { return detail::EndedOperation(state_.get()); }

 private:
  explicit ChildWatch(detail::SocketStateOwner state) noexcept;
  detail::SocketStateOwner state_;
};

}  // namespace reactor
