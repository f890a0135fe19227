// SPDX-License-Identifier: MIT
#include <reactor/loop/group.hpp>

#include <utility>

namespace reactor::detail {

void GroupScope::fail(std::error_code why) noexcept {
  if (is_stopped() && why == std::errc::operation_canceled) return;
  if (exception_ || error_) return;
  error_ = why;
  if (on_failure_ == OnFailure::stop) request_stop();
}

void GroupScope::fail(std::exception_ptr why) noexcept {
  if (exception_ || error_) return;
  exception_ = std::move(why);
  if (on_failure_ == OnFailure::stop) request_stop();
}

void GroupScope::child_ended() {
  if (--children_ == 0 && joiner_ != nullptr) std::exchange(joiner_, nullptr)->ended();
}

JoinOperation::~JoinOperation() {
  if (is_pending() && scope_->joiner_ == this) scope_->joiner_ = nullptr;
}

// Waits for their end all the same.
void JoinOperation::cancel() noexcept {
  is_canceled_ = true;
  scope_->request_stop();
}

bool JoinOperation::await_suspend(std::coroutine_handle<>) noexcept {
  require(scope_->joiner_ == nullptr, "two tasks join one group");
  scope_->joiner_ = this;
  wait();
  return true;
}

Result<> JoinOperation::await_resume() {
  const auto error = std::exchange(scope_->error_, {});
  if (scope_->exception_) std::rethrow_exception(std::exchange(scope_->exception_, nullptr));
  if (error) return failure(error);
  if (is_canceled_ || is_stopped()) return failure(std::errc::operation_canceled);
  return {};
}

}  // namespace reactor::detail
