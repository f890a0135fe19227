// SPDX-License-Identifier: MIT
//
// Two threads over a SimKernel, step by step: which of them submits a poll while the other sleeps, and when.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

struct Pair {
  SocketNumber socket, peer;
};

struct Sleeper : SimFixture {
  std::array<Event, 8> others_buffer;

  using SimFixture::SimFixture;

  Pair pair() {
    const auto [socket, peer] = kernel.net().tcp_pair();
    return {socket, peer};
  }
  void send(const Pair& to) { REQUIRE(kernel.net().send(to.peer, 1) == 1u); }

  // Thread 1 waits; each time that it falls asleep thread 2 plays the next of `steps`.
  std::vector<Event> wait_while(std::chrono::nanoseconds timeout, const std::vector<std::function<void()>>& steps) {
    std::size_t played = 0;
    kernel.set_when_asleep([&] {
      if (played == steps.size()) return false;
      kernel.play_thread(2);
      steps[played++]();
      kernel.play_thread(1);
      return true;
    });
    auto events = wait(timeout);
    kernel.set_when_asleep(nullptr);
    CHECK(played == steps.size());
    return events;
  }
  // In thread 2, without sleeping.
  std::size_t other_waits(std::size_t size = 8) {
    const auto waited = poller->wait(std::span(others_buffer).first(size), 0ns);
    REQUIRE(waited.has_value());
    return waited->size();
  }
  // Packets posted: wakes and nudges.
  std::uint64_t posts() { return poller->stats().post_calls; }
};

}  // namespace

TEST_CASE("threads: add by a thread without events polls at once and wakes no thread") {
  Sleeper f;
  const Pair a = f.pair();
  std::vector<Registration> added;
  CHECK(f.wait_while(1ms, {[&] {
                       added.push_back(f.add(a.socket, Interest::readable));
                       CHECK(f.kernel.pending_on(a.socket) == 1);
                       CHECK(f.posts() == 0);
                     }})
            .empty());
}

TEST_CASE("threads: a socket that is ready when it is added is delivered by the sleeping thread at once") {
  Sleeper f;
  const Pair a = f.pair();
  f.send(a);
  std::vector<Registration> added;
  const auto begin = f.kernel.now();
  CHECK(f.wait_while(1s, {[&] { added.push_back(f.add(a.socket, Interest::readable)); }}).size() == 1);
  CHECK(f.kernel.now() == begin);
  CHECK(f.posts() == 1);
}

TEST_CASE("threads: a socket that is not AFD's is reported by the sleeping thread at once") {
  Sleeper f;
  std::vector<Registration> added;
  const auto begin = f.kernel.now();
  const auto events = f.wait_while(1s, {[&] { added.push_back(f.add(f.kernel.net().not_afd(), Interest::readable)); }});
  REQUIRE(events.size() == 1);
  CHECK(events[0].error() == std::errc::not_supported);
  CHECK(f.kernel.now() == begin);
}

TEST_CASE("threads: an event is not delivered to another thread before the grace period is over") {
  Sleeper f;
  const Pair a = f.pair();
  const auto registration = f.add(a.socket, Interest::readable);
  const auto begin = f.kernel.now();
  const auto events = f.wait_while(1s, {[&] {
                                          f.send(a);
                                          CHECK(f.other_waits() == 1);
                                          CHECK(f.kernel.pending_on(a.socket) == 0);
                                          CHECK(f.posts() == 1);  // so that thread 1 watches the grace period
                                        },
                                        [&] { CHECK(f.kernel.pending_on(a.socket) == 0); }});
  CHECK(events.size() == 1);
  CHECK(f.kernel.now() - begin == afd::WaitingThreads::grace);
}

