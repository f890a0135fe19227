// SPDX-License-Identifier: MIT
//
// The rules that are checked as a whole, and how a program ends.
#include <algorithm>
#include <utility>

#include <reactor/notify/notify_backend.hpp>
#include <reactor/nt/status.hpp>
#include <reactor/poller.hpp>

#include "model_checker.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

Checker::Checker(const Program& program, const Log* log)
    : program_(program), log_(log), sim_(program.options), kernel_(sim_), net_(sim_.net()) {
  const PollerOptions options{.inline_completions = program.inline_completions,
                              .hot_groups = program.hot_groups,
                              .high_resolution = program.high_resolution};
  const auto create = [&]() -> Result<std::shared_ptr<afd::AfdBackend>> {
    if (!program.notifications) return afd::AfdBackend::create(kernel_, options);
    return notify::NotifyBackend::create(kernel_, options);
  };
  auto backend = create();
  for (; !backend && refused_ports_ < 100; backend = create()) {
    require(program.options.faults.port_refused > 0 && backend.error() == make_error(STATUS_INSUFFICIENT_RESOURCES),
            "the backend could not be created");
    refused_ports_++;
    require(sim_.open_handles() == 0, "a backend that could not be created has left a handle");
  }
  require(backend.has_value(), "the backend could not be created");
  if (program.by_number) by_number_ = backend->get();
  backend_ = *backend;
  sim_.set_when_asleep([this] { return !asleep_.empty() && while_asleep(); });
}

Checker::~Checker() { sim_.set_when_asleep(nullptr); }

