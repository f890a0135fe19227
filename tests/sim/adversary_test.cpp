// SPDX-License-Identifier: MIT
//
// Hot groups and programs that make them hard to use. Each adversary runs beside sockets that are always or often
// ready, two that rarely are, and a waker. The test counts how many waits each socket was ready before it was reported,
// and the kernel calls per event.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "afd/fixture.hpp"

using namespace reactor;
using namespace std::chrono_literals;
using sim::SocketNumber;

namespace {

struct Setting {
  sim::Flavour flavour;
  bool is_paced;  // a reported socket is read, and ready again a millisecond later: groups have to wait in the kernel
  std::size_t buffer_size;  // of a wait, in events
  bool hot_groups = true;
};

enum class Habit : std::uint8_t { never_reads, reads, reads_and_asks_for_more };

struct Member {
  SocketNumber socket = 0, peer = 0;
  Habit habit = Habit::reads;
  Registration registration{};
  bool is_open = true, is_registered = true;
  int times_reported = 0;         // of this registration
  std::uint64_t ready_since = 0;  // the first wait that could have reported it; 0 when it is not ready
};

class Program {
 public:
  static constexpr std::size_t busy = 8;

  explicit Program(const Setting& chosen)
      : setting(chosen),
        fixture({.flavour = setting.flavour, .flight = setting.is_paced ? sim::Delay{1ms, 1ms} : sim::Delay{}},
                {.hot_groups = setting.hot_groups}) {
    for (std::size_t i = 0; i < busy; i++) add_busy();
    for (auto& cold : cold_) cold = add(Habit::reads);
  }

  Setting setting;
  afd_fixture::SimFixture fixture;
  std::deque<Member> members;
  std::vector<std::size_t> reported;  // by the last wait

  [[nodiscard]] sim::SimNet& net() { return fixture.kernel.net(); }
  [[nodiscard]] Stats stats() const { return fixture.poller->stats(); }
  [[nodiscard]] std::uint64_t worst() const { return worst_; }
  [[nodiscard]] std::uint64_t ready_max() const { return ready_max_; }

  std::size_t add(Habit habit) {
    const auto [socket, peer] = net().tcp_pair();
    members.push_back({.socket = socket, .peer = peer, .habit = habit});
    register_again(members.size() - 1);
    return members.size() - 1;
  }
  std::size_t add_busy() {
    const std::size_t index = add(setting.is_paced ? Habit::reads_and_asks_for_more : Habit::never_reads);
    send(index);
    return index;
  }
  void register_again(std::size_t index) {
    Member& member = members[index];
    auto added = fixture.poller->add(static_cast<NativeSocket>(member.socket), Token{index}, Interest::readable);
    REQUIRE(added.has_value());
    member.registration = std::move(*added);
    member.is_open = member.is_registered = true;
    member.times_reported = 0;
    member.ready_since = 0;
  }
  void send(std::size_t index) { REQUIRE(net().send(members[index].peer, 1) == 1u); }

  void wake() {
    fixture.poller->waker().wake();
    if (woken_since_ == 0) woken_since_ = waits_ + 1;
  }

  void wait() {
    waits_++;
    if (waits_ % 19 == 0) send(cold_[0]);  // further apart than GroupPolicy::near_rounds
    if (waits_ % 23 == 0) send(cold_[1]);
    if (waits_ % 29 == 0) wake();
    note_ready();
    const std::uint64_t wakes = stats().wakes;
    const auto events = fixture.poller->wait(std::span(fixture.buffer).first(setting.buffer_size), 10ms);
    REQUIRE(events.has_value());
    reported.clear();
    for (const Event& event : *events) on_event(event);
    if (stats().wakes > wakes) was_late(woken_since_);
    // Also those that are never reported.
    for (const Member& member : members) worst_ = std::max(worst_, waits_of(member.ready_since));
    worst_ = std::max(worst_, waits_of(woken_since_));
  }

