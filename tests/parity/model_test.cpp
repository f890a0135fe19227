// SPDX-License-Identifier: MIT
// 64 sockets whose interest, mode, data and connection change at random, compared with a model of what must be
// reported.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <random>

using namespace parity;

namespace {

constexpr std::size_t sockets_count = 64;
constexpr Readiness everything = readable | writable | priority | read_closed | hung_up | failed;

/// The state of a socket, and so what must be reported for it.
///
/// Some moves are left out, since the systems differ there on purpose (docs/semantics.md): in edge mode, nothing
/// happens in a direction that is disarmed, and writable is not wanted.
struct Model {
  Interest interest = Interest::none;
  Mode mode = Mode::level;
  std::size_t unread = 0;  // bytes that were sent to it
  bool is_reset = false;
  bool is_touched = false;    // changed since the last wait
  Readiness disarmed = none;  // the directions that oneshot or edge has disarmed
  Readiness was = none;       // its readiness at any time since the last wait

  [[nodiscard]] bool has_data() const noexcept { return unread != 0; }
  [[nodiscard]] Readiness now() const noexcept { return has_data() ? readable | writable : writable; }
  [[nodiscard]] Readiness wanted() const noexcept { return static_cast<Readiness>(interest); }

  [[nodiscard]] Readiness owed() const noexcept {
    const Readiness reset = readable | writable | hung_up | failed;
    const Readiness end = (wanted() & readable) != none ? reset | read_closed : reset;
    return (is_reset ? end : now() & wanted()) & ~disarmed;
  }

  /// Readiness is a hint: Windows may report what was so when the poll completed.
  [[nodiscard]] Readiness allowed() const noexcept {
    return is_windows() ? owed() | (was & wanted() & ~disarmed) : owed();
  }

  [[nodiscard]] bool reports_once() const noexcept {
    return mode == Mode::oneshot || (mode == Mode::level && interest == Interest::none);
  }

  void change(Interest to, Mode as) noexcept {
    interest = as == Mode::edge ? to & asks_read : to;
    mode = as;
    disarmed = none;
  }

  void was_reported(Readiness readiness) noexcept {
    if (reports_once()) disarmed = everything;
    if (mode == Mode::edge) disarmed = disarmed | readiness;
  }
};

struct Member {
  Model model;
  Pair pair;
  Registration registration;
  std::uint64_t token = 0;
};

class Group {
 public:
  explicit Group(std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < sockets_count; ++i) replace(members_[i], i);
  }

  void round() {
    const std::size_t moves = 1 + pick(2 * sockets_count);
    for (std::size_t i = 0; i < moves; ++i) {
      const std::size_t index = pick(sockets_count);
      move(members_[index], index);
    }
    expect_what_is_owed();
    for (Member& member : members_) {
      member.model.was = member.model.now();
      member.model.is_touched = false;
    }
  }

 private:
  [[nodiscard]] std::size_t pick(std::size_t count) { return static_cast<std::size_t>(random_() % count); }

  // Each draw is a statement of its own: compilers evaluate arguments in orders of their own.
  void change_interest_and_mode(Model& model) {
    const auto interest = static_cast<Interest>(pick(4));
    const auto mode = static_cast<Mode>(pick(3));
    model.change(interest, mode);
  }

  void move(Member& member, std::size_t index) {
    Model& model = member.model;
    const bool may_happen = !model.is_reset && (model.mode != Mode::edge || model.disarmed == none);
    switch (pick(16)) {
      case 0: replace(member, index); break;
      case 1:
        if (!may_happen || model.is_touched || model.has_data()) return;
        reset(member.pair.client);
        model.is_reset = true;
        break;
      case 2:
      case 3:
      case 4:
      case 5:
      case 6:
        if (!may_happen) return;
        send_byte(member.pair.client);
        ++model.unread;
        // Loopback is slower under load. A byte that arrived after a wait would be an event that is not expected.
        while (available(member.pair.server) < model.unread) std::this_thread::yield();
        break;
      case 7:
      case 8:
      case 9: read(member); break;
      case 10:
      case 11:
        model.change(static_cast<Interest>(pick(4)), model.mode);
        must(member.registration.modify(model.interest));
        break;
      default:
        change_interest_and_mode(model);
        must(member.registration.modify(model.interest, model.mode));
        break;
    }
    model.is_touched = true;
    model.was = model.was | model.now();
  }

  static void read(Member& member) {
    Model& model = member.model;
    if (model.is_reset) return;  // on one of the systems a receive would consume the error
    CHECK(receive_all(member.pair.server) == model.unread);
    model.unread = 0;
    if (model.mode == Mode::edge) {
      must(member.registration.drained(asks_read));
      model.disarmed = none;
    }
  }

  void replace(Member& member, std::size_t index) {
    const bool removes = pick(2) == 0;
    if (removes) member.registration = Registration();
    member.pair.server.close();
    member.pair = loopback_.connect();
    member.model = Model();
    change_interest_and_mode(member.model);
    member.token += sockets_count;
    member.token += index - member.token % sockets_count;
    member.registration =
        must(poller_.add(member.pair.server.native(), Token{member.token}, member.model.interest, member.model.mode));
    member.model.was = member.model.now();
  }

  /// Waits until all that is owed was reported, and checks that nothing else is.
  void expect_what_is_owed() {
    std::array<Readiness, sockets_count> owed;
    bool owes = false;
    for (std::size_t i = 0; i < sockets_count; ++i) {
      owed[i] = members_[i].model.owed();
      owes = owes || owed[i] != none;
    }
    const auto deadline = std::chrono::steady_clock::now() + time_limit;
    for (bool is_first = true; is_first || owes; is_first = false) {
      const Reports reports = next(poller_, owes ? nanoseconds(time_limit) : nanoseconds::zero());
      std::array<bool, sockets_count> seen{};
      for (const auto& [token, readiness] : reports) {
        const std::size_t index = token % sockets_count;
        Model& model = members_[index].model;
        CAPTURE(index);
        CAPTURE(static_cast<int>(model.mode));
        CAPTURE(model.wanted());
        REQUIRE(token == members_[index].token);
        REQUIRE_FALSE(seen[index]);
        seen[index] = true;
        const Readiness allowed = is_first ? model.allowed() : model.owed();
        if (readiness == none || !covers(allowed, readiness)) {
          FAIL("reported ", text(readiness), ", owed ", text(model.owed()), ", allowed ", text(allowed));
        }
        model.was_reported(readiness);
        owed[index] = model.reports_once() ? none : owed[index] & ~readiness;
      }
      owes = std::ranges::any_of(owed, [](Readiness readiness) { return readiness != none; });
      if (owes && std::chrono::steady_clock::now() > deadline) {
        for (std::size_t i = 0; i < sockets_count; ++i) {
          if (owed[i] != none) FAIL("socket ", i, " was not reported as ", text(owed[i]));
        }
      }
    }
  }

  std::mt19937_64 random_;
  Loopback loopback_;
  Poller poller_ = make_poller();
  std::array<Member, sockets_count> members_;
};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "64 sockets with random changes against a model") {
  constexpr int rounds = 250;
  const std::uint64_t from = seed();
  INFO("set REACTOR_SEED=", from, " to run this again");
  Group group(from);
  for (int i = 0; i < rounds; ++i) {
    CAPTURE(i);
    group.round();
  }
}
