// SPDX-License-Identifier: MIT
//
// Waits and wakes, and what the reference model says to what they tell.
#include <algorithm>
#include <array>
#include <utility>

#include <reactor/nt/status.hpp>

#include "model_world.hpp"

namespace sim::model {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

struct World::Wait {
  std::uint64_t number = 0;
  nanoseconds begin{0};
  std::optional<nanoseconds> timeout;
  bool is_asleep = false;  // it has been in the kernel for good
  bool was_kept = false;   // by a wait of another thread, played inside it: it may end late
  // When it began.
  std::uint64_t calls = 0, refusals = 0, packets = 0, returned = 0, unarmed = 0, marked = 0;
  std::uint64_t of_others = 0;  // calls that other threads made meanwhile
};

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

Readiness heard(const Registered& reg, ULONG events) {
  using enum Readiness;
  const auto listens = [&](Interest direction) {
    return (std::to_underlying(reg.interest & direction) & ~reg.silent) != 0;
  };
  const bool hears_endings = (reg.silent & ending_bit) == 0;
  const Readiness all = meaning(events);
  Readiness result = none;
  if (listens(Interest::readable)) result = result | (all & (readable | read_closed));
  if (listens(Interest::writable)) result = result | (all & writable);
  if (listens(Interest::priority)) result = result | (all & priority);
  if (hears_endings && any(all, failed)) result = result | hung_up | failed | readable | writable;
  return result;
}

Readiness owed(const Registered& reg, ULONG events) {
  const bool hears_endings = (reg.silent & ending_bit) == 0;
  return heard(reg, hears_endings ? events : events & ~(AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL));
}

void World::wake() {
  backend_->wake();
  if (std::exchange(is_wake_owed_, true)) return;
  woken_at_ = sim_.now();
  waits_since_wake_ = 0;
}

void World::wait(const Step& step) {
  static constexpr std::array<std::optional<nanoseconds>, 8> timeouts{0ns, 1ms, 5ms,          20ms,
                                                                      0ns, 1s,  std::nullopt, 300us};
  std::vector<Event> room((1 + step.a % 64) * program_.room_max / 64);
  const std::size_t count = wait_once(room, timeouts[step.b % 8]);
  serve(std::span(room).first(count), step.c);
}

std::size_t World::wait_once(std::span<Event> room, std::optional<nanoseconds> timeout) {
  for (Wait* other : asleep_) other->was_kept = true;
  for (const std::uint32_t token : open_) registered_[token].was_waited_for = true;
  Wait wait{.number = ++waits_,
            .begin = sim_.now(),
            .timeout = timeout,
            .calls = kernel_.calls(),
            .refusals = kernel_.refusals(),
            .packets = kernel_.packets(),
            .returned = kernel_.returned(),
            .unarmed = unarmed(),
            .marked = marked_before_wait_};
  asleep_.push_back(&wait);
  const auto told = backend_->wait(room, timeout);
  asleep_.pop_back();
  judge_calls(wait, told ? told->events : 0);
  if (!told) {
    require(program_.options.faults.dequeue_refused > 0 && told.error() == make_error(STATUS_INSUFFICIENT_RESOURCES),
            "a wait failed (rule 8)");
    note("  the wait failed: ", told.error().message());
    judge_wakes(wait, false);
    check_books();
    return 0;
  }
  require(told->events <= room.size(), "more events than there is room for");
  judge(wait, room.first(told->events));
  check_books();
  return told->events;
}

// The kernel is about to put a thread to sleep: what do the others do? False: nothing, so time goes on.
bool World::while_asleep() {
  Wait& wait = *asleep_.back();
  see_denied();
  if (!is_quiet_ && next_step_ < program_.steps.size() && program_.steps[next_step_].during) {
    if (program_.steps[next_step_].op == Op::pass) {
      next_step_++;
      return !wait.timeout;  // it may be that nothing is due ever
    }
    const std::uint64_t calls = kernel_.calls();
    run_step();
    wait.of_others += kernel_.calls() - calls;
    return true;
  }
  if (program_.is_strict()) judge_silence("a thread sleeps");
  if (wait.timeout) return false;
  // Nobody else would end it.
  if (is_wake_owed_) return false;
  note("  wake");
  const std::uint64_t calls = kernel_.calls();
  wake();
  wait.of_others += kernel_.calls() - calls;
  return true;
}

void World::judge(Wait& wait, std::span<const Event> events) {
  if (log_ != nullptr) note("  the wait tells of ", std::to_string(events.size()));
  events_ += events.size();
  for (const Event& event : events) judge_event(wait, event);
  see_denied();  // told of and asked again, for another thread
  judge_wakes(wait, events.empty());
}

// Those that the next wait may arm although nothing has marked them since the last one: there was no room for them.
std::size_t World::unarmed() const {
  return static_cast<std::size_t>(std::ranges::count_if(open_, [this](std::uint32_t token) {
    const Registered& reg = registered_[token];
    return reg.silent != 0xFF && reg.endpoint->polls.empty();
  }));
}

// Rule 7: what a wait costs is bounded by what there is to do, whatever was told before.
void World::judge_calls(const Wait& wait, std::size_t told) {
  marked_before_wait_ = marked_;
  const std::uint64_t calls = kernel_.calls() - wait.calls - wait.of_others;
  const std::uint64_t packets = kernel_.packets() - wait.packets, refusals = kernel_.refusals() - wait.refusals;
  std::uint64_t to_arm = wait.unarmed + (marked_ - wait.marked) + (kernel_.returned() - wait.returned);
  // A look for each packet, one more that finds none, and those for answers that are late.
  const std::uint64_t looks = 2 + packets + (program_.options.faults.early_time_out > 0 ? 40 : 4);
  // Each is polled or cancelled once. For other threads that sleep also those that were told; to these it is posted.
  if (!asleep_.empty()) to_arm = 2 * (to_arm + told);
  if (calls <= looks + to_arm + refusals) return;
  fail("a wait that makes too many kernel calls (rule 7): " + std::to_string(calls) + " for " +
       std::to_string(packets) + " packets, " + std::to_string(to_arm) + " to be armed and " +
       std::to_string(refusals) + " refused");
}

void World::judge_event(const Wait& wait, const Event& event) {
  const auto token = std::to_underlying(event.token());
  if (log_ != nullptr) note("    ", std::to_string(token), ": ", text_of(event.readiness()));
  require(token < registered_.size(), "an event with a token that is nobody's");
  Registered& reg = registered_[token];
  require(reg.state != State::over, "an event after the registration's end (rule 4)");
  require(std::exchange(reg.told_in, wait.number) != wait.number, "told twice in one wait");
  const Readiness told = event.readiness();
  require(told != Readiness::none, "an event that says nothing");
  const bool is_trouble = any(told, Readiness::failed) && !any(told, Readiness::hung_up);
  if (is_trouble) {
    require(told == (Readiness::readable | Readiness::writable | Readiness::failed), "a trouble that says more");
    require(++troubles_ <= kernel_.refused_sockets(), "told of as failed though no poll was refused");
    require(event.error() != std::error_code(), "a trouble without its reason");
  } else if (!reg.is_reused) {
    const Readiness could_be = heard(reg, reg.endpoint->history);
    const bool is_whole = any(told, Readiness::readable) && any(told, Readiness::writable);
    require(!any(told, Readiness::failed) || is_whole, "a failure that is not readable and writable");
    if ((told & could_be) != told) {
      fail("told of what never was, or nobody wants to hear: " + text_of(told) + "; it can be " + text_of(could_be));
    }
  }
  switch (reg.mode) {
    case Mode::level: break;
    case Mode::oneshot: reg.silent = 0xFF; break;
    case Mode::edge:
      if (any(told, Readiness::readable | Readiness::read_closed)) reg.silent |= 1;
      if (any(told, Readiness::writable)) reg.silent |= 2;
      if (any(told, Readiness::priority)) reg.silent |= 4;
      if (any(told, Readiness::failed)) reg.silent |= ending_bit;
      break;
  }
  reg.endpoint->history = net_.events_of(*reg.endpoint);
}

void World::judge_wakes(Wait& wait, bool is_empty) {
  const std::uint64_t wakes = backend_->stats().wakes;
  const std::uint64_t taken = wakes - std::exchange(wakes_seen_, wakes);
  require(taken <= (is_wake_owed_ ? 1 : 0), "a wake came twice, or without being sent (rule 6)");
  const bool was_owed = is_wake_owed_;
  if (taken > 0) is_wake_owed_ = false;
  const nanoseconds now = sim_.now();
  const nanoseconds latest = program_.options.packet.high;
  if (is_empty && taken == 0) {
    require(wait.timeout && now - wait.begin >= *wait.timeout, "a wait ended early and told of nothing");
    require(wait.was_kept || now - wait.begin <= *wait.timeout, "a wait ended late");
    require(!was_owed || now - woken_at_ <= latest, "a wake was lost (rule 6)");
    if (program_.is_strict()) judge_silence("a wait told of nothing");
  }
  if (!was_owed || taken > 0 || now - woken_at_ <= latest || program_.options.faults.shuffled_packet > 0) return;
  require(++waits_since_wake_ <= 16 + 2 * registered_.size(), "a wake is kept waiting for ever (rule 6)");
}

// Nothing is told: then nothing is so.
void World::judge_silence(std::string_view where) {
  for (const std::uint32_t token : open_) {
    const Registered& reg = registered_[token];
    if (reg.state != State::live) continue;
    const Readiness is_so = owed(reg, net_.events_of(*reg.endpoint));
    if (is_so == Readiness::none) continue;
    fail("readiness was lost: " + std::string(where) + ", but " + std::to_string(token) + " is " + text_of(is_so));
  }
}

void World::serve(std::span<const Event> events, std::uint8_t how) {
  if ((how & 1) == 0) return;
  for (const Event& event : events) serve(event, how);
}

// What a program does with an event: it reads, says drained or modify, and hangs up when the other side did.
void World::serve(const Event& event, std::uint8_t how) {
  Registered* reg = &registered_[std::to_underlying(event.token())];
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
  reg = &registered_[std::to_underlying(event.token())];
  // It is not armed again before the next wait, so from now on only what is so now can be told.
  if (asleep_.empty()) reg->endpoint->history = net_.events_of(*reg->endpoint);
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

}  // namespace sim::model
