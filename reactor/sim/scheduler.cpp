// SPDX-License-Identifier: MIT
//
// Whose turn it is, and when time passes.
#include <algorithm>

#include <reactor/sim/world_state.hpp>

namespace reactor::sim {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

void WorldState::add_program(HostState& host, HostState::Program program) {
  if (program.name.empty()) program.name = "program " + std::to_string(host.programs.size() + 1);
  host.programs.push_back(std::move(program));
  if (host.stack().is_up) begin(host, host.programs.back());
}

void WorldState::begin(HostState& host, const HostState::Program& program) {
  auto fiber = std::make_unique<Fiber>();
  fiber->host = &host;
  fiber->name = program.name;
  fiber->id = ++last_fiber_;
  fiber->may_wait_for_ever = program.may_wait_for_ever;
  fiber->stack = std::make_unique<StackSwitch>(options.stack_bytes, [self = fiber.get(), body = program.begin] {
    try {
      if (!self->is_killed) body();
    } catch (const ProgramKilled&) {
      // its host crashed
    } catch (...) {
      self->thrown = std::current_exception();
    }
    self->state = Fiber::State::ended;
  });
  runnable_.push_back(fiber.get());
  fibers_.push_back(std::move(fiber));
}

void WorldState::make_runnable(Fiber& fiber) {
  if (fiber.state != Fiber::State::asleep) return;
  if (fiber.until) sleepers_.erase({*fiber.until, &fiber});
  if (fiber.queue != nullptr) std::erase(fiber.queue->fibers, &fiber);
  fiber.queue = nullptr;
  fiber.until.reset();
  fiber.state = Fiber::State::runnable;
  runnable_.push_back(&fiber);
}

// The programs end when they next wait: a wake makes that return.
void WorldState::kill(HostState& host) {
  for (const auto& fiber : fibers_) {
    if (fiber->host != &host || fiber->state == Fiber::State::ended) continue;
    fiber->is_killed = true;
    fiber->may_wait_for_ever = true;
  }
  for (const auto& weak : std::exchange(host.pollers, {})) {
    if (const auto backend = weak.lock()) {
      backend->wake();
      host.pollers.push_back(weak);
    }
  }
}

void WorldState::sleep(WaitQueue& queue, std::optional<nanoseconds> until, const char* why) {
  if (running_ == nullptr) throw failure_of("a Poller waits outside of a program: nothing can happen meanwhile");
  Fiber& fiber = *running_;
  fiber.state = Fiber::State::asleep;
  fiber.queue = &queue;
  fiber.until = until;
  fiber.why = why;
  queue.fibers.push_back(&fiber);
  if (until) sleepers_.insert({*until, &fiber});
  fiber.calls = fiber.busy_waits = 0;
  fiber.stack->leave();
}

// A program that never sleeps still takes time: a microsecond for each wait, many at once.
void WorldState::charge_wait() {
  constexpr std::uint64_t waits_max = 64;
  Fiber& fiber = *running_;
  if (++fiber.busy_waits < waits_max) return;
  const std::uint64_t calls = fiber.calls;
  WaitQueue nothing_wakes_it;
  sleep(nothing_wakes_it, timeline->now() + std::chrono::microseconds(waits_max), "its turn");
  fiber.calls = calls;
}

void WorldState::wake(WaitQueue& queue) {
  while (!queue.fibers.empty()) make_runnable(*queue.fibers.back());
}

void WorldState::yield() {
  Fiber& fiber = *running_;
  fiber.state = Fiber::State::runnable;
  runnable_.push_back(&fiber);
  fiber.stack->leave();
}

void WorldState::count_call(const char* name, bool may_throw) {
  if (running_ == nullptr) return;
  Fiber& fiber = *running_;
  fiber.last_call = name;
  if (++fiber.calls <= options.calls_max || fiber.is_killed) return;  // killed: it is being unwound
  spinning_ = fiber.host->name + ", " + fiber.name + ": spins: " + std::to_string(options.calls_max) +
              " calls and not one wait that waited, the last one " + name;
  if (may_throw) {
    fiber.is_killed = true;
    throw ProgramKilled();
  }
  fiber.is_stuck = true;
  fiber.state = Fiber::State::ended;
  fiber.stack->leave();
}

Fiber& WorldState::next_fiber() {
  if (options.shuffles_programs) std::swap(runnable_.front(), runnable_[timeline->random.below(runnable_.size())]);
  Fiber& fiber = *runnable_.front();
  runnable_.pop_front();
  return fiber;
}

void WorldState::run(Fiber& fiber) {
  if (nanoseconds& until = fiber.host->paused_until; until > timeline->now() && !fiber.is_killed) {
    fiber.state = Fiber::State::asleep;
    fiber.why = "the end of its pause";
    fiber.until = until;
    sleepers_.insert({until, &fiber});
    return;
  }
  trace.mix(fiber.id);
  if (fiber.host->kernel != nullptr) fiber.host->kernel->play_thread(fiber.id);
  running_ = &fiber;
  fiber.state = Fiber::State::running;
  fiber.stack->enter();
  running_ = nullptr;
  if (fiber.state != Fiber::State::ended) return;
  const auto thrown = std::exchange(fiber.thrown, nullptr);
  forget(fiber);
  if (thrown != nullptr && !is_ending_) {
    note(nullptr, "a program has thrown an exception");
    std::rethrow_exception(thrown);
  }
  if (!spinning_.empty() && !is_ending_) throw failure_of(std::exchange(spinning_, {}));
}

void WorldState::forget(Fiber& fiber) {
  if (fiber.is_stuck) {  // its stack cannot be unwound; what is on it stays where it is
    const auto found = std::ranges::find(fibers_, &fiber, [](const auto& one) { return one.get(); });
    static_cast<void>(found->release());
    fibers_.erase(found);
    return;
  }
  std::erase_if(fibers_, [&](const auto& one) { return one.get() == &fiber; });
}

void WorldState::after(nanoseconds time, std::function<void()> action, bool keeps_busy) {
  scripts_.insert({timeline->now() + time, ++last_script_, std::move(action), keeps_busy});
}

bool WorldState::run_scripts() {
  bool has_run = false;
  while (!scripts_.empty() && scripts_.begin()->time <= timeline->now()) {
    const auto script = scripts_.extract(scripts_.begin());
    script.value().action();
    has_run = true;
  }
  return has_run;
}

void WorldState::wake_sleepers() {
  while (!sleepers_.empty() && sleepers_.begin()->first <= timeline->now()) make_runnable(*sleepers_.begin()->second);
}

// When something happens next; none: never. Faults that come by themselves are no reason to let time pass.
std::optional<nanoseconds> WorldState::next_time(bool counts_idle_scripts) const {
  std::optional<nanoseconds> next = timeline->next_due();
  const auto consider = [&](nanoseconds time) { next = next ? std::min(*next, time) : time; };
  if (!sleepers_.empty()) consider(sleepers_.begin()->first);
  const bool is_busy =
      next.has_value() || std::ranges::any_of(scripts_, [](const Script& script) { return script.keeps_busy; });
  if (!scripts_.empty() && (is_busy || counts_idle_scripts)) consider(scripts_.begin()->time);
  return next;
}

// Runs programs and lets time pass: until then, or until it is true, or until nothing will ever happen.
void WorldState::advance(std::optional<nanoseconds> until, const std::function<bool()>& is_true, bool ends_when_idle) {
  if (running_ != nullptr) throw failure_of("a program asks its own World to run");
  for (;;) {
    timeline->run_due();
    wake_sleepers();
    if (is_true && is_true()) return;
    if (run_scripts()) continue;
    if (!runnable_.empty()) {
      run(next_fiber());
      continue;
    }
    const auto next = next_time(!ends_when_idle);
    if (!next || (until && *next > *until)) {
      if (until && !ends_when_idle) timeline->jump_to(*until);
      return;
    }
    timeline->jump_to(*next);
  }
}

bool WorldState::has_deadlock() const {
  return std::ranges::any_of(fibers_, [](const auto& fiber) { return !fiber->may_wait_for_ever; });
}

std::string WorldState::who_waits() const {
  std::string text;
  for (const auto& fiber : fibers_) {
    text += "\n  " + fiber->host->name + ", " + fiber->name + ": ";
    text += fiber->state == Fiber::State::asleep ? std::string("waits for ") + fiber->why : std::string("could run");
    if (fiber->until) {
      const auto left = std::chrono::duration<double, std::milli>(*fiber->until - timeline->now()).count();
      text += ", or " + std::to_string(left) + " ms more";
    }
    if (fiber->may_wait_for_ever) text += " (a server)";
    for (const auto& weak : fiber->host->pollers) {
      const auto backend = weak.lock();
      if (backend != nullptr) {
        text += "; its Poller has " + std::to_string(backend->stats().registrations) + " registrations";
      }
    }
  }
  return text;
}

Failure WorldState::failure_of(const std::string& what) const {
  return Failure(what + " (at " + std::to_string(std::chrono::duration<double>(elapsed()).count()) + " s, seed " +
                 std::to_string(seed) + ": set REACTOR_SIM_SEED=" + std::to_string(seed) + " to run it again)");
}

}  // namespace reactor::sim