 private:
  [[nodiscard]] std::uint64_t waits_of(std::uint64_t since) const { return since == 0 ? 0 : waits_ - since + 1; }
  void was_late(std::uint64_t& since) {
    worst_ = std::max(worst_, waits_of(since));
    since = 0;
  }
  void note_ready() {
    std::uint64_t ready = 0;
    for (Member& member : members) {
      if (!member.is_open || !net().readable(member.socket)) continue;
      ready++;
      if (member.ready_since == 0) member.ready_since = waits_;
    }
    ready_max_ = std::max(ready_max_, ready);
  }
  void on_event(const Event& event) {
    const auto index = static_cast<std::size_t>(event.token());
    Member& member = members.at(index);
    REQUIRE(member.is_registered);
    if (!member.is_open) return;  // its event was on its way when it was closed
    reported.push_back(index);
    member.times_reported++;
    if (!event.readable()) return;
    was_late(member.ready_since);
    if (member.habit == Habit::never_reads) return;
    REQUIRE(net().recv(member.socket, 1000).value() > 0);
    if (member.habit == Habit::reads_and_asks_for_more) send(index);
  }

  std::array<std::size_t, 2> cold_{};
  std::uint64_t waits_ = 0, worst_ = 0, ready_max_ = 0;
  std::uint64_t woken_since_ = 0;
};

struct Played {
  std::uint64_t worst = 0, bound = 0;  // waits
  std::uint64_t group_arms = 0, largest = 0;
  double calls_per_event = 0;
};

template <class Adversary>
Played play(const Setting& setting) {
  Program program(setting);
  Adversary adversary(program);
  for (int i = 0; i < 100; i++) program.wait();
  const Stats before = program.stats();
  REQUIRE((before.group_arms > 0) == (setting.hot_groups && setting.buffer_size > 1));  // there are no groups of one
  Played played{};
  for (int i = 0; i < 600; i++) {
    const Stats last = program.stats();
    program.wait();
    adversary.act();
    const Stats now = program.stats();
    if (now.group_arms - last.group_arms != 1) continue;
    played.largest = std::max(played.largest, now.group_members - last.group_members);
  }
  const Stats after = program.stats();
  played.group_arms = after.group_arms - before.group_arms;
  played.worst = program.worst();
  // In turn, each ready socket is reported within ready / buffer_size waits. Before that at most every other wait is
  // filled by packets or ended by a wake. One wait more for a socket that became ready just after its turn and is
  // reported by a packet, and one for a wake in between.
  played.bound = 2 * ((program.ready_max() + setting.buffer_size - 1) / setting.buffer_size) + 2;
  played.calls_per_event = static_cast<double>(after.kernel_calls() - before.kernel_calls()) /
                           static_cast<double>(after.events - before.events);
  return played;
}

template <class Adversary>
void check() {
  for (const auto flavour : {sim::Flavour::windows, sim::Flavour::wine}) {
    for (const bool is_paced : {false, true}) {
      for (const std::size_t buffer_size : {1u, 2u, 7u, 64u}) {
        CAPTURE(flavour);
        CAPTURE(is_paced);
        CAPTURE(buffer_size);
        const Played with = play<Adversary>({flavour, is_paced, buffer_size});
        const Played without = play<Adversary>({flavour, is_paced, buffer_size, false});
        INFO("worst: " << with.worst << " of " << with.bound << " waits, " << without.worst << " without groups; "
                       << with.group_arms << " groups, the largest of " << with.largest << "; calls per event: "
                       << with.calls_per_event << ", " << without.calls_per_event << " without groups");
        CHECK(with.worst <= with.bound);
        CHECK(with.calls_per_event <= 1.5 * without.calls_per_event);
        CHECK(without.worst <= without.bound);
        if (buffer_size == 1) continue;  // no groups
        CHECK(with.group_arms > 0);
        CHECK(with.largest >= Adversary::together(buffer_size));
      }
    }
  }
}

struct NoAdversary {
  static std::uint64_t together(std::size_t) { return 2; }
  explicit NoAdversary(Program&) {}
  void act() {}
};

// A hot member changes between readable and readable | writable after each wait with events.
class Toggler {
 public:
  static std::uint64_t together(std::size_t) { return 2; }
  explicit Toggler(Program& program) : program_(program) {}
  void act() {
    if (program_.reported.empty()) return;
    is_wide_ = !is_wide_;
    REQUIRE(program_.members[0].registration.modify(is_wide_ ? Interest::readable | Interest::writable
                                                             : Interest::readable));
  }

