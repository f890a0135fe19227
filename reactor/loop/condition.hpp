// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>

#include <reactor/loop/context.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/result.hpp>

namespace reactor {

class Condition;

namespace detail {

class REACTOR_LOOP_API ConditionOperation final : public Operation {
 public:
  explicit ConditionOperation(Condition& condition) noexcept : condition_(&condition) {}
  ConditionOperation(const ConditionOperation& other) noexcept : Operation(other), condition_(other.condition_) {}
  ConditionOperation& operator=(const ConditionOperation&) = delete;
  ~ConditionOperation() override { unhook(); }

  void cancel() noexcept override;
  [[nodiscard]] const char* what() const noexcept override { return "a condition"; }
  [[nodiscard]] bool await_ready() const noexcept { return is_stopped(); }
  bool await_suspend(std::coroutine_handle<>) noexcept;
  // NOLINTNEXTLINE(modernize-use-nodiscard): often only its time is of interest
  Result<> await_resume() const noexcept {
    if (is_canceled_ || is_stopped()) return failure(std::errc::operation_canceled);
    return {};
  }

 private:
  friend Condition;
  void unhook() noexcept;

  Condition* condition_;
  ConditionOperation* next_ = nullptr;
  ConditionOperation* previous_ = nullptr;
  bool is_hooked_ = false;
  bool is_canceled_ = false;
};

}  // namespace detail

/// Lets tasks of one loop wait for what another does:
///
///   while (queue.empty()) {
///     if (const auto waited = co_await changed.wait(); !waited) co_return;
///   }
///
/// Nothing is remembered: a notification reaches the tasks that wait at that moment. As one thread runs all of them,
/// nothing can happen between the look at the queue and the wait. From other threads: Loop::post a function that
/// notifies. When it is destroyed, the tasks that wait for it get operation_canceled.
class REACTOR_LOOP_API Condition {
 public:
  Condition() noexcept = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition();

  /// Until the next notification. Error: operation_canceled.
  [[nodiscard]] detail::ConditionOperation wait() noexcept { return detail::ConditionOperation(*this); }
  /// The task that has waited longest goes on in the loop's next turn.
  void notify_one() noexcept;
  /// All that wait now do.
  void notify_all() noexcept;

 private:
  friend class detail::ConditionOperation;
  detail::ConditionOperation* first_ = nullptr;
  detail::ConditionOperation* last_ = nullptr;
};

}  // namespace reactor
