// SPDX-License-Identifier: MIT
#pragma once

#include <version>

#if defined(__cpp_lib_jthread)  // a library that has no std::stop_token yet goes without

#include <coroutine>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>

namespace reactor {

namespace detail {

/// Called by any thread that requests a stop. The link is cut when the task has ended, and only the loop's thread
/// looks.
class StopCallback {
 public:
  struct Link {
    Context* scope;
  };
  StopCallback(Core& core, std::shared_ptr<Link> link) noexcept : core_(&core), link_(std::move(link)) {}
  void operator()() const {
    auto stop = [link = link_] {
      if (link->scope != nullptr) link->scope->request_stop();
    };
    post(*core_, std::make_unique<Posted<decltype(stop)>>(std::move(stop)));
  }

 private:
  Core* core_;
  std::shared_ptr<Link> link_;
};

template <class T>
class StopTokenTask final : public ScopedTask<T> {
 public:
  StopTokenTask(std::stop_token token, Task<T> task) noexcept
      : ScopedTask<T>(std::move(task)), token_(std::move(token)) {}
  StopTokenTask(StopTokenTask&& other) noexcept : ScopedTask<T>(std::move(other)), token_(std::move(other.token_)) {}
  StopTokenTask(const StopTokenTask&) = delete;
  StopTokenTask& operator=(const StopTokenTask&) = delete;
  StopTokenTask& operator=(StopTokenTask&&) = delete;
  ~StopTokenTask() override { cut(); }

  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    const auto first = this->begin(awaiting, Context::Inherits::stop);
    link_.reset(new StopCallback::Link{&this->scope()});
    // A token that is stopped already needs no post.
    if (token_.stop_requested()) {
      this->scope().request_stop();
    } else {
      callback_.emplace(token_, StopCallback(this->core(), link_));
    }
    return first;
  }
  FlattenedResult<T> await_resume() {
    cut();
    return this->end();
  }

 private:
  void cut() noexcept {
    callback_.reset();  // waits for a call that is under way
    if (link_) link_->scope = nullptr;
  }

  std::stop_token token_;
  std::shared_ptr<StopCallback::Link> link_;
  std::optional<std::stop_callback<StopCallback>> callback_;
};

}  // namespace detail

/// Awaits a task, and stops it when a stop of the token is requested, by any thread; waits for its end in any case.
/// Returns Result<T> for a Task<T> and for a Task<Result<T>>: operation_canceled, if its operations ended with that.
template <class T>
[[nodiscard]] detail::StopTokenTask<T> with_stop(std::stop_token token, Task<T> task) noexcept {
  return detail::StopTokenTask<T>(std::move(token), std::move(task));
}

/// The other way round: a std::stop_token whose stop is requested when the task that made this is to stop. For code
/// that knows no tasks, such as a std::jthread that works for one.
///
///   StopForwarder forwarder(co_await this_task());
///   compute(forwarder.token());
///
/// Callbacks of the token run within the request: they may post to the loop, and must not touch tasks and groups.
class StopForwarder final : private detail::Context {
 public:
  explicit StopForwarder(const ThisTask& of) : Context(of.context().core(), &of.context()) {
    if (is_stopped()) source_.request_stop();
  }
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  void on_stop() noexcept override { source_.request_stop(); }
  [[nodiscard]] const char* label() const noexcept override { return "stop token"; }
  std::stop_source source_;
};

}  // namespace reactor

#endif
