// SPDX-License-Identifier: MIT
#include <reactor/afd/deadline_timers.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include <reactor/afd/packet_key.hpp>
#include <reactor/allocation.hpp>

namespace reactor::afd {

using namespace nt;
using std::chrono::nanoseconds;

bool DeadlineTimers::arm(Number& wait, nanoseconds left) noexcept {
  if (wait == 0) wait = find_free();
  if (wait == 0) return false;
  Timer& timer = timers_[wait - 1];
  timer.is_used = true;
  timer.deadline = kernel_.now() + left;
  timer.passes = 0;
  return (timer.timer != nullptr || open(timer)) && start(timer, left);
}

// One whose association goes on, if there is one: it needs a call less.
DeadlineTimers::Number DeadlineTimers::find_free() noexcept {
  auto found = std::ranges::find_if(timers_, [](const Timer& one) { return !one.is_used && one.is_pending; });
  if (found == timers_.end()) found = std::ranges::find(timers_, false, &Timer::is_used);
  if (found == timers_.end()) {
    const auto grow = [this] {
      timers_.emplace_back();
      return true;
    };
    if (!catch_bad_alloc(grow, false)) return 0;
    found = timers_.end() - 1;
  }
  return static_cast<Number>(found - timers_.begin()) + 1;
}

bool DeadlineTimers::open(Timer& timer) noexcept {
  if (timer.packet == nullptr) {
    stats_.other_calls++;
    const auto packet = kernel_.create_wait_packet();
    if (!packet) return false;
    timer.packet = *packet;
  }
  stats_.other_calls++;
  const auto opened = kernel_.create_timer();
  if (opened) timer.timer = *opened;
  // Windows before 10 1803 has no such timers, and never will.
  if (!opened && opened.error() != std::errc::not_enough_memory) is_on_ = false;
  return opened.has_value();
}

bool DeadlineTimers::start(Timer& timer, nanoseconds left) noexcept {
  stats_.timer_calls++;
  if (!NT_SUCCESS(kernel_.set_timer(timer.timer, left))) return false;
  if (timer.is_pending) return true;
  stats_.timer_calls++;
  timer.association = ++last_association_;
  bool was_signalled = false;  // a packet comes either way
  constexpr auto key = std::to_underlying(PacketKey::timer);
  void* const context = reinterpret_cast<void*>(timer.association);
  const NTSTATUS status = kernel_.associate(timer.packet, port_, timer.timer, key, context, was_signalled);
  set_pending(timer, NT_SUCCESS(status));
  return timer.is_pending;
}

void DeadlineTimers::release(Number wait) noexcept {
  if (wait != 0) timers_[wait - 1].is_used = false;
}

bool DeadlineTimers::take(const FILE_IO_COMPLETION_INFORMATION& packet, Number own) noexcept {
  if (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)} != PacketKey::timer) return false;
  const auto association = reinterpret_cast<std::uintptr_t>(packet.ApcContext);
  const auto found = std::ranges::find(timers_, association, &Timer::association);
  if (association == 0 || found == timers_.end()) {
    stats_.spurious++;
    return true;
  }
  Timer& timer = *found;
  set_pending(timer, false);
  const bool is_of_another = timer.is_used && &timer != (own == 0 ? nullptr : &timers_[own - 1]);
  if (!is_of_another) return true;
  const nanoseconds left = timer.deadline - kernel_.now();
  if (left > nanoseconds::zero()) {  // it came of an earlier wait
    static_cast<void>(start(timer, left));
  } else if (timer.passes++ < passes_max) {
    stats_.post_calls++;
    static_cast<void>(kernel_.post(port_, nullptr, std::to_underlying(PacketKey::timer), packet.ApcContext));
  }
  return true;
}

void DeadlineTimers::set_pending(Timer& timer, bool is_pending) noexcept {
  pending_ += is_pending ? 1U : 0U;
  pending_ -= timer.is_pending ? 1U : 0U;
  timer.is_pending = is_pending;
}

void DeadlineTimers::close() noexcept {
  for (Timer& timer : timers_) {
    if (timer.is_pending) {
      stats_.timer_calls++;
      static_cast<void>(kernel_.disassociate(timer.packet, true));
    }
    for (const HANDLE handle : {timer.packet, timer.timer}) {
      if (handle == nullptr) continue;
      stats_.other_calls++;
      kernel_.close(handle);
    }
  }
  timers_ = {};
  pending_ = 0;
}

}  // namespace reactor::afd