void Checker::run() {
  while (next_step_ < program_.steps.size()) run_step();
  note("the end");
  kernel_.allow(100'000 + 1000 * sockets_.size());
  finish();
}

void Checker::fail(std::string_view rule) const { throw Broken(std::string(rule)); }

Registered* Checker::find_open(const Socket& socket, std::uint32_t* token) {
  for (const std::uint32_t at : open_) {
    if (registered_[at].polled != socket.polled) continue;
    if (token != nullptr) *token = at;
    return &registered_[at];
  }
  return nullptr;
}

void Checker::mark_retired(std::uint32_t token) {
  Registered& reg = registered_[token];
  (reg.state == State::live ? live_ : closed_)--;
  reg.state = State::retired;
  reg.endpoint.reset();
  std::erase(open_, token);
}

void Checker::see_denials() {
  if (kernel_.has_denials()) {
    for (const Denial& denial : kernel_.take_denials()) see_denial(denial);
  }
  if (!suspects_.empty()) clear_suspects();
}

// A second poll was accepted: the number meant a socket that was closed since.
void Checker::clear_suspects() {
  std::erase_if(suspects_, [this](std::uint32_t token) {
    Registered& reg = registered_[token];
    if (reg.not_afd != NotAfd::suspected || reg.state == State::retired) return true;
    if (kernel_.expects_first(reg.polled)) return false;
    clear_suspicion(reg);
    return true;
  });
}

void Checker::clear_suspicion(Registered& reg) {
  reg.not_afd = NotAfd::no;
  reg.disarmed = reg.disarmed_before;
}

// A registration whose poll was refused as if its socket were closed is retired, whether it was closed or not. Except
// for its very first poll: if the number still has the same base socket, that socket is not AFD's.
void Checker::see_denial(const Denial& denial) {
  const auto found =
      std::ranges::find_if(open_, [&](std::uint32_t at) { return registered_[at].polled == denial.socket; });
  require(found != open_.end(), "a socket was polled that is not registered");
  Registered& reg = registered_[*found];
  require(reg.not_afd != NotAfd::delivered, "a registration was polled that is disarmed for good");
  note("  denied ", std::to_string(*found));
  if (!checks(Rule::first_poll) || !denial.is_first) {
    denied_ += reg.state == State::live ? 1 : 0;
    return mark_retired(*found);
  }
  if (reg.not_afd == NotAfd::suspected) return;  // polled once more, with the same result
  // What base_socket has returned, or whether it was called after a shortage, is not known in these cases.
  const bool is_unknown = denial.is_second || program_.options.faults.base_refused > 0;
  if (is_unknown && reg.state == State::live) {
    reg.state = State::closed;
    live_--;
    closed_++;
  }
  reg.not_afd = NotAfd::suspected;
  reg.disarmed_before = std::exchange(reg.disarmed, 0xFF);
  suspects_.push_back(*found);
}

// Statistics, the model, and what the kernel says agree.
void Checker::check_books() {
  see_denials();
  const Stats stats = backend_->stats();
  const std::uint64_t of_sockets = stats.registrations - objects_live_;
  require(of_sockets >= live_ && of_sockets <= live_ + closed_, "stats: registrations");
  // Each slot is a registration's or the kernel's.
  require(stats.arena_slots >= of_sockets && stats.arena_slots <= of_sockets + stats.pending_polls + kernel_.removing(),
          "stats: arena_slots");
  require(!checks(Rule::no_posts) || kernel_.posted_answers() == 0, "an answer was posted to the port");
  require(stats.pending_polls + kernel_.held_probes() == sim_.held_entries() + kernel_.posted_answers(),
          "stats: pending_polls");
  require(
      stats.helper_handles + 1 + kernel_.reserves() + kernel_.probe_handles() + kernel_.others() + objects_.size() ==
          sim_.open_handles(),
      "stats: helper_handles");
  require(stats.events == events_, "stats: events");
  require(stats.packets == kernel_.counted().packets, "stats: packets");
  require(stats.unknown_packets <= junk_, "a packet of ours was taken for another program's (packets are checked)");
  check_counts(stats);
  check_objects();
  const auto violations = sim_.violations();
  if (!violations.empty()) fail("the kernel saw: " + violations.front());
}

// Each kernel call is counted, under its kind, and nothing else is.
void Checker::check_counts(const Stats& stats) {
  const Counts counts = sim_.counts();
  const auto of = [&counts](Call call) { return counts[std::to_underlying(call)]; };
  const std::uint64_t notify_waits = sim_.dequeuing_notifies();
  // Of wait packets, those of timers and those of objects.
  require(stats.arm_calls + stats.timer_calls + stats.cancel_calls ==
              of(Call::poll) + of(Call::notify) - notify_waits + of(Call::cancel) + of(Call::associate) +
                  of(Call::disassociate) + of(Call::begin_wait) + of(Call::set_timer),
          "stats: arm_calls, timer_calls, cancel_calls");
  require(program_.high_resolution || stats.timer_calls == 0, "stats: timer_calls");
  require(stats.wait_calls == of(Call::dequeue) + notify_waits, "stats: wait_calls");
  require(stats.post_calls == of(Call::post) - junk_posts_, "stats: post_calls");
  require(stats.other_calls == of(Call::create_port) - refused_ports_ + of(Call::create_reserve) +
                                   of(Call::open_helper) + of(Call::skip_packet) + of(Call::base_socket) +
                                   of(Call::duplicate) + of(Call::create_wait_packet) + of(Call::create_timer) +
                                   of(Call::close) - object_closes_ +
                                   kernel_.probe_handles(),  // whose close is counted already
          "stats: other_calls");
  require(stats.group_arms == kernel_.counted().group_polls, "stats: group_arms");
}

// Ends faults and delays, until all packets and data have arrived.
void Checker::calm() {
  sim_.set_faults({});
  sim_.set_delays({}, {}, {});
  sim_.settle();
}

// What is ready and armed is delivered in turn, within a number of waits that depends on the size of the buffer.
void Checker::checkpoint(std::size_t buffer_size) {
  calm();
  sim_.run_for(grace);  // what was delivered to other threads is due, as they do not wait again
  std::vector<std::uint32_t> waiting;
  const std::size_t fired = objects_fired();
  for (const std::uint32_t token : open_) {
    if (is_owed(token)) waiting.push_back(token);
  }
  // Every other wait may be spent on events that come by packets, however few. Packets without events may come one at a
  // time.
  const std::size_t on_the_way = sim_.held_entries() + sim_.queued_packets();
  const std::size_t reporters =
      waiting.size() + closed_ + fired;  // a closed one may report another socket of its number
  // A notification that was queued before the registration was changed is asked for anew, behind all others.
  const std::size_t rounds = program_.notifications ? 2 : 1;
  const std::size_t turns = rounds * 2 * ((reporters + buffer_size - 1) / buffer_size) + on_the_way + 2;
  const std::uint64_t begin = waits_;
  std::array<Event, 64> buffer;
  for (std::size_t turn = 0; turn < turns && (!waiting.empty() || objects_fired() > 0);) {
    const std::uint64_t wakes = backend_->stats().wakes;
    const std::size_t count = wait_once(std::span(buffer).first(buffer_size), 0ns);
    if (count > 0 || backend_->stats().wakes == wakes) turn++;
    // As nothing is read meanwhile, what is not owed any more was a wrong suspicion.
    std::erase_if(waiting,
                  [&](std::uint32_t token) { return registered_[token].delivered_in > begin || !is_owed(token); });
  }
  require(objects_fired() == 0, "readiness was lost: an object that was signalled is not reported");
  if (!waiting.empty()) {
    fail("readiness was lost: " + std::to_string(waiting.front()) + " was not reported within " +
         std::to_string(turns) + " waits with a buffer of " + std::to_string(buffer_size));
  }
}

bool Checker::is_owed(std::uint32_t token) const {
  const Registered& reg = registered_[token];
  return reg.state == State::live && owed(reg, net_.events_of(*reg.endpoint)) != Readiness::none;
}

// A checkpoint in the middle of a program, which then goes on.
void Checker::pause(std::size_t buffer_size) {
  checkpoint(buffer_size);
  std::vector<std::pair<std::uint32_t, Mode>> modes;
  for (const std::uint32_t token : open_) modes.emplace_back(token, registered_[token].mode);
  check_idle();
  for (const auto& [token, mode] : modes) {
    if (registered_[token].state != State::retired) modify(registered_[token], registered_[token].interest, mode);
  }
  sim_.set_faults(program_.options.faults);
  sim_.set_delays(program_.options.flight, program_.options.completion, program_.options.packet);
}

// No spin: when everything was reported once, a wait of an hour makes almost no calls, whatever was reported before.
void Checker::check_idle() {
  for (const std::uint32_t token : std::vector(open_)) {
    modify(registered_[token], registered_[token].interest, Mode::oneshot);
    // It has no number any more, and it may report another socket that has the number of its base socket.
    if (by_number_ != nullptr && registered_[token].state == State::closed) remove(token);
  }
  std::array<Event, 64> buffer;
  for (std::size_t waits = 0;; waits++) {
    require(waits <= 3 + open_.size() + objects_.size(), "reported repeatedly though disarmed");
    const std::uint64_t wakes = backend_->stats().wakes;
    if (wait_once(buffer, 0ns) == 0 && backend_->stats().wakes == wakes) break;
  }
  const nanoseconds begin = sim_.now();
  const std::uint64_t calls = kernel_.counted().calls;
  is_quiet_ = true;
  require(wait_once(buffer, 1h) == 0, "reported though disarmed");
  is_quiet_ = false;
  const nanoseconds taken = sim_.now() - begin;
  require(taken >= 1h && taken <= 1h + lateness(), "a wait of an hour that takes less or more");
  // A timer that is left, one that is set and associated, and a dequeue for each.
  const std::uint64_t of_ticks = program_.high_resolution ? 5 : program_.options.tick > 0ns ? 1 : 0;
  require(kernel_.counted().calls - calls <= (program_.notifications ? 3U : 2U) + of_ticks,
          "an idle wait that makes kernel calls (no spin)");
  require(backend_->stats().unknown_packets == junk_,
          "an unrecognised packet was taken for ours (packets are checked)");
}

// Everything is released: slots, blocks, requests.
void Checker::remove_everything() {
  const auto look = [this] {
    std::array<Event, 64> buffer;
    sim_.settle();
    for (int i = 0; i < 4; i++) require(wait_once(buffer, 0ns) == 0, "reported though everything was removed");
  };
  look();
  require(backend_->stats().registrations == 0, "a registration is left");
  // A group's poll is pending until one of its members fires or is closed: to remove a member does not cancel it.
  if (program_.seed % 2 == 0) burst(0, sockets_.size());
  look();
  while (backend_->stats().pending_polls > 0 && !sockets_.empty()) {
    close(sockets_.size() - 1, false, false);
    look();
  }
  const Stats stats = backend_->stats();
  require(stats.pending_polls == 0, "a poll is pending though every socket is closed");
  // Of a socket that was closed while its removal was on the way, a slot is kept until its number is added again.
  const std::size_t kept = sim_.vanished_removals();
  require(stats.arena_slots <= kept, "a slot is left (kernel owns its memory)");
  require(stats.arena_blocks <= 1 + kept, "arena blocks are left (kernel owns its memory)");
  require(sim_.held_requests() == kernel_.held_probes(), "the kernel holds what is not counted");
}

void Checker::finish() {
  checkpoint(1 + program_.seed % 8);
  check_idle();
  if (program_.ending != Ending::close_pending) end_objects();
  net_.end_child();
  // For a closed socket, an earlier event may have been delivered. The next poll finds that it is closed.
  for (const std::uint32_t token : std::vector(open_)) {
    if (registered_[token].state == State::closed) modify(registered_[token], Interest::readable, Mode::oneshot);
  }
  std::array<Event, 64> buffer;
  for (int i = 0; i < 2; i++) static_cast<void>(wait_once(buffer, 0ns));
  for (const std::uint32_t token : std::vector(open_)) {
    const Registered& reg = registered_[token];
    if (reg.not_afd == NotAfd::delivered) continue;  // it is polled no more
    if (program_.notifications) continue;            // it may be asked for already: then nothing is asked anew
    if (reg.state != State::closed || reg.is_reused || net_.is_open(reg.number) || net_.is_open(reg.polled) ||
        !reg.endpoint->closed) {
      continue;
    }
    require(!backend_->modify(reg.place, Interest::none, {}).has_value(),
            "the registration of a closed socket was not retired");
    mark_retired(token);
  }
  switch (program_.ending) {
    case Ending::remove_all:
      while (!open_.empty()) remove(open_.back());
      remove_everything();
      break;
    case Ending::close_unseen: {
      // A socket that is not AFD's is not polled any more, so its close is never noticed.
      for (const std::uint32_t token : std::vector(open_)) {
        if (registered_[token].not_afd == NotAfd::delivered) {
          remove(token);
        } else {
          modify(registered_[token], Interest::readable, Mode::level);  // armed until it is retired
        }
      }
      static_cast<void>(wait_once(buffer, 0ns));
      while (!sockets_.empty()) close(sockets_.size() - 1, false, false);
      for (std::size_t i = 0; i < 8 + open_.size(); i++) static_cast<void>(wait_once(buffer, 0ns));
      for (const std::uint32_t token : std::vector(open_)) mark_retired(token);
      remove_everything();
      break;
    }
    case Ending::close_pending: break;
  }
  sim_.set_when_asleep(nullptr);
  sim_.set_faults({});
  last_stats_ = backend_->stats();
  packets_max_ = kernel_.counted().packets_max;  // of waits: close has its own buffer
  backend_->close();
  const Stats after = backend_->stats();
  require(after.arena_slots == 0 && after.pending_polls == 0, "a slot is left after close (kernel owns its memory)");
  check_counts(after);
  require(!backend_->wait(buffer, 0ns).has_value(), "a wait after close did not fail");
  backend_->wake();
  backend_.reset();
  close_objects();
  require(sim_.open_handles() == 0, "a handle is left open");
  require(sim_.held_requests() == 0, "the kernel still holds a request after close (kernel owns its memory)");
  const auto violations = sim_.violations();
  if (!violations.empty()) fail("the kernel saw: " + violations.front());
}

void Checker::add_to(Totals& totals) const {
  totals += {.runs = 1,
             .steps = next_step_,
             .waits = waits_,
             .events = last_stats_.events,
             .wakes = last_stats_.wakes,
             .kernel_calls = kernel_.counted().calls,
             .packets = last_stats_.packets,
             .group_arms = last_stats_.group_arms,
             .group_members = last_stats_.group_members,
             .group_members_max = kernel_.counted().sockets_max,
             .packets_max = packets_max_,
             .denied = denied_,
             .replaced = replaced_,
             .not_afd = not_afd_,
             .deferred = deferred_};
}

Totals& Totals::operator+=(const Totals& other) noexcept {
  runs += other.runs;
  steps += other.steps;
  waits += other.waits;
  events += other.events;
  wakes += other.wakes;
  kernel_calls += other.kernel_calls;
  packets += other.packets;
  group_arms += other.group_arms;
  group_members += other.group_members;
  group_members_max = std::max(group_members_max, other.group_members_max);
  packets_max = std::max(packets_max, other.packets_max);
  denied += other.denied;
  replaced += other.replaced;
  not_afd += other.not_afd;
  deferred += other.deferred;
  return *this;
}

std::string describe(const Totals& totals) {
  const auto text = [](std::uint64_t number, const char* of) { return std::to_string(number) + of; };
  return text(totals.steps, " steps, ") + text(totals.waits, " waits, ") + text(totals.events, " events, ") +
         text(totals.wakes, " wakes, ") + text(totals.kernel_calls, " kernel calls, ") +
         text(totals.packets, " packets, ") + text(totals.group_arms, " groups of ") +
         text(totals.group_members, " sockets in all and ") + text(totals.group_members_max, " at most, ") +
         text(totals.packets_max, " packets in a dequeue at most, ") + text(totals.denied, " ended by a refusal, ") +
         text(totals.replaced, " replaced, ") + text(totals.not_afd, " not AFD's, ") +
         text(totals.deferred, " times deferred");
}

std::optional<std::string> run(const Program& program, const Checker::Log* log, Totals* totals) try {
  Checker checker(program, log);
  checker.run();
  if (totals != nullptr) checker.add_to(*totals);
  return std::nullopt;
} catch (const std::exception& error) {
  return error.what();
}

}  // namespace reactor::sim::model
