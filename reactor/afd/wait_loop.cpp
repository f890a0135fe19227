// SPDX-License-Identifier: MIT
#include <reactor/afd/wait_loop.hpp>

#include <algorithm>
#include <array>
#include <bitset>
#include <span>
#include <utility>

#include <reactor/nt/status.hpp>

namespace reactor::afd {

using namespace nt;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

constexpr nanoseconds at_once{0};

// The sum of a clock and any time-out would overflow.
constexpr nanoseconds longest_wait = std::chrono::hours(24 * 365 * 100);

// While the kernel is short of memory: a wait does not fail at once, so that a program that simply waits again does not
// spin ("no spin").
constexpr nanoseconds shortage_pause = milliseconds(10);
constexpr int shortages_max = 2;

// Polls that complete at once and without events would have a wait submit them for ever.
constexpr int fruitless_rounds_max = 4;
constexpr int longest_pause_ms = 64;

// After its time a wait still delivers what is ready now: packets may have brought nothing but cancelled polls, which
// are asked for once more.
constexpr int late_rounds_max = 4;

std::optional<nanoseconds> shorter(std::optional<nanoseconds> a, nanoseconds b) { return a ? std::min(*a, b) : b; }

}  // namespace

Result<WaitResult> WaitLoop::run() {
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  begin();
  while (!is_done()) step();
  core_.timers.release(timer_);
  if (core_.is_closed) {  // meanwhile: every thread that sleeps has to learn of it
    if (core_.threads.any_sleeps()) core_.doorbell.wake();
    return failure(std::errc::bad_file_descriptor);
  }
  leave();
  const bool has_result = sink_.count() > 0 || woken_;
  if (!NT_SUCCESS(status_) && !has_result) return failure(make_error(status_));
  if (shortages_ >= shortages_max && !has_result) return failure(make_error(shortage_));
  if (changes_refused_ >= shortages_max && !has_result) return failure(make_error(STATUS_INSUFFICIENT_RESOURCES));
  return WaitResult{sink_.count(), woken_};
}

void WaitLoop::begin() {
  core_.doorbell.pay();
  thread_ = core_.kernel.thread_id();
  const bool has_deadline = timeout_ && *timeout_ > at_once;
  Timeout now;
  if (has_deadline || overlaps_ || core_.threads.has_overlapped()) now = core_.kernel.now();
  if (has_deadline) deadline_ = *now + std::min(*timeout_, longest_wait);
  mark_deferred(now);
  // A wait that was filled by what was ready at once did not ask the port: the next one does so first, so that neither
  // sockets that seldom fire nor wakes are kept waiting by those that always do.
  if (std::exchange(core_.port_is_due, false)) dequeue(at_once);
  posts_came_first_ = core_.posts_are_due && take_posts();
}

// What this thread has left to its next wait, or any thread to the next that begins; and where waits do not overlap,
// what any thread has left: it may never wait again.
void WaitLoop::mark_deferred(std::optional<nanoseconds> now) {
  WaitingThreads& threads = core_.threads;
  if (overlaps_ && now) threads.overlapped(*now);
  const std::uint8_t batch = threads.begin_wait(thread_);
  sink_.set_batch(batch);
  if (now && threads.is_overlapping(*now)) {
    for (const std::uint8_t own : {batch, WaitingThreads::of_any_thread}) {
      threads.end_deferral(own);
      core_.queue.mark_delivered(own);
    }
    // One that was delivered while no other wait was under way has no time yet.
    core_.queue.for_each_delivered([&](std::uint8_t others) { threads.defer(others, *now); });
  } else {
    threads.end_deferrals();
    core_.queue.mark_delivered();
  }
  core_.queue.mark_modified();
}

bool WaitLoop::is_done() const noexcept {
  return sink_.count() > 0 || woken_ || core_.is_closed || is_time_up_ || !NT_SUCCESS(status_) ||
         shortages_ >= shortages_max || changes_refused_ >= shortages_max;
}

void WaitLoop::step() {
  arm();
  take_posts();
  if (sink_.is_full()) {
    core_.port_is_due = true;
    return;
  }
  const bool is_shared = sink_.count() > 0;
  dequeue(with_timer(time_to_sleep()));
  take_posts();
  // What was ready at once may have left too little of the buffer for what the port had.
  core_.port_is_due = is_shared && core_.port_has_more;
  check_time();
}

