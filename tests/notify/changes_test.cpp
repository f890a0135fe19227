// SPDX-License-Identifier: MIT
//
// The calls that change the kernel's registrations: how many changes one makes, how long it may sleep, what is refused.
#include <set>
#include <utility>
#include <vector>

#include <reactor/notify/notifications.hpp>

#include "notify/fixture.hpp"

using namespace fixture;

// A call that sleeps says only at its end that it has refused to enable a registration.
TEST_CASE("notify: a refusal by a call that sleeps is noticed within 100 ms") {
  Fixture f({.notices = sim::NoticeReadings{.refusal_ends_call = false}});
  const auto [a, a_peer] = f.net.tcp_pair();
  const Registration registration = f.add(a);
  f.send(a_peer);
  CHECK(f.one(a) == Readiness::readable);
  f.kernel.set_faults({.change_refused = 1000});
  bool is_over = false;
  f.kernel.set_when_asleep([&] {
    if (!std::exchange(is_over, true)) f.kernel.set_faults({});
    return false;
  });
  const auto begin = f.kernel.now();
  CHECK(f.one(a, 1h) == Readiness::readable);
  CHECK(is_over);
  CHECK(f.kernel.now() - begin <= 120ms);
  f.kernel.set_when_asleep(nullptr);
}

TEST_CASE("notify: the first registration of a socket may be refused, so no call sleeps with it") {
  Fixture f({.notices = sim::NoticeReadings{.refusal_ends_call = false}});
  const Registration registration = f.add(f.net.not_afd());
  const auto begin = f.kernel.now();
  CHECK(f.wait(1h).size() == 1);
  CHECK(f.kernel.now() == begin);
}

TEST_CASE("notify: calls that fail as a whole lose nothing") {
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    CAPTURE(seed);
    Fixture f({.seed = seed});
    std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
    std::vector<Registration> registrations;
    for (int i = 0; i < 4; i++) {
      pairs.push_back(f.net.tcp_pair());
      registrations.push_back(f.add(pairs.back().first));
    }
    f.kernel.set_faults({.notify_refused = 300, .change_refused = 200});
    for (const auto& [socket, peer] : pairs) f.send(peer);
    std::vector<bool> is_reported(pairs.size());
    for (int i = 0; i < 60; i++) {
      const auto waited = f.poller->wait(f.buffer, 1ms);
      if (!waited) continue;
      for (const Event& event : *waited) {
        CHECK(event.readiness() == Readiness::readable);
        for (std::size_t at = 0; at < pairs.size(); at++) {
          if (event.token() == Token{pairs[at].first}) is_reported[at] = true;
        }
      }
    }
    CHECK(is_reported == std::vector<bool>(pairs.size(), true));
    f.kernel.set_faults({});
  }
}

TEST_CASE("notify: more registrations than one call takes") {
  Fixture f;
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 1000; i++) {
    pairs.push_back(f.net.tcp_pair());
    registrations.push_back(f.add(pairs.back().first));
    f.send(pairs.back().second);
  }
  std::set<std::uint64_t> reported;
  for (int i = 0; i < 4; i++) {  // by turns: a buffer takes 256
    for (const Event& event : f.wait()) reported.insert(static_cast<std::uint64_t>(event.token()));
  }
  CHECK(reported.size() == 1000);
  CHECK(f.kernel.notices() == 1000);
  const auto before = f.changes();
  f.poller.reset();
  CHECK(f.changes() - before == 4);  // all are removed, 256 by a call
}

TEST_CASE("notify: a removal that the kernel refuses for a shortage is asked for until it is made") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    Registration registration = f.add(a);
    CHECK(f.wait().empty());
    f.kernel.set_faults({.change_refused = 1000});
    REQUIRE(registration.remove());
    for (int i = 0; i < 3; i++) static_cast<void>(f.poller->wait(f.buffer, 1ms));
    CHECK(f.kernel.notices() == 1);
    CHECK(f.poller->stats().arena_slots == 1);
    f.kernel.set_faults({});
    for (int i = 0; i < 2; i++) CHECK(f.wait().empty());
    CHECK(f.kernel.notices() == 0);
    CHECK(f.poller->stats().arena_slots == 0);
  });
}

TEST_CASE("notify: a call that leaves changes to the next one does not sleep") {
  Fixture f;
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 300; i++) {
    pairs.push_back(f.net.tcp_pair());
    registrations.push_back(f.add(pairs.back().first, Interest::readable, Mode::oneshot));
    f.send(pairs.back().second);
  }
  for (std::size_t reported = 0; reported < pairs.size();) {
    const auto events = f.wait(1s);
    REQUIRE_FALSE(events.empty());
    reported += events.size();
  }
  for (std::size_t i = 0; i < pairs.size(); i++) {
    f.read(pairs[i].first);
    REQUIRE(registrations[i].modify(Interest::readable));
  }
  f.send(pairs.back().second);
  const auto begin = f.kernel.now();
  CHECK(f.one(pairs.back().first, 1h) == Readiness::readable);
  CHECK(f.kernel.now() == begin);
}

// Rule: what a sleeping thread needs is armed at once.
TEST_CASE("notify: what a wait was refused and leaves is asked for by the thread that sleeps") {
  Fixture f;
  const auto [a, a_peer] = f.net.tcp_pair();
  const auto [b, b_peer] = f.net.tcp_pair();
  const Registration first = f.add(a), second = f.add(b, Interest::readable, Mode::oneshot);
  CHECK(f.wait().empty());
  bool has_run = false;
  f.kernel.set_when_asleep([&] {
    if (std::exchange(has_run, true)) return false;
    f.kernel.play_thread(2);
    f.send(a_peer);
    CHECK(f.one(a) == Readiness::readable);
    f.read(a);
    f.send(b_peer);
    f.kernel.set_faults({.change_refused = 1000});
    CHECK(f.one(b) == Readiness::readable);
    f.kernel.set_faults({});
    f.send(a_peer);
    f.kernel.play_thread(1);
    return true;
  });
  CHECK(f.one(a, 1h) == Readiness::readable);
  CHECK(has_run);
  f.kernel.set_when_asleep(nullptr);
}

TEST_CASE("notify: a change's error means a shortage, no socket, or a refusal") {
  using notify::Notifications;
  CHECK(Notifications::result_of(0) == Notifications::Result::done);
  // As documented, Win32 errors; where it was looked at, NTSTATUS.
  for (const ULONG error : {8U, 14U, 1450U, 1453U, 1455U, 1816U, 10055U, 0xC000009AU}) {
    CHECK_MESSAGE(Notifications::result_of(error) == Notifications::Result::shortage, error);
  }
  for (const ULONG error : {6U, 10038U, 0xC0000008U, 0xC0000024U}) {
    CHECK_MESSAGE(Notifications::result_of(error) == Notifications::Result::no_socket, error);
  }
  for (const ULONG error : {5U, 87U, 10045U, 0xC0000022U}) {
    CHECK_MESSAGE(Notifications::result_of(error) == Notifications::Result::refused, error);
  }
}