TEST_CASE("threads: the grace period begins with the first event, and one thread watches it") {
  Sleeper f;
  const Pair a = f.pair(), b = f.pair();
  const auto first = f.add(a.socket, Interest::readable);
  auto second = f.add(b.socket, Interest::readable);
  const auto begin = f.kernel.now();
  const auto events = f.wait_while(1s, {[&] {
                                          f.send(a);
                                          CHECK(f.other_waits() == 1);
                                        },
                                        [] {},  // the nudge has come
                                        [&] {
                                          f.kernel.run_for(60ms);
                                          REQUIRE(second.modify(Interest::readable | Interest::priority));
                                          CHECK(f.posts() == 1);
                                        }});
  CHECK(events.size() == 1);
  CHECK(f.kernel.now() - begin == afd::WaitingThreads::grace);
}

TEST_CASE("threads: the next wait arms what was delivered and ends the grace period") {
  Sleeper f;
  const Pair a = f.pair();
  const auto registration = f.add(a.socket, Interest::readable);
  const auto begin = f.kernel.now();
  std::uint64_t waits = 0;
  CHECK(f.wait_while(1s, {[&] {
                       f.send(a);
                       CHECK(f.other_waits() == 1);
                       REQUIRE(f.kernel.net().recv(a.socket, 1) == 1u);
                       CHECK(f.other_waits() == 0);
                       CHECK(f.kernel.pending_on(a.socket) == 1);
                       waits = f.poller->stats().wait_calls;
                     }})
            .empty());
  CHECK(f.kernel.now() - begin == 1s);
  CHECK(f.poller->stats().wait_calls == waits);  // thread 1 slept on, undisturbed
}

TEST_CASE("threads: an event that is delivered after the next wait has a grace period of its own") {
  Sleeper f;
  const Pair a = f.pair();
  const auto registration = f.add(a.socket, Interest::readable);
  const auto begin = f.kernel.now();
  const auto events = f.wait_while(1s, {[&] {
                                     f.send(a);
                                     CHECK(f.other_waits() == 1);
                                     REQUIRE(f.kernel.net().recv(a.socket, 1) == 1u);
                                     CHECK(f.other_waits() == 0);
                                     f.kernel.run_for(60ms);
                                     f.send(a);
                                     CHECK(f.other_waits() == 1);
                                   }});
  CHECK(events.size() == 1);
  CHECK(f.kernel.now() - begin == 60ms + afd::WaitingThreads::grace);
}

TEST_CASE("threads: what a thread re-arms is polled when it has re-armed all of its events") {
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {
    CAPTURE(mode == Mode::edge);
    Sleeper f;
    const Pair a = f.pair(), b = f.pair(), c = f.pair(), d = f.pair();
    auto first = f.add(a.socket, Interest::readable, mode);
    auto second = f.add(b.socket, Interest::readable, mode);
    std::vector<Registration> added;
    const auto rearm = [&](Registration& registration, const Pair& of) {
      REQUIRE(f.kernel.net().recv(of.socket, 1) == 1u);
      const auto rearmed =
          mode == Mode::edge ? registration.drained(Interest::readable) : registration.modify(Interest::readable);
      REQUIRE(rearmed.has_value());
    };
    const auto steps = [&] {
      f.send(a);
      f.send(b);
      CHECK(f.other_waits() == 2);
      added.push_back(f.add(c.socket, Interest::readable));
      rearm(first, a);
      CHECK(f.kernel.pending_on(a.socket) == 0);
      CHECK(f.kernel.pending_on(c.socket) == 0);
      rearm(second, b);
      CHECK(f.kernel.pending_on(a.socket) == 1);
      CHECK(f.kernel.pending_on(b.socket) == 1);
      CHECK(f.kernel.pending_on(c.socket) == 1);
      added.push_back(f.add(d.socket, Interest::readable));  // like any other thread from now on
      CHECK(f.kernel.pending_on(d.socket) == 1);
    };
    CHECK(f.wait_while(1ms, {steps}).empty());
  }
}