void WaitLoop::arm() {
  if (core_.threads.any_deferred()) {
    core_.threads.expire(core_.kernel.now(), [this](std::uint8_t batch) {
      core_.queue.mark_delivered(batch);
      if (batch == WaitingThreads::of_any_thread) core_.queue.mark_modified();
    });
  }
  resolve_suspects();  // those of earlier waits, before what is marked fills the buffer
  const bool had_work = !core_.queue.marked().empty();
  shortage_ = core_.dispatcher.arm_marked(sink_);
  resolve_suspects();
  if (shortage_ == STATUS_SUCCESS) {
    shortages_ = 0;
  } else if (!std::exchange(is_cut_short_, false)) {  // else there was no pause since the last
    shortages_++;
  }
  const bool is_fruitless = had_work && sink_.count() == 0 && !core_.queue.marked().empty();
  fruitless_rounds_ = is_fruitless ? fruitless_rounds_ + 1 : 0;
}

// Whether a socket is open is asked without the lock, as a layered provider's code may answer.
void WaitLoop::resolve_suspects() {
  for (std::size_t count = core_.queue.suspected().size();
       count > 0 && !core_.queue.suspected().empty() && !sink_.is_full(); count--) {
    const Slot& suspect = core_.queue.suspected().front();
    const RegistrationId id{suspect.index, suspect.generation};
    const SocketNumber socket = suspect.socket;
    const HANDLE base = suspect.base;
    core_.stats.other_calls++;
    lock_.unlock();
    const auto now = core_.kernel.base_socket(socket);
    lock_.lock();
    Slot* slot = core_.is_closed ? nullptr : core_.registry.find(id);
    if (slot == nullptr || slot->list != ListName::suspected) continue;
    core_.dispatcher.resolve_suspect(*slot, now && *now == base, sink_);
  }
}

WaitLoop::Timeout WaitLoop::time_to_sleep() {
  if (sink_.count() > 0) return at_once;
  Timeout left = timeout_;
  if (deadline_) left = std::max(at_once, *deadline_ - core_.kernel.now());
  if (shortage_ != STATUS_SUCCESS || waits_for_changes()) return shorter(left, shortage_pause);
  if (refused_changes_ > 0) return at_once;  // others are to be made before the pause
  // What is marked again has to be armed before this thread sleeps.
  const bool has_work = !core_.queue.marked().empty() || !core_.queue.suspected().empty();
  if (has_work && fruitless_rounds_ < fruitless_rounds_max) return at_once;
  if (has_work) {
    const int doublings = std::min(fruitless_rounds_ - fruitless_rounds_max, 6);
    return shorter(left, std::min(milliseconds(1 << doublings), milliseconds(longest_pause_ms)));
  }
  if (const auto due = core_.threads.due(); due) return shorter(left, std::max(at_once, *due - core_.kernel.now()));
  return left;
}

// The port's time-outs end with a clock tick (DeadlineTimers): the deadline is met by a timer, and the port's time-out
// comes a tick later, should the packet not come to this thread; or earlier, for another reason.
WaitLoop::Timeout WaitLoop::with_timer(Timeout timeout) {
  if (!core_.timers.is_on() || !deadline_ || !timeout || *timeout <= at_once) return timeout;
  const nanoseconds left = *deadline_ - core_.kernel.now();
  if (left <= at_once) return timeout;
  if (left > DeadlineTimers::distance_max) return std::min(*timeout, left - 2 * DeadlineTimers::tick_max);
  if (!core_.timers.arm(timer_, left) || *timeout < left) return timeout;
  return left + DeadlineTimers::tick_max;
}

// As many as fit into the buffer. True: some.
bool WaitLoop::take_posts() {
  const std::size_t before = sink_.count();
  while (!core_.posts.empty() && !sink_.is_full()) sink_.deliver(core_.posts.pop());
  return sink_.count() > before;
}

void WaitLoop::dequeue(Timeout timeout) {
  for (;;) {
    // No more than there is a place for; but after packets that brought nothing, such as those of cancelled polls, the
    // next may bring nothing either. A poll that finds the buffer full is submitted again, first of all; but what an
    // object has given up cannot be asked for again (HandleWaits), nor a packet of the program's own.
    const bool are_polls_alone =
        core_.handles.armed() == 0 && !core_.program_packets.are_expected() && timeout && *timeout <= at_once;
    const std::size_t events_max = is_barren_ && are_polls_alone ? BatchSize::max : sink_.left();
    const std::size_t count = std::min(events_max, core_.batch_size.next(packets_expected()));
    const std::size_t events_before = sink_.count();
    const std::size_t taken = dequeue_once(timeout, count);
    is_barren_ = taken > 0 && sink_.count() == events_before;
    core_.port_has_more = taken == count;
    // Where one was asked for there was no more than that, but for a wake: the next wait is soon enough for it.
    if (!core_.port_has_more || count == 1 || sink_.is_full() || core_.is_closed) return;
    timeout = at_once;
  }
}

