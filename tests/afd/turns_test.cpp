// SPDX-License-Identifier: MIT
//
// Fairness: whatever the size of the caller's buffer, each socket that is ready and each wake has its turn.
#include <doctest/doctest.h>

#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <reactor/afd/group_policy.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("turns: with a buffer of one event, busy sockets, a rarely ready one and a wake are all reported") {
  Fixture f;
  auto first = f.add(a);
  auto second = f.add(b);
  auto seldom = f.add(c);
  CHECK(f.wait().empty());
  f.kernel.ready[base(a)] = f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  f.kernel.complete(base(b), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a, b});
  f.kernel.complete(base(c), AFD_POLL_RECEIVE);
  f.poller->waker().wake();
  Sockets reported;
  bool woken = false;
  for (int i = 0; i < 6; i++) {
    const auto events = f.wait(0ns, 1);
    if (events.empty()) woken = true;
    for (const Event& event : events) reported.insert(static_cast<NativeSocket>(event.token()));
  }
  CHECK(woken);
  CHECK(reported.count(a) >= 2);
  CHECK(reported.count(b) >= 2);
  CHECK(reported.count(c) == 1);
}

TEST_CASE("turns: with a buffer smaller than the number of ready sockets, each of them is reported in each cycle") {
  constexpr int sockets = 40, cold = 10;
  for (const std::size_t buffer_size : {1u, 2u, 3u, 4u, 39u}) {
    for (const bool skips : {true, false}) {
      CAPTURE(buffer_size);
      CAPTURE(skips);
      HotSockets f(sockets, {.inline_completions = skips});
      for (int i = 0; i < sockets; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
      for (int i = 0; i < cold; i++) {
        f.members.emplace_back(f.add(a + 4 * i));
        f.kernel.ready[base(a + 4 * i)] = AFD_POLL_RECEIVE;
      }
      f.count_events(50, buffer_size);
      for (int cycle = 0; cycle < 10; cycle++) {
        const auto reported = f.count_events(
            (sockets + cold + static_cast<int>(buffer_size) - 1) / static_cast<int>(buffer_size), buffer_size);
        CHECK(reported.size() == sockets + cold);
      }
    }
  }
}

TEST_CASE("turns: a failed poll that did not fit into the buffer is submitted before what was marked later") {
  ArmedGroup f(3);
  auto failing = f.add(a), cancelled = f.add(b);
  CHECK(f.wait().empty());
  f.kernel.complete(base(b), 0, STATUS_CANCELLED);
  FakeKernel::Entries all;
  for (int i = 0; i < 3; i++) all.push_back({base(hot(i)), AFD_POLL_RECEIVE, 0});
  f.kernel.complete(base(hot(0)), all);
  f.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000022));
  CHECK(f.readable(3) == Sockets{hot(0), hot(1), hot(2)});
  f.kernel.poll_refusals = {static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait(0ns, 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(a)});
}

TEST_CASE("turns: a failed poll that did not fit into the buffer is submitted first by the next wait") {
  ArmedGroup f(2);
  auto lone = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_RECEIVE, 0}});
  f.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000022));
  CHECK(f.wait(0ns, 2).size() == 2);
  f.kernel.poll_refusals = {static_cast<NTSTATUS>(0xC0000022)};
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{static_cast<std::uint64_t>(a)});
  CHECK(events[0].failed());
}

TEST_CASE("turns: a member that did not fit into the buffer is reported next, although it was modified meanwhile") {
  ArmedGroup f(2);
  auto lone = f.add(a);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(f.readable(1) == Sockets{a});  // completed synchronously, so the next wait dequeues first
  REQUIRE(f.members[1].modify(Interest::readable));
  f.kernel.complete(base(hot(0)), {{base(hot(0)), AFD_POLL_RECEIVE, 0}, {base(hot(1)), AFD_POLL_RECEIVE, 0}});
  CHECK(f.readable(1) == Sockets{hot(0)});
  f.kernel.ready[base(hot(1))] = AFD_POLL_RECEIVE;
  CHECK(f.readable(1) == Sockets{hot(1)});
  CHECK(f.readable(1) == Sockets{a});
}

// Seven sockets complete synchronously in each wait and leave space for one packet: the other packets must come too.
TEST_CASE("turns: many packets are delivered beside sockets that almost fill the buffer in each wait") {
  constexpr int always = 7, seldom = 100, buffer_size = 8;
  Fixture f(PollerOptions{.hot_groups = false});
  std::vector<Registration> registrations;
  for (int i = 0; i < seldom; i++) registrations.push_back(f.add(hot(i), Interest::readable, Mode::oneshot));
  CHECK(f.wait().empty());
  for (int i = 0; i < always; i++) {
    registrations.push_back(f.add(hot(seldom + i)));
    f.kernel.ready[base(hot(seldom + i))] = AFD_POLL_RECEIVE;
  }
  for (int i = 0; i < seldom; i++) f.kernel.complete(base(hot(i)), AFD_POLL_RECEIVE);
  f.poller->waker().wake();  // behind all packets
  std::map<NativeSocket, int> reported;
  int waits = 0;
  for (; f.poller->stats().wakes == 0 && waits < 2 * seldom; waits++) {
    for (const NativeSocket socket : f.readable(buffer_size)) reported[socket]++;
  }
  CHECK(reported.size() == seldom + always);
  CHECK(waits <= 2 * ((seldom + always) / buffer_size + 1));
  const auto turns = [&](int i) { return reported[hot(seldom + i)]; };
  for (int i = 0; i < always; i++) CHECK(turns(i) >= waits / 2 - 1);
}

