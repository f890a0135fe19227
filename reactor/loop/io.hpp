// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>

#include <reactor/event.hpp>
#include <reactor/loop/context.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::detail {

struct SocketState;
enum class Direction : std::uint8_t { read, write };

struct REACTOR_LOOP_API SocketStateDeleter {
  void operator()(SocketState* state) const noexcept;
};
using SocketStateOwner = std::unique_ptr<SocketState, SocketStateDeleter>;

/// An operation on a socket: tries, and waits for readiness only if that would block.
class REACTOR_LOOP_API IoOperation : public Operation {
 public:
  IoOperation(const IoOperation&) noexcept = default;
  IoOperation& operator=(const IoOperation&) = delete;
  ~IoOperation() override { unhook(); }

  void cancel() noexcept override;
  [[nodiscard]] bool await_ready();
  /// False: it could not wait, and is complete with an error.
  bool await_suspend(std::coroutine_handle<>);

 protected:
  IoOperation(SocketState* state, Direction direction) noexcept : state_(state), direction_(direction) {}

  /// What came of trying.
  enum class Tried : std::uint8_t { completed, would_block, must_pause };
  [[nodiscard]] virtual Tried attempt() = 0;
  /// Of a readiness that is about to be delivered.
  virtual void on_event(const Event& /*event*/) noexcept {}
  /// How it waits: by the socket's readiness.
  [[nodiscard]] virtual Result<> arm();

  Tried complete() noexcept { return Tried::completed; }
  Tried fail(std::error_code why) noexcept {
    error_ = why;
    return Tried::completed;
  }
  /// Of an error of the system: would-block, or the end.
  Tried fail_or_wait(std::error_code why) noexcept {
    return why == std::errc::operation_would_block ? Tried::would_block : fail(why);
  }
  [[nodiscard]] const std::error_code& error() const noexcept { return error_; }
  [[nodiscard]] Result<> result() const noexcept {
    if (error_) return failure(error_);
    return {};
  }
  /// For a pause that is over: tries again.
  void try_again();
  void unhook() noexcept {
    if (is_hooked_) leave();
  }
  [[nodiscard]] SocketState* state() const noexcept { return state_; }
  void use(SocketState* state) noexcept { state_ = state; }

 private:
  friend struct SocketState;
  void leave() noexcept;
  /// True when it is over.
  bool attempt_now();

  SocketState* state_;
  std::error_code error_;
  Direction direction_;
  bool is_hooked_ = false;    // the socket's state knows it
  bool is_complete_ = false;  // but its task has to let others run first
};

}  // namespace reactor::detail