TEST_CASE("threads: what a thread has re-armed in part is polled when the grace period is over") {
  Sleeper f;
  const Pair a = f.pair(), b = f.pair();
  auto first = f.add(a.socket, Interest::readable, Mode::oneshot);
  const auto second = f.add(b.socket, Interest::readable, Mode::oneshot);
  const auto begin = f.kernel.now();
  const auto events = f.wait_while(1s, {[&] {
                                     f.send(a);
                                     f.send(b);
                                     CHECK(f.other_waits() == 2);
                                     REQUIRE(first.modify(Interest::readable));
                                     CHECK(f.kernel.pending_on(a.socket) == 0);
                                   }});
  CHECK(events.size() == 1);
  CHECK(f.kernel.now() - begin == afd::WaitingThreads::grace);
}

TEST_CASE("threads: after a wait without events a thread's add polls at once") {
  Sleeper f;
  const Pair a = f.pair(), b = f.pair();
  std::vector<Registration> added;
  added.push_back(f.add(a.socket, Interest::readable));
  CHECK(f.wait_while(1ms, {[&] {
                       f.send(a);
                       CHECK(f.other_waits() == 1);
                       REQUIRE(f.kernel.net().recv(a.socket, 1) == 1u);
                       CHECK(f.other_waits() == 0);
                       added.push_back(f.add(b.socket, Interest::readable));
                       CHECK(f.kernel.pending_on(b.socket) == 1);
                     }})
            .empty());
}

TEST_CASE("threads: a wait that returns arms what it has marked and not delivered, for the sleeping threads") {
  Sleeper f;
  const Pair a = f.pair(), b = f.pair();
  const auto first = f.add(a.socket, Interest::readable);
  const auto second = f.add(b.socket, Interest::readable);
  CHECK(f.wait_while(1ms, {[&] {
                       f.send(a);
                       REQUIRE(f.kernel.end_poll(b.socket, nt::STATUS_CANCELLED));
                       CHECK(f.other_waits() == 1);
                       CHECK(f.kernel.pending_on(b.socket) == 1);
                       CHECK(f.kernel.pending_on(a.socket) == 0);
                     }})
            .empty());
}

TEST_CASE("threads: a nudge and a wake that could not be posted are not lost when the kernel recovers") {
  reactor::sim::SimKernel kernel({.has_reserves = false});
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  std::array<Event, 4> buffer;
  Result<Registration> registration = failure(std::errc::bad_file_descriptor);
  kernel.set_when_asleep([&] {
    if (registration) return false;
    kernel.play_thread(2);
    kernel.set_faults({.post_refused = 1000});
    registration = poller.add(static_cast<NativeSocket>(kernel.net().udp()), Token{1}, Interest::writable);
    poller.waker().wake();
    kernel.play_thread(1);
    return true;
  });
  auto waited = poller.wait(buffer, 1ms);
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 1);  // delivered without the nudge
  CHECK_FALSE(waited->woken());
  kernel.set_when_asleep(nullptr);
  kernel.set_faults({});
  waited = poller.wait(buffer);  // posts what is owed
  REQUIRE(waited.has_value());
  CHECK(waited->size() == 1);
  if (!waited->woken()) waited = poller.wait(buffer);
  CHECK(waited->woken());
  CHECK(poller.stats().wakes == 1);
}

// What is armed for a sleeping thread must reach it whatever fails, as there may be no other wait.
TEST_CASE("threads: a sleeping thread gets the event although the poll, or the post after it, was refused") {
  for (const std::uint64_t nth : {2U, 3U}) {  // after base_socket: the poll, the post
    CAPTURE(nth);
    SimFixture f;
    const auto first = f.add(f.kernel.net().tcp_pair().first);  // so that there is a helper handle
    const auto [a, b] = f.kernel.net().tcp_pair();
    std::optional<Registration> registration;
    f.kernel.set_when_asleep([&] {
      if (registration) return false;
      f.kernel.nth_fault().set(nth, STATUS_INSUFFICIENT_RESOURCES);
      registration = f.add(a, Interest::writable);
      return true;
    });
    const auto events = f.poller->wait(f.buffer);  // without a time-out: it would never return
    REQUIRE(events.has_value());
    CHECK(events->size() == 1);
    CHECK(f.buffer[0].token() == Token{a});
    CHECK(f.kernel.nth_fault().has_failed());
    f.kernel.set_when_asleep(nullptr);
  }
}
