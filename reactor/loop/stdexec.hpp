// SPDX-License-Identifier: MIT
#pragma once

#include <version>

#if __has_include(<stdexec/execution.hpp>) && defined(__cpp_lib_jthread)  // without stdexec there is nothing here

#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include <stdexec/execution.hpp>

#include <reactor/loop/loop.hpp>
#include <reactor/loop/stop_token.hpp>

namespace reactor {

namespace detail {

template <class T>
struct SenderValue {
  using type = T;
};
template <class T>
struct SenderValue<Result<T>> {
  using type = T;
};

template <class T>
struct SenderSignatures {
  using type = stdexec::completion_signatures<stdexec::set_value_t(T), stdexec::set_error_t(std::error_code),
                                              stdexec::set_error_t(std::exception_ptr), stdexec::set_stopped_t()>;
};
template <>
struct SenderSignatures<void> {
  using type = stdexec::completion_signatures<stdexec::set_value_t(), stdexec::set_error_t(std::error_code),
                                              stdexec::set_error_t(std::exception_ptr), stdexec::set_stopped_t()>;
};

/// A task at the top of the tree, whose end completes the receiver.
template <class T, class Receiver>
class SenderOperation final : Context {
 public:
  using operation_state_concept = stdexec::operation_state_t;

  SenderOperation(Core& core, Task<T> task, Receiver receiver)
      : Context(core, nullptr),
        link_(new StopCallback::Link{this}),
        receiver_(std::move(receiver)),
        task_(std::move(task)) {}
  SenderOperation(const SenderOperation&) = delete;
  SenderOperation& operator=(const SenderOperation&) = delete;
  ~SenderOperation() override { cut(); }

  void start() noexcept {
    start_soon(task_.promise());
    const auto token = stdexec::get_stop_token(stdexec::get_env(receiver_));
    if (token.stop_requested()) return request_stop();
    callback_.emplace(token, StopCallback(core(), link_));
  }

 private:
  using Token = stdexec::stop_token_of_t<stdexec::env_of_t<Receiver>>;

  void cut() noexcept {
    callback_.reset();  // waits for a call that is under way
    link_->scope = nullptr;
  }

  // The receiver may destroy this: nothing is touched after it was completed.
  void on_finished() noexcept override {
    cut();
    if (task_.promise().exception) {
      stdexec::set_error(std::move(receiver_), std::exception_ptr(task_.promise().exception));
      return;
    }
    auto result = take_flattened(task_.promise());
    if (!result && result.error() == std::errc::operation_canceled) {
      stdexec::set_stopped(std::move(receiver_));
    } else if (!result) {
      stdexec::set_error(std::move(receiver_), std::error_code(result.error()));
    } else if constexpr (std::is_void_v<typename SenderValue<T>::type>) {
      stdexec::set_value(std::move(receiver_));
    } else {
      stdexec::set_value(std::move(receiver_), *std::move(result));
    }
  }
  [[nodiscard]] const char* label() const noexcept override { return "sender"; }

  std::shared_ptr<StopCallback::Link> link_;
  Receiver receiver_;
  std::optional<stdexec::stop_callback_for_t<Token, StopCallback>> callback_;
  Task<T> task_;  // destroyed first
};

template <class T>
class TaskSender {
 public:
  using sender_concept = stdexec::sender_t;
  using completion_signatures = typename SenderSignatures<typename SenderValue<T>::type>::type;

  TaskSender(Core& core, Task<T> task) noexcept : core_(&core), task_(std::move(task)) {}

  template <class Receiver>
  [[nodiscard]] SenderOperation<T, Receiver> connect(Receiver receiver) && {
    return {*core_, std::move(task_), std::move(receiver)};
  }

 private:
  Core* core_;
  Task<T> task_;
};

}  // namespace detail

/// A task as a sender of stdexec (P2300): `co_await as_sender(loop, task())` in a coroutine of stdexec's, or
/// `as_sender(loop, task()) | stdexec::then(...)`. It completes on the loop's thread: with the value of a Task<T> or a
/// Task<Result<T>>; as stopped, for operation_canceled; else with the error as a std::error_code, or with the exception
/// as a std::exception_ptr.
///
/// It is connected and started, and its operation is destroyed, on the loop's thread, and before the loop. A stop may
/// be requested by any thread. Not for stdexec::sync_wait on that thread, which would block the loop.
template <class T>
[[nodiscard]] detail::TaskSender<T> as_sender(Loop& loop, Task<T> task) noexcept {
  return {loop.core(), std::move(task)};
}

}  // namespace reactor

#endif