 private:
  Program& program_;
  bool is_wide_ = false;
};

// After each wait with events one hot socket is closed, in turn with and without remove, and its number is used again,
// in turn at once and after the next wait. The poll of a group with a closed member is refused, so there are fewer and
// fewer groups: GroupPolicy::was_refused.
class Closers {
 public:
  static std::uint64_t together(std::size_t) { return 2; }
  explicit Closers(Program& program) : program_(program) {
    for (std::size_t& closer : closers_) closer = program.add_busy();
  }
  void act() {
    if (closed_ != none) open(std::exchange(closed_, none));
    if (program_.reported.empty()) return;
    const std::size_t index = closers_[turn_ % closers_.size()];
    Member& member = program_.members[index];
    if (member.times_reported < 3) return;  // it is not hot yet
    const unsigned turn = turn_++;
    if (turn % 2 == 0) REQUIRE(member.registration.remove());
    member.is_registered = turn % 2 != 0;
    REQUIRE(program_.net().close(member.socket));
    REQUIRE(program_.net().close(member.peer));
    member.is_open = false;
    member.ready_since = 0;
    if (turn % 4 < 2) return open(index);
    closed_ = index;
  }

 private:
  static constexpr auto none = static_cast<std::size_t>(-1);

  void open(std::size_t index) {
    Member& member = program_.members[index];
    const auto [peer, socket] = program_.net().tcp_pair();  // the number that was closed last is used first
    REQUIRE(socket == member.socket);
    member.peer = peer;
    program_.register_again(index);
    program_.send(index);
  }

  Program& program_;
  std::array<std::size_t, 7> closers_{};  // enough for each to become hot before its turn
  unsigned turn_ = 0;
  std::size_t closed_ = none;
};

// All of 256 sockets are ready at once, so that they are polled together; then one at a time.
class OneOfMany {
 public:
  static std::uint64_t together(std::size_t buffer_size) {
    return std::min<std::uint64_t>(afd::Group::capacity, buffer_size * afd::GroupPolicy::members_per_event);
  }
  explicit OneOfMany(Program& program) : program_(program) {
    for (std::uint64_t i = 0; i < together(program.setting.buffer_size); i++)
      many_.push_back(program.add(Habit::reads));
    for (int i = 0; i < 4; i++) {
      for (all(); unread_ > 0; count()) {
        program.wait();
        REQUIRE(program.worst() < 1000);
      }
    }
  }
  void act() {
    count();
    if (unread_ > 0) return;
    if (turn_++ % 24 < 3) return all();  // members leave a group that completes 16 times without them
    program_.send(many_[turn_ * 37 % many_.size()]);
    unread_++;
  }

 private:
  void all() {
    for (const std::size_t index : many_) program_.send(index);
    unread_ = many_.size();
  }
  void count() {
    for (const std::size_t index : program_.reported) unread_ -= index >= many_[0];
  }

  Program& program_;
  std::vector<std::size_t> many_;
  std::size_t unread_ = 0, turn_ = 0;
};

// Three wakes before each wait. They keep it from sleeping, so time has to pass elsewhere.
class Storm {
 public:
  static std::uint64_t together(std::size_t) { return 2; }
  explicit Storm(Program& program) : program_(program) {}
  void act() {
    program_.fixture.kernel.run_for(300us);
    for (int i = 0; i < 3; i++) program_.wake();
  }

 private:
  Program& program_;
};

}  // namespace

TEST_CASE("adversary: a small buffer, down to one event") { check<NoAdversary>(); }
TEST_CASE("adversary: a member that toggles its interest at every event") { check<Toggler>(); }
TEST_CASE("adversary: members that are closed at every event, and whose numbers are used again") { check<Closers>(); }
TEST_CASE("adversary: a group of 256, of which one fires at a time") { check<OneOfMany>(); }
TEST_CASE("adversary: a storm of wakes") { check<Storm>(); }