// At the front of the queue stands a cold socket between two hot ones, and the buffer is small.
TEST_CASE("turns: a socket that has to be polled alone does not keep those behind it from being polled together") {
  ArmedGroup f(7);
  REQUIRE(f.members[1].modify(Interest::readable | Interest::writable));  // cancels the group's poll, and is cold then
  for (int i = 0; i < 7; i++) f.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  const std::uint64_t groups = f.poller->stats().group_arms;
  CHECK(f.readable(4) == Sockets{hot(0), hot(1), hot(2), hot(3)});
  CHECK(f.poller->stats().group_arms == groups + 1);
}

// A group's packet has several events. With those of the other packets of the same dequeue they must fit.
TEST_CASE("turns: a group's packet among others does not write beyond the buffer") {
  SimFixture f({.completion = {1ms, 1ms}});
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 5; i++) {
    pairs.push_back(f.kernel.net().tcp_pair());
    registrations.push_back(f.add(pairs.back().first));
  }
  for (int round = 0; round < 6; round++) {  // the first four are hot
    for (int i = 0; i < 4; i++) REQUIRE(f.kernel.net().send(pairs[static_cast<std::size_t>(i)].second, 1));
    for (std::size_t events = 0; events < 4;) events += f.wait(1s).size();
    for (int i = 0; i < 4; i++) REQUIRE(f.kernel.net().recv(pairs[static_cast<std::size_t>(i)].first, 9));
  }
  CHECK(f.wait(0ms).size() == 0);
  REQUIRE(f.poller->stats().group_arms > 0);
  REQUIRE(f.kernel.pending_polls() == 2);
  for (const auto& [a, b] : pairs) REQUIRE(f.kernel.net().send(b, 1));
  f.kernel.settle();
  const Event untouched(Token{77}, Readiness::priority);
  f.buffer.fill(untouched);
  std::size_t events = 0;
  for (int waits = 0; waits < 3; waits++) {
    events += f.wait(0ms, 2).size();
    CHECK(f.buffer[2].token() == untouched.token());
  }
  CHECK(events >= 5);
}

// A wait whose time-out is over still dequeues what stands behind packets without events.
TEST_CASE("turns: packets without events do not keep a wait with a small buffer from finding an event") {
  SimFixture f;
  std::vector<Registration> gone;
  for (int i = 0; i < 3; i++) gone.push_back(f.add(f.kernel.net().tcp_pair().first));
  const auto [a, b] = f.kernel.net().tcp_pair();
  const auto registration = f.add(a);
  CHECK(f.wait(0ms).size() == 0);
  gone.clear();  // their polls complete as cancelled
  REQUIRE(f.kernel.net().send(b, 1));
  CHECK(f.wait(0ms, 1).size() == 1);
  CHECK(f.buffer[0].token() == Token{a});
}

TEST_CASE("turns: a socket that was removed and added again is reported after its group's poll has completed") {
  SimFixture f;
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 3; i++) {
    pairs.push_back(f.kernel.net().tcp_pair());
    registrations.push_back(f.add(pairs.back().first));
  }
  for (int round = 0; round < 6; round++) {
    for (const auto& [a, b] : pairs) REQUIRE(f.kernel.net().send(b, 1));
    for (std::size_t events = 0; events < 3;) events += f.wait(1s).size();
    for (const auto& [a, b] : pairs) REQUIRE(f.kernel.net().recv(a, 9));
  }
  CHECK(f.wait(0ms).size() == 0);
  REQUIRE(f.kernel.pending_polls() == 1);
  const SocketNumber again = pairs[0].first;
  REQUIRE(registrations[0].remove());
  REQUIRE(f.kernel.net().send(pairs[1].second, 1));  // the group's packet is on its way
  const auto added = f.add(again);
  REQUIRE(f.kernel.net().send(pairs[0].second, 1));
  CHECK(f.wait(0ms).size() + f.wait(0ms).size() >= 2);
}

// Sockets that did not fit into the buffer keep their turn.
TEST_CASE("turns: members of a group whose poll was refused are reported before those behind them") {
  for (const bool closes_suspect : {false, true}) {
    CAPTURE(closes_suspect);
    SimFixture f;
    std::vector<Registration> registrations;
    std::vector<SocketNumber> sockets;
    for (int i = 0; i < 40; i++) {
      const auto [a, b] = f.kernel.net().tcp_pair();
      registrations.push_back(f.add(a));
      REQUIRE(f.kernel.net().send(b, 1));
      sockets.push_back(a);
    }
    for (int round = 0; round < 4; round++) CHECK(f.wait(0ms).size() == 40);
    REQUIRE(f.poller->stats().group_arms > 0);
    if (!closes_suspect) CHECK(f.wait(0ms, 20).size() == 20);  // the others are not known as reported any more
    REQUIRE(f.kernel.net().close(sockets[25]));
    std::set<Token> reported;
    for (int waits = 0; waits < 13; waits++) {
      for (std::size_t i = f.wait(0ms, 3).size(); i > 0; i--) reported.insert(f.buffer[i - 1].token());
    }
    CHECK(reported.size() == 39);
  }
}
