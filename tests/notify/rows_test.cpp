// SPDX-License-Identifier: MIT
//
// The situations of docs/semantics.md: what is reported by notifications is what is reported by polls.
#include <functional>
#include <string_view>
#include <system_error>
#include <vector>

#include "notify/fixture.hpp"

using namespace fixture;

namespace {

/// Makes a situation; the socket that is to be registered.
struct Situation {
  std::string_view name;
  std::function<SocketNumber(Fixture& f)> make;
};

SocketNumber pair_with(Fixture& f, const std::function<void(SocketNumber socket, SocketNumber peer)>& what) {
  const auto [socket, peer] = f.net.tcp_pair();
  what(socket, peer);
  return socket;
}

void fill(Fixture& f, SocketNumber socket) {
  while (f.net.send(socket, 1 << 20)) {
  }
}

SocketNumber connecting(Fixture& f, std::uint16_t port) {
  const SocketNumber socket = f.net.tcp();
  REQUIRE(f.net.connect(socket, port));
  return socket;
}

const std::vector<Situation>& situations() {
  static const std::vector<Situation> all{
      {"connected", [](Fixture& f) { return pair_with(f, [](auto, auto) {}); }},
      {"data", [](Fixture& f) { return pair_with(f, [&](auto, auto peer) { f.send(peer); }); }},
      {"data, read",
       [](Fixture& f) { return pair_with(f, [&](auto socket, auto peer) { f.send(peer), f.read(socket); }); }},
      {"data and FIN",
       [](Fixture& f) {
         return pair_with(f, [&](auto, auto peer) { f.send(peer), static_cast<void>(f.net.shutdown(peer)); });
       }},
      {"FIN", [](Fixture& f) { return pair_with(f, [&](auto, auto peer) { REQUIRE(f.net.shutdown(peer)); }); }},
      {"our FIN", [](Fixture& f) { return pair_with(f, [&](auto socket, auto) { REQUIRE(f.net.shutdown(socket)); }); }},
      {"both FIN",
       [](Fixture& f) {
         return pair_with(f, [&](auto socket, auto peer) {
           REQUIRE(f.net.shutdown(socket));
           REQUIRE(f.net.shutdown(peer));
         });
       }},
      {"RST", [](Fixture& f) { return pair_with(f, [&](auto, auto peer) { REQUIRE(f.net.reset(peer)); }); }},
      {"data and RST",
       [](Fixture& f) {
         return pair_with(f, [&](auto, auto peer) { f.send(peer), static_cast<void>(f.net.reset(peer)); });
       }},
      {"refused connect", [](Fixture& f) { return connecting(f, 1); }},
      {"connect without an answer", [](Fixture& f) { return connecting(f, sim::SimNet::unanswered_port); }},
      {"successful connect", [](Fixture& f) { return connecting(f, f.net.port_of(f.net.listener())); }},
      {"never connected", [](Fixture& f) { return f.net.tcp(); }},
      {"listener", [](Fixture& f) { return f.net.listener(); }},
      {"listener, a connection",
       [](Fixture& f) {
         const SocketNumber listener = f.net.listener();
         connecting(f, f.net.port_of(listener));
         return listener;
       }},
      {"send buffer full", [](Fixture& f) { return pair_with(f, [&](auto socket, auto) { fill(f, socket); }); }},
      {"send buffer drained",
       [](Fixture& f) {
         return pair_with(f, [&](auto socket, auto peer) { fill(f, socket), f.read(peer), f.read(peer); });
       }},
      {"urgent data",
       [](Fixture& f) { return pair_with(f, [&](auto, auto peer) { REQUIRE(f.net.send_urgent(peer)); }); }},
      {"UDP", [](Fixture& f) { return f.net.udp(); }},
      {"UDP datagram",
       [](Fixture& f) {
         const SocketNumber socket = f.net.udp();
         REQUIRE(f.net.send_to(socket, f.net.port_of(socket), 0).has_value());
         return socket;
       }},
      {"a layered socket with data",
       [](Fixture& f) { return f.net.layered(pair_with(f, [&](auto, auto peer) { f.send(peer); })); }},
  };
  return all;
}

/// What two waits report, one after the other; the situation is made before or after the first of three.
std::vector<std::pair<Readiness, std::error_code>> report(Fixture& f, const Situation& situation, Interest interest,
                                                          Mode mode, bool is_added_first) {
  std::vector<std::pair<Readiness, std::error_code>> reported;
  const auto note = [&] {
    const auto events = f.wait();
    reported.emplace_back(Readiness::none, std::error_code());
    for (const Event& event : events) reported.back() = {event.readiness(), event.error()};
  };
  std::optional<Registration> registration;
  const SocketNumber socket = situation.make(f);
  if (is_added_first) f.kernel.set_delays({1ms, 1ms}, {}, {});
  registration = f.add(socket, interest, mode);
  f.kernel.settle();
  for (int i = 0; i < 2; i++) note();
  REQUIRE(registration->modify(interest));
  note();
  return reported;
}

}  // namespace

TEST_CASE("rows: notifications report what polls report") {
  constexpr auto r = Interest::readable, w = Interest::writable, p = Interest::priority;
  for_each_reading([&](const sim::Options& options) {
    for (const Situation& situation : situations()) {
      CAPTURE(situation.name);
      for (const Interest interest : {r, w, r | w, r | w | p, Interest::none}) {
        CAPTURE(static_cast<int>(interest));
        for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
          for (const bool is_added_first : {false, true}) {
            Fixture polls(options, false), notifications(options, true);
            CHECK(report(notifications, situation, interest, mode, is_added_first) ==
                  report(polls, situation, interest, mode, is_added_first));
          }
        }
      }
    }
  });
}
