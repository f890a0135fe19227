// SPDX-License-Identifier: MIT
//
// Waits, wakes, and what other threads do while one sleeps.
#include <algorithm>
#include <array>
#include <utility>

#include <reactor/nt/status.hpp>

#include "model_checker.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

void Checker::wake() {
  backend_->wake();
  if (std::exchange(is_wake_owed_, true)) return;
  woken_at_ = sim_.now();
  waits_since_wake_ = 0;
}

void Checker::wait(const Step& step) {
  static constexpr std::array<std::optional<nanoseconds>, 8> timeouts{0ns, 1ms, 5ms,          20ms,
                                                                      0ns, 1s,  std::nullopt, 300us};
  std::vector<Event> buffer((1 + step.a % 64) * program_.buffer_max / 64);
  const std::size_t count = wait_once(buffer, timeouts[step.b % 8]);
  serve(std::span(buffer).first(count), step.c);
}

std::size_t Checker::wait_once(std::span<Event> buffer, std::optional<nanoseconds> timeout) {
  for (Wait* other : asleep_) other->was_kept = true;
  between_waits_[thread_] = {};
  end_deferrals();
  Wait wait{.number = ++waits_,
            .begin = sim_.now(),
            .timeout = timeout,
            .buffer = buffer.size(),
            .counted = kernel_.counted(),
            .returned = kernel_.returned(),
            .unarmed = unarmed(),
            .marked = marked_before_wait_,
            .empties = sim_.empty_answers(),
            .inlines = sim_.inline_answers(),
            .owed = kernel_.owed_cancels() + (kernel_.owes_post() ? 1 : 0)};
  asleep_.push_back(&wait);
  const auto waited = wait_in_backend(buffer, timeout);
  asleep_.pop_back();
  const std::size_t events = waited ? waited->events : 0;
  const auto of_objects = std::ranges::count_if(buffer.first(events), is_object);
  wait.buffer -= static_cast<std::size_t>(of_objects);
  judge_calls(wait, events - static_cast<std::size_t>(of_objects), !waited);
  if (!waited) {
    note("  the wait failed: ", waited.error().message());
    judge_failure(wait, waited.error());
    judge_wakes(wait, false, false);
    check_books();
    return 0;
  }
  require(waited->events <= buffer.size(), "more events than the buffer holds");
  judge(wait, buffer.first(waited->events), waited->woken);
  check_books();
  return waited->events;
}

// The kernel is about to put a thread to sleep: plays the other threads. False: they do nothing, so time goes on.
bool Checker::while_asleep() {
  Wait& wait = *asleep_.back();
  see_denials();
  if (!is_quiet_ && next_step_ < program_.steps.size() && program_.steps[next_step_].during) {
    if (program_.steps[next_step_].op == Op::pass) {
      next_step_++;
      return !wait.timeout;  // nothing may be due at any time
    }
    const std::uint64_t calls = kernel_.counted().calls;
    run_step();
    wait.of_others += kernel_.counted().calls - calls;
    return true;
  }
  if (program_.is_strict()) judge_no_events("a thread sleeps", asleep_.size());
  if (wait.timeout) return false;
  // Nothing else would end it: a wake, or the next call after one whose packet was refused.
  if (is_wake_owed_ && !kernel_.owes_post()) return false;
  note("  wake");
  const std::uint64_t calls = kernel_.counted().calls;
  wake();
  wait.of_others += kernel_.counted().calls - calls;
  return true;
}

void Checker::serve(std::span<const Event> events, std::uint8_t how) {
  if ((how & 1) == 0) return;
  for (const Event& event : events) {
    if (!is_object(event)) {
      serve(event, how);
    } else if ((how & 2) != 0) {
      rearm_object(objects_[static_cast<std::size_t>(event.token()) & 0xFF]);
    }
  }
}

// What a program does with an event: it reads, calls drained or modify, and closes when the peer did.
void Checker::serve(const Event& event, std::uint8_t how) {
  Registered* reg = &registered_[static_cast<std::size_t>(event.token())];
  if (reg->state != State::live) return;
  const auto socket = std::ranges::find(sockets_, reg->number, &Socket::number);
  if (socket == sockets_.end()) return;
  const SocketNumber number = reg->number;
  if (event.readable()) {
    if (socket->endpoint->state == SocketState::listening) {
      accept(number);
    } else {
      recv(*socket, (how & 4) != 0 ? 1 : 1 << 20);
    }
  }
  if (event.priority()) static_cast<void>(net_.recv_urgent(number));
  reg = &registered_[static_cast<std::size_t>(event.token())];
  // It is not armed again before the next wait begins, so from now on only what is true now can be reported.
  if (asleep_.empty() || checks(Rule::defer)) restart_history(*reg);
  if ((event.read_closed() || event.failed()) && (how & 8) != 0) {
    const auto gone = std::ranges::find(sockets_, number, &Socket::number);
    return close(static_cast<std::size_t>(gone - sockets_.begin()), false, (how & 16) != 0);
  }
  if ((how & 2) == 0) return;
  if (reg->mode == Mode::oneshot) return modify(*reg, reg->interest, {});
  if (reg->mode == Mode::edge)
    return drained(*reg, event.writable() ? Interest::readable | Interest::writable : Interest::readable);
  if (event.writable() && (how & 32) != 0) modify(*reg, Interest::readable, {});
}

}  // namespace reactor::sim::model
