// SPDX-License-Identifier: MIT
#include <reactor/loop/time.hpp>

#include <reactor/loop/core.hpp>

namespace reactor::detail {

void Timer::arm(Core& core, Clock::time_point deadline, Operation& owner) {
  timers_ = &core.timers();
  slot_ = timers_->arm(deadline, owner);
}

void Timer::arm_in_turn(Core& core, Until until, Operation& owner) {
  timers_ = &core.timers();
  const auto deadline = until.deadline_from(core.turn_began());
  slot_ = until.is_relative() ? timers_->arm_late(deadline, owner) : timers_->arm(deadline, owner);
}

void SleepOperation::cancel() noexcept {
  if (!is_pending()) return;
  is_canceled_ = true;
  timer_.disarm();
  context().complete_soon();
}

void SleepOperation::on_timer() noexcept {
  timer_.expired();
  context().complete();
}

bool SleepOperation::await_suspend(std::coroutine_handle<>) {
  // One that is due already lets others run first, as any other does.
  const bool is_due = deadline_ <= Clock::now();
  if (!is_due) timer_.arm(core(), deadline_, *this);
  wait();
  if (is_due) context().complete_soon();
  return true;
}

}  // namespace reactor::detail
