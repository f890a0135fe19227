// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <initializer_list>

#include <reactor/loop/io.hpp>
#include <reactor/poller.hpp>

namespace reactor {

namespace detail {

class REACTOR_LOOP_API SignalOperation final : public IoOperation {
 public:
  explicit SignalOperation(SocketState* state) noexcept : IoOperation(state, Direction::read) {}
  [[nodiscard]] const char* what() const noexcept override { return "a signal"; }
  [[nodiscard]] Result<int> await_resume() const noexcept {
    if (error()) return failure(error());
    return signal_;
  }

 private:
  Tried attempt() override;
  int signal_ = 0;
};

class REACTOR_LOOP_API WatchOperation final : public IoOperation {
 public:
  WatchOperation(SocketState* state, Direction direction) noexcept : IoOperation(state, direction) {}
  [[nodiscard]] const char* what() const noexcept override { return "readiness"; }
  [[nodiscard]] Result<> await_resume() const noexcept { return result(); }

 private:
  Tried attempt() override;
  void on_event(const Event& event) noexcept override;
  Result<> arm() override;
  bool is_ready_ = false;
};

}  // namespace detail

/// Signals that a task waits for, in the place of what they do by themselves.
///
/// Linux: a signalfd. The signals are blocked in the thread that creates this, so create it before other threads are
/// started, which inherit that; and unblocked when it is destroyed, on the same thread. Windows: SIGINT is Ctrl-C,
/// SIGBREAK Ctrl-Break, SIGTERM the end of the console, the session or the machine, before which the system gives a few
/// seconds; other signals never come.
class REACTOR_LOOP_API Signals {
 public:
  /// `Signals::create({SIGINT, SIGTERM})`. Errors: invalid_argument for a number that is no signal; the system's own.
  [[nodiscard]] static Result<Signals> create(std::initializer_list<int> signals);

  /// Leaves the other without anything.
  Signals(Signals&&) noexcept = default;
  Signals& operator=(Signals&&) = delete;
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();

  /// The next signal that comes, or has come. Cancelled: none is lost.
  [[nodiscard]] detail::SignalOperation next() noexcept { return detail::SignalOperation(state_.get()); }

 private:
  explicit Signals(detail::SocketStateOwner state) noexcept;
  detail::SocketStateOwner state_;
};

/// Waits for a socket that something else uses, or on Linux for any descriptor that a Poller takes: a pipe, a terminal,
/// an eventfd, a timerfd, a pidfd (a child process: readable once it has ended). Does not own it; it must stay open.
class REACTOR_LOOP_API Watch {
 public:
  /// Of this socket or descriptor. Throws std::bad_alloc.
  explicit Watch(NativeSocket socket);

  /// Until it is readable, or has ended: at once if it is. A hint, as of a Poller. Cancelled: nothing is lost.
  [[nodiscard]] detail::WatchOperation readable() noexcept { return {state_.get(), detail::Direction::read}; }
  /// The same until it is writable.
  [[nodiscard]] detail::WatchOperation writable() noexcept { return {state_.get(), detail::Direction::write}; }

 private:
  detail::SocketStateOwner state_;
};

}  // namespace reactor
