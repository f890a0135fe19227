// SPDX-License-Identifier: MIT
//
// How the reference model checks what a wait reports, and what it does not report.
#include <algorithm>
#include <array>
#include <utility>

#include <reactor/nt/status.hpp>

#include "model_checker.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

namespace {

bool any(Readiness readiness, Readiness flags) { return (readiness & flags) != Readiness::none; }

std::string text_of(Readiness readiness) {
  constexpr std::array names{"readable", "writable", "priority", "read_closed", "hung_up", "failed"};
  std::string text;
  for (std::size_t bit = 0; bit < names.size(); bit++) {
    if (((std::to_underlying(readiness) >> bit) & 1) != 0) text += std::string(text.empty() ? "" : " ") + names[bit];
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace

Readiness meaning(ULONG events) {
  using enum Readiness;
  const auto is = [events](ULONG bits) { return (events & bits) != 0; };
  Readiness readiness = none;
  if (is(AFD_POLL_RECEIVE) || is(AFD_POLL_ACCEPT)) readiness = readiness | readable;
  if (is(AFD_POLL_RECEIVE_EXPEDITED)) readiness = readiness | priority;
  if (is(AFD_POLL_SEND)) readiness = readiness | writable;
  if (is(AFD_POLL_DISCONNECT)) readiness = readiness | readable | read_closed;
  if (is(AFD_POLL_ABORT) || is(AFD_POLL_CONNECT_FAIL)) {
    readiness = readiness | readable | writable | read_closed | hung_up | failed;
  }
  return readiness;
}

Readiness wanted(const Registered& reg, ULONG events) {
  using enum Readiness;
  const auto is_armed = [&](Interest direction) {
    return (std::to_underlying(reg.interest & direction) & ~reg.disarmed) != 0;
  };
  const bool wants_endings = (reg.disarmed & ending_bit) == 0;
  const Readiness all = meaning(events);
  Readiness result = none;
  if (is_armed(Interest::readable)) result = result | (all & (readable | read_closed));
  if (is_armed(Interest::writable)) result = result | (all & writable);
  if (is_armed(Interest::priority)) result = result | (all & priority);
  if (wants_endings && any(all, failed)) result = result | hung_up | failed | readable | writable;
  return result;
}

Readiness owed(const Registered& reg, ULONG events) {
  if (reg.not_afd == Registered::NotAfd::suspected) return Readiness::failed;
  const bool wants_endings = (reg.disarmed & ending_bit) == 0;
  return wanted(reg, wants_endings ? events : events & ~(AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL));
}

// A wait fails for a dequeue that was refused, and for a shortage that left sockets unarmed only when it has nothing to
// report and a pause has not helped.
void Checker::judge_failure(const Wait& wait, std::error_code why) {
  const auto& now = kernel_.counted();
  const bool is_dequeue = now.refused_dequeues > wait.counted.refused_dequeues;
  if (is_dequeue && why == make_error(STATUS_INSUFFICIENT_RESOURCES)) return;
  const bool is_shortage =
      now.refused_sockets > wait.counted.refused_sockets || now.refused_cancels > wait.counted.refused_cancels;
  require(checks(Rule::shortage) && is_shortage, "a wait failed (one bad socket never fails wait)");
  require(why == std::errc::not_enough_memory || why == make_error(STATUS_QUOTA_EXCEEDED),
          "a wait failed with another error than the shortage's");
  const bool may_be_early =
      program_.options.faults.early_time_out > 0 || program_.options.tick > 0ns || now.packets > wait.counted.packets;
  const nanoseconds pause = std::min<nanoseconds>(pause_of_shortage, wait.timeout.value_or(pause_of_shortage));
  require(may_be_early || sim_.now() - wait.begin >= pause, "a wait failed for a shortage without its pause");
}

void Checker::judge(Wait& wait, std::span<const Event> events, bool is_woken) {
  if (log_ != nullptr) note("  the wait reports ", std::to_string(events.size()), is_woken ? ", woken" : "");
  events_ += events.size();
  if (checks(Rule::defer)) see_denials();
  for (const Event& event : events) judge_event(wait, event);
  see_denials();  // where the same wait polls again what it has delivered
  judge_wakes(wait, events.empty(), is_woken);
}

// Those that the next wait may arm although nothing has marked them since the last one: they did not fit into a buffer,
// or were delivered.
std::size_t Checker::unarmed() {
  return static_cast<std::size_t>(std::ranges::count_if(open_, [this](std::uint32_t token) {
    const Registered& reg = registered_[token];
    return reg.disarmed != 0xFF && !is_out(reg.polled);
  }));
}

// No spin: the calls of a wait are bounded by the work that there is, whatever was delivered before.
//   dequeues: one for each packet that reports nothing, some that double from 1 to 256 packets for all others, one that
//   finds none, and some where the kernel's clock or an answer is late;
//   polls and cancels: one for each registration that was marked, was left unarmed, or came back and was not delivered;
//   again: what was refused, or completed synchronously without an entry (that with a pause), and what was owed before;
//   opening: a helper handle for groups, once;
//   base_socket: one for each first poll that was refused as if the socket were closed;
//   other threads: one nudge for what did not fit into the buffer; and for each wait that began meanwhile, and so may
//   have deferred something, one dequeue that ends with the grace.
void Checker::judge_calls(const Wait& wait, std::size_t events, bool has_failed) {
  // A wait whose buffer is full, or that fails, may leave what was marked to the next.
  if (!has_failed && events < wait.buffer) marked_before_wait_ = marked_;
  const auto& now = kernel_.counted();
  const std::uint64_t calls = now.calls - wait.counted.calls - wait.of_others;
  const std::uint64_t packets = now.packets - wait.counted.packets, refusals = now.refusals - wait.counted.refusals;
  const std::uint64_t late = program_.options.faults.early_time_out > 0 ? 40 : 4;
  // Delivered by a packet; the rest completed synchronously.
  const std::uint64_t inlines = sim_.inline_answers() - wait.inlines;
  const std::uint64_t returned = kernel_.returned() - wait.returned;
  std::uint64_t reported = events > inlines ? events - inlines : 0;
  if (!checks(Rule::calls)) reported = 0;
  const std::uint64_t reporting = std::min(packets, reported);
  // By number, MOD takes back what was asked before: a registration may return cancelled, be armed, and be reported by
  // that poll, all in one wait.
  const std::uint64_t returned_armed = by_number_ != nullptr ? 0 : std::min(returned, reported);
  std::uint64_t to_arm = wait.unarmed + (marked_ - wait.marked) + (returned - returned_armed);
  std::uint64_t dequeues = 2 + late + (packets - reporting) + (reporting > 0 ? 9 : 0);
  if (program_.options.tick > 0ns) dequeues += 4;              // a tick is early
  if (program_.high_resolution) dequeues = 3 * dequeues + 10;  // a timer is set, associated; a packet passed on
  constexpr std::uint64_t opening = 2;
  const std::uint64_t again = refusals + 2 * (sim_.empty_answers() - wait.empties) + wait.owed;
  const std::uint64_t others = (asleep_.empty() ? 0 : 1) + (waits_ - wait.number);
  if (!checks(Rule::calls) && !asleep_.empty()) to_arm = 2 * (to_arm + events);
  if (calls <= opening + dequeues + to_arm + again + (now.bases - wait.counted.bases) + others) return;
  fail("a wait that makes too many kernel calls (no spin): " + std::to_string(calls) + " for " +
       std::to_string(packets) + " packets, " + std::to_string(to_arm) + " to be armed and " + std::to_string(again) +
       " again");
}

void Checker::judge_event(const Wait& wait, const Event& event) {
  const auto token = std::to_underlying(event.token());
  const Readiness reported = event.readiness();
  if (log_ != nullptr) note("    ", std::to_string(token), ": ", text_of(reported));
  if (is_object(event)) return judge_object(event);
  require(token < registered_.size(), "an event with an unknown token");
  Registered& reg = registered_[static_cast<std::size_t>(token)];
  require(reg.state != State::retired,
          "an event of a retired registration (nothing after remove, a number is not an identity)");
  require(reported != Readiness::none, "an event without readiness");
  judge_repetition(wait, reg);
  const bool is_error = any(reported, Readiness::failed) && !any(reported, Readiness::hung_up);
  if (reg.not_afd == NotAfd::suspected && event.error() == make_error(STATUS_ACCESS_DENIED)) {
    clear_suspicion(reg);  // polled once more, it was refused for this
  }
  if (reg.not_afd == NotAfd::suspected) {
    judge_not_afd(reg, event);
  } else if (is_error) {
    judge_error_event(event);
  } else if (!reg.is_reused) {
    judge_readiness(reg, reported);
  }
  disarm(reg, reported);
  reg.delivered_in = wait.number;
  reg.delivered_to = thread_;
  reg.delivered_at = sim_.now();
  reg.may_repeat = false;
  between_waits_[thread_].left.push_back(token_of(reg));
  between_waits_[thread_].has_level |= reg.mode == Mode::level;
  defer(reg, false);
  restart_history(reg);
}

// What a wait has delivered is not delivered to another thread before the one that has it waits again.
void Checker::judge_repetition(const Wait& wait, const Registered& reg) {
  require(reg.delivered_in != wait.number, "delivered twice in one wait");
  if (!checks(Rule::one_thread) || reg.delivered_in == 0 || reg.may_repeat) return;
  require(sim_.now() - reg.delivered_at >= grace,
          "one readiness was delivered to two threads: the first has not waited again");
}

// Its provider is not AFD, or seems not to be: that is one event, and then it is disarmed for good.
void Checker::judge_not_afd(Registered& reg, const Event& event) {
  require(event.readiness() == (Readiness::readable | Readiness::writable | Readiness::failed) &&
              event.error() == std::errc::not_supported,
          "a first poll that was refused as if the socket were closed is reported as not_supported");
  reg.not_afd = NotAfd::delivered;
  not_afd_++;
}

// A poll was refused for a reason that is neither a shortage nor about the handle.
void Checker::judge_error_event(const Event& event) {
  require(event.readiness() == (Readiness::readable | Readiness::writable | Readiness::failed),
          "an error with more readiness than an error has");
  const auto& counted = kernel_.counted();
  const std::uint64_t refused = counted.denied_sockets + (checks(Rule::shortage) ? 0 : counted.refused_sockets);
  require(++errors_ <= refused,
          "reported as failed though no poll was refused, or for a shortage (one bad socket never fails wait)");
  const bool is_denial = event.error() == make_error(STATUS_ACCESS_DENIED);
  require(checks(Rule::shortage) ? is_denial : event.error() != std::error_code(), "an error without its reason");
}

void Checker::judge_readiness(const Registered& reg, Readiness reported) const {
  const Readiness possible = wanted(reg, could_be(reg));
  const bool is_whole = any(reported, Readiness::readable) && any(reported, Readiness::writable);
  require(!any(reported, Readiness::failed) || is_whole, "a failure that is not readable and writable");
  if ((reported & possible) == reported) return;
  fail("reported what never was, or is not wanted: " + text_of(reported) + "; it can be " + text_of(possible));
}

void Checker::disarm(Registered& reg, Readiness reported) const {
  switch (reg.mode) {
    case Mode::level:
      // epoll reports EPOLLERR and EPOLLHUP in every wait.
      if (checks(Rule::none_once) && reg.interest == Interest::none && by_number_ == nullptr) reg.disarmed = 0xFF;
      break;
    case Mode::oneshot: reg.disarmed = 0xFF; break;
    case Mode::edge:
      if (any(reported, Readiness::readable | Readiness::read_closed)) reg.disarmed |= 1;
      if (any(reported, Readiness::writable)) reg.disarmed |= 2;
      if (any(reported, Readiness::priority)) reg.disarmed |= 4;
      if (any(reported, Readiness::failed)) reg.disarmed |= ending_bit;
      break;
  }
}

// From now on it can report what is true now or later. Other registrations may be of the same socket.
void Checker::restart_history(Registered& reg) {
  Endpoint& endpoint = *reg.endpoint;
  for (const std::uint32_t token : open_) {
    Registered& other = registered_[token];
    if (other.endpoint == reg.endpoint) other.seen |= endpoint.history;
  }
  endpoint.history = reg.seen = net_.events_of(endpoint);
}

// How late a wait may end: with the clock's tick; with a timer as late as its packet is, and at most with the kernel's
// time-out.
Checker::nanoseconds Checker::lateness() const {
  const Options& options = program_.options;
  if (!program_.high_resolution || !options.has_wait_packets) return options.tick;
  const nanoseconds by_timer =
      std::min(options.completion.high + options.packet.high, afd::DeadlineTimers::tick_max + options.tick);
  return options.faults.wait_refused > 0 ? std::max(options.tick, by_timer) : by_timer;
}

void Checker::judge_wakes(Wait& wait, bool is_empty, bool is_woken) {
  const std::uint64_t wakes = backend_->stats().wakes;
  const std::uint64_t taken = wakes - std::exchange(wakes_seen_, wakes);
  require(taken <= (is_wake_owed_ ? 1 : 0), "a wake came twice, or without being sent (no lost wake)");
  require(is_woken == (taken > 0), "woken() does not agree with the statistics");
  const bool was_owed = is_wake_owed_;
  if (taken > 0) is_wake_owed_ = false;
  const nanoseconds now = sim_.now();
  const nanoseconds latest = std::max(woken_at_, kernel_.last_post()) + program_.options.packet.high;
  const bool is_late = was_owed && taken == 0 && now > latest && !kernel_.owes_post();
  if (is_empty && taken == 0) {
    require(wait.timeout && now - wait.begin >= *wait.timeout, "a wait ended early and without an event");
    require(wait.was_kept || now - wait.begin <= *wait.timeout + lateness(), "a wait ended late");
    require(!is_late, "a wake was lost (no lost wake)");
    if (program_.is_strict()) judge_no_events("a wait reported nothing", asleep_.size() + (wait.was_kept ? 2 : 1));
  }
  if (!is_late || program_.options.faults.shuffled_packet > 0) return;
  // Before it there may be packets that report nothing, one for each wait.
  require(++waits_since_wake_ <= 16 + 2 * registered_.size() + junk_ + 2 * objects_.size(),
          "a wake is never reported (no lost wake)");
}

// Nothing is reported: then nothing is ready, except what may wait.
void Checker::judge_no_events(std::string_view where, std::size_t sleepers) {
  if (objects_fired() > 0) fail("readiness was lost: " + std::string(where) + ", but an object was signalled");
  for (const std::uint32_t token : open_) {
    const Registered& reg = registered_[token];
    if (reg.state != State::live) continue;
    const Readiness is_so = owed(reg, net_.events_of(*reg.endpoint));
    if (is_so == Readiness::none || is_excused(reg, sleepers)) continue;
    fail("readiness was lost: " + std::string(where) + ", but " + std::to_string(token) + " is " + text_of(is_so));
  }
}

// A ready registration may be unarmed if
//   it is deferred, and the grace is not over;
//   its poll was refused for a shortage, or completed without an entry: it is asked again, within the same time;
//   the same of its notification, by a call that sleeps on all the same;
//   its notification is in the port, for another thread that sleeps there;
//   the cancel of its old poll was refused: the next wait tries again;
//   without a reserve object a nudge was refused: the next call of any thread makes up for it.
// Of several sleeping threads only the innermost is played, while another one may have to do it: in reality that one
// would have returned long ago.
bool Checker::is_excused(const Registered& reg, std::size_t sleepers) {
  const nanoseconds now = sim_.now();
  const auto is_in_time = [&](nanoseconds since) {
    return sleepers > 1 || now <= since + grace + program_.options.tick;
  };
  if (checks(Rule::defer) && reg.deferral && is_in_time(reg.deferral->at)) {
    deferred_++;
    return true;
  }
  const Attempt attempt = kernel_.attempt(reg.polled);
  const bool is_put_off = attempt.outcome == Attempt::Outcome::shortage || attempt.outcome == Attempt::Outcome::empty;
  const auto refused_at = kernel_.refused_in_flight(reg.polled);
  if (refused_at && is_in_time(*refused_at)) return true;
  if (sleepers > 1 && sim_.is_queued(reg.polled)) return true;
  return (is_put_off && is_in_time(attempt.at)) || kernel_.owes_cancel(reg.polled) || kernel_.owes_post();
}

void Checker::defer(Registered& reg, bool is_of_any) {
  reg.deferral = {.thread = thread_, .at = sim_.now(), .is_of_any = is_of_any};
}

// A wait begins. Where waits overlap, what was delivered to other threads is left to them.
void Checker::end_deferrals() {
  if (!asleep_.empty()) overlapped_at_ = sim_.now();
  const bool overlap = overlapped_at_ && sim_.now() - *overlapped_at_ < grace;
  for (const std::uint32_t token : open_) {
    Registered& reg = registered_[token];
    if (!overlap || reg.delivered_to == thread_) reg.may_repeat = true;
    if (!reg.deferral) continue;
    if (!overlap || reg.deferral->is_of_any || reg.deferral->thread == thread_) reg.deferral.reset();
  }
}

// When a thread has re-armed all that its last wait delivered, what it has deferred is armed.
void Checker::was_rearmed(std::uint32_t token) {
  auto& batch = between_waits_[thread_];
  if (batch.has_level || std::erase(batch.left, token) == 0 || !batch.left.empty()) return;
  for (const std::uint32_t at : open_) {
    auto& deferral = registered_[at].deferral;
    if (deferral && deferral->thread == thread_) deferral.reset();
  }
}

}  // namespace reactor::sim::model
