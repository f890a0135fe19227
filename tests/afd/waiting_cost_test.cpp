// SPDX-License-Identifier: MIT
//
// The kernel calls of 1 to 8 threads that wait on one Poller. One real thread plays them all: a wait that begins while
// another one sleeps is nested in it.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

// 64 sockets fire together, again and again. The thread that gets an event handles it at once.
struct Crowd : Fixture {
  static constexpr int sockets = 64, warm_up = 4, rounds = 32;

  Mode mode;
  bool comes_back_with_first;  // a group's poll, as on Windows; the others are ready when polled
  std::uint32_t threads;
  std::map<NativeSocket, Registration> registrations;
  std::map<NativeSocket, int> delivered;
  std::uint32_t thread = 1;  // the innermost wait
  int round = 0;
  bool is_over = false;
  Stats begin, end;

  Crowd(Mode how, bool first_alone, std::uint32_t count)
      : mode(how), comes_back_with_first(first_alone), threads(count) {
    for (int i = 0; i < sockets; i++) {
      const NativeSocket socket = a + 4 * i;
      registrations.emplace(socket, add(socket, Interest::readable, mode));
    }
    kernel.when_asleep = [this] { return asleep(); };
    while (!is_over) wait_as(1);
    kernel.when_asleep = nullptr;
  }

  // Begins the wait of the next thread. When all threads wait, the sockets fire; at the end each thread is woken.
  bool asleep() {
    if (is_over) {
      poller->waker().wake();
    } else if (thread < threads) {
      wait_as(++thread);
      kernel.thread = --thread;
    } else {
      if (round == warm_up) begin = poller->stats();
      if (round == warm_up + rounds) end = poller->stats();
      if (round++ < warm_up + rounds) {
        fire();
      } else {
        is_over = true;
        poller->waker().wake();
      }
    }
    return true;
  }

  void wait_as(std::uint32_t number) {
    std::array<Event, sockets> thread_buffer;
    kernel.thread = number;
    const auto events = poller->wait(thread_buffer);
    REQUIRE(events.has_value());
    for (const Event& event : *events) handle(static_cast<NativeSocket>(event.token()));
  }

  void handle(NativeSocket socket) {
    delivered[socket]++;
    CHECK(kernel.ready.erase(base(socket)) == 1);
    if (mode == Mode::oneshot) CHECK(registrations.at(socket).modify(Interest::readable).has_value());
    if (mode == Mode::edge) CHECK(registrations.at(socket).drained(Interest::readable).has_value());
  }

  void fire() {
    for (const auto& [socket, registration] : registrations) kernel.ready[base(socket)] = AFD_POLL_RECEIVE;
    for (const FakeKernel::Request& request : std::vector(kernel.pending)) {
      FakeKernel::Entries answer;
      for (const auto& entry : request.asked) {
        if (answer.size() == 0 || !comes_back_with_first) answer.push_back({entry.Handle, AFD_POLL_RECEIVE, 0});
      }
      kernel.complete(request.asked.begin()->Handle, answer);
    }
  }
};

void check_cost(Mode mode) {
  for (const std::uint32_t threads : {1U, 2U, 4U, 8U}) {
    for (const bool first_alone : {false, true}) {
      CAPTURE(threads);
      CAPTURE(first_alone);
      const Crowd crowd(mode, first_alone, threads);
      const std::uint64_t events = crowd.end.events - crowd.begin.events;
      const std::uint64_t calls = crowd.end.kernel_calls() - crowd.begin.kernel_calls();
      CHECK(events == Crowd::sockets * Crowd::rounds);
      CHECK(calls * 10 <= events);
      CHECK(crowd.delivered.size() == Crowd::sockets);
      for (const auto& [socket, times] : crowd.delivered) CHECK(times == Crowd::warm_up + Crowd::rounds);
    }
  }
}

}  // namespace

TEST_CASE("waiting threads: 64 level sockets that fire together cost at most 0.10 calls each, with 1 to 8 threads") {
  check_cost(Mode::level);
}

TEST_CASE("waiting threads: 64 oneshot sockets that fire together cost at most 0.10 calls each, with 1 to 8 threads") {
  check_cost(Mode::oneshot);
}

TEST_CASE("waiting threads: 64 edge sockets that fire together cost at most 0.10 calls each, with 1 to 8 threads") {
  check_cost(Mode::edge);
}
