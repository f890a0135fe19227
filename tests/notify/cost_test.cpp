// SPDX-License-Identifier: MIT
//
// What a wait costs in kernel calls where there are socket notifications: one, whatever the number of events.
#include <vector>

#include "notify/fixture.hpp"

using namespace fixture;

namespace {

struct Busy {
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;

  Busy(Fixture& f, std::size_t count, Mode mode) {
    for (std::size_t i = 0; i < count; i++) {
      pairs.push_back(f.net.tcp_pair());
      registrations.push_back(f.add(pairs.back().first, Token{i}, Interest::readable, mode));
    }
  }
  void serve(Fixture& f, const std::vector<Event>& events, Mode mode) {
    for (const Event& event : events) {
      const auto at = static_cast<std::size_t>(event.token());
      f.read(pairs[at].first);
      if (mode == Mode::oneshot) REQUIRE(registrations[at].modify(Interest::readable));
      if (mode == Mode::edge) REQUIRE(registrations[at].drained(Interest::readable));
    }
  }
};

}  // namespace

TEST_CASE("cost: one call for each wait, whatever the number of events") {
  for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
    for (const std::size_t count : {1U, 2U, 7U, 64U, 200U}) {
      CAPTURE(count);
      Fixture f;
      Busy busy(f, count, mode);
      CHECK(f.wait().empty());
      const auto round = [&] {
        for (const auto& [socket, peer] : busy.pairs) f.send(peer);
        std::size_t events = 0, waits = 0;
        while (events < count) {
          const auto now = f.wait(1s);
          REQUIRE_FALSE(now.empty());
          events += now.size();
          waits++;
          busy.serve(f, now, mode);
        }
        return std::pair(events, waits);
      };
      for (int i = 0; i < 8; i++) round();  // until it asks for as many packets as come
      const auto before = f.calls();
      std::uint64_t events = 0, waits = 0;
      for (int i = 0; i < 100; i++) {
        const auto [more, these] = round();
        events += more;
        waits += these;
      }
      const auto calls = static_cast<double>(f.calls() - before);
      MESSAGE(count, " sockets: ", calls / static_cast<double>(events), " calls for each event");
      CHECK(calls <= 1.02 * static_cast<double>(waits));
      CHECK(calls <= 1.02 * static_cast<double>(events) / static_cast<double>(count));
      CHECK(f.polls() == 1);  // of the probe, when the first socket was added
    }
  }
}

TEST_CASE("cost: a wait that sleeps for one event is one call too") {
  Fixture f({.flight = {1ms, 1ms}});
  const auto [socket, peer] = f.net.tcp_pair();
  const Registration registration = f.add(socket);
  CHECK(f.wait().empty());
  for (int i = 0; i < 100; i++) {
    f.send(peer);
    const auto before = f.calls();
    CHECK(f.one(socket, 1s) == Readiness::readable);
    CHECK(f.calls() - before == 1);
    f.read(socket);
  }
}

TEST_CASE("cost: an idle wait of an hour makes a few calls and no more") {
  Fixture f;
  const auto [socket, peer] = f.net.tcp_pair();
  const Registration registration = f.add(socket);
  f.send(peer);
  CHECK(f.one(socket) == Readiness::readable);
  f.read(socket);
  const auto before = f.calls();
  CHECK(f.wait(1h).empty());
  CHECK(f.calls() - before <= 3);
}

TEST_CASE("cost: a remove is one call, and its notification is dequeued with others") {
  Fixture f;
  const auto [socket, peer] = f.net.tcp_pair();
  Registration registration = f.add(socket);
  CHECK(f.wait().empty());
  const auto before = f.calls();
  REQUIRE(registration.remove());
  CHECK(f.calls() - before == 1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().arena_slots == 0);
}