std::size_t WaitLoop::dequeue_once(Timeout timeout, std::size_t count) {
  std::array<FILE_IO_COMPLETION_INFORMATION, BatchSize::max> packets;  // NOLINT(*-member-init): the kernel fills it
  ULONG removed = 0;
  core_.stats.wait_calls++;
  const auto into = std::span(packets).first(count);
  const bool is_pause = waits_for_changes();
  if (is_pause) has_paused_ = true;
  refused_changes_ = 0;
  if (core_.notifier != nullptr && !is_pause && !core_.queue.changes().empty()) {
    status_ = dequeue_and_change(into, removed, timeout);
  } else {
    is_cut_short_ = false;
    status_ = without_lock(timeout, [&] { return core_.kernel.dequeue(core_.port.get(), into, removed, timeout); });
  }
  if (status_ != STATUS_SUCCESS) return 0;  // with STATUS_TIMEOUT `removed` says nothing
  const std::size_t taken = std::min<std::size_t>(removed, count);
  core_.batch_size.took(taken, count);
  core_.stats.packets += taken;
  std::bitset<BatchSize::max> is_delivered;  // these first, as long as the buffer has space for all of them
  for (std::size_t i = 0; i < taken; i++) {
    is_delivered[i] = core_.handles.take(packets[i], sink_) || core_.program_packets.take(packets[i], sink_);
  }
  for (std::size_t i = 0; i < taken; i++) {
    const auto& packet = packets[i];
    if (is_delivered[i] || core_.timers.take(packet, timer_)) continue;
    if (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)} != PacketKey::wake) {
      core_.dispatcher.take(packet, sink_);
    } else if (core_.doorbell.answer()) {
      core_.stats.wakes++;
      woken_ = true;
    }
  }
  return taken;
}

// One call that makes what changes it can take, and dequeues.
NTSTATUS WaitLoop::dequeue_and_change(std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                                      Timeout timeout) {
  Changes changes;
  timeout = core_.notifier->collect(changes, timeout);
  is_cut_short_ = !changes.may_sleep;
  const NTSTATUS status =
      without_lock(timeout, [&] { return core_.notifier->submit(changes, packets, removed, timeout); });
  refused_changes_ = core_.notifier->settle(changes);
  const bool has_paused = std::exchange(has_paused_, false);
  if (refused_changes_ == 0) {
    changes_refused_ = 0;
  } else if (has_paused || changes_refused_ == 0) {
    changes_refused_++;
  }
  return status;
}

// A call that may sleep, and then does so without the lock.
NTSTATUS WaitLoop::without_lock(Timeout timeout, auto&& call) {
  if (timeout && *timeout <= at_once) return call();
  const bool watches = core_.threads.due().has_value();
  core_.threads.begin_sleep(watches);
  lock_.unlock();
  const NTSTATUS status = call();
  lock_.lock();
  core_.threads.end_sleep(watches);
  return status;
}

// The kernel has refused changes for a shortage, and they are all that there is to be changed.
bool WaitLoop::waits_for_changes() const noexcept {
  return refused_changes_ > 0 && core_.queue.changes().size() <= refused_changes_;
}

// A group's request is one; beside notifications there may be a wake; and how many of the program's own there are, only
// the program knows.
std::size_t WaitLoop::packets_expected() const noexcept {
  const std::size_t notices =
      core_.notifier == nullptr ? 0 : core_.notifier->enabled() + core_.queue.changes().size() + 1;
  const std::size_t of_program = core_.program_packets.are_expected() ? BatchSize::min : 0;
  return core_.polls.requests() + core_.handles.armed() + core_.timers.pending() + notices + of_program;
}

// By our own clock: the kernel's may be a tick early (kernel fact port.timeout_50).
void WaitLoop::check_time() {
  if (!timeout_ || (deadline_ && core_.kernel.now() < *deadline_)) return;
  const bool may_have_more =
      core_.port_has_more || (!core_.queue.marked().empty() && ++late_rounds_ <= late_rounds_max);
  is_time_up_ = !may_have_more;
}

// What this wait leaves to others: it arms for the threads that sleep what it has marked and not delivered, for as long
// as its own buffer can take what is ready; then they have to.
void WaitLoop::leave() {
  WaitingThreads& threads = core_.threads;
  if (threads.any_sleeps() && !sink_.is_full()) core_.dispatcher.arm_marked(sink_);
  if (threads.any_sleeps()) core_.flush_changes();
  if (sink_.count() > sink_.of_program()) core_.groups.policy().end_round();
  // In turns, so that neither posts nor sockets that fill every buffer keep the other out.
  core_.posts_are_due = !core_.posts.empty() && !posts_came_first_;
  const std::uint8_t batch = sink_.batch();
  threads.end_wait(batch, sink_.count(), sink_.disarming());
  const bool has_others = threads.any_sleeps() || threads.has_overlapped();
  if (has_others && core_.queue.has_delivered(batch)) threads.defer(batch, core_.kernel.now());
  core_.nudge_if_needed();
}

}  // namespace reactor::afd
