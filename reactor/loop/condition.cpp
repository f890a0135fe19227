// SPDX-License-Identifier: MIT
#include <reactor/loop/condition.hpp>

namespace reactor {

namespace detail {

bool ConditionOperation::await_suspend(std::coroutine_handle<>) noexcept {
  previous_ = condition_->last_;
  (previous_ != nullptr ? previous_->next_ : condition_->first_) = this;
  condition_->last_ = this;
  is_hooked_ = true;
  wait();
  return true;
}

void ConditionOperation::unhook() noexcept {
  if (!is_hooked_) return;
  is_hooked_ = false;
  (next_ != nullptr ? next_->previous_ : condition_->last_) = previous_;
  (previous_ != nullptr ? previous_->next_ : condition_->first_) = next_;
}

void ConditionOperation::cancel() noexcept {
  if (!is_pending()) return;
  is_canceled_ = true;
  unhook();
  context().complete_soon();
}

}  // namespace detail

Condition::~Condition() {
  while (first_ != nullptr) first_->cancel();
}

void Condition::notify_one() noexcept {
  if (first_ == nullptr) return;
  detail::ConditionOperation& operation = *first_;
  operation.unhook();
  operation.context().complete_soon();
}

void Condition::notify_all() noexcept {
  while (first_ != nullptr) notify_one();
}

}  // namespace reactor
