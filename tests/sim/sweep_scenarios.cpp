// SPDX-License-Identifier: MIT
//
// The scenarios, which run repeatedly while one call after the other fails. Each step has to survive that, and at the
// end all ready sockets have to be reported.
#include <array>
#include <utility>
#include <vector>

#include "sweep_play.hpp"

namespace sweep {

using namespace std::chrono_literals;

namespace {

void send(Play& play, Socket socket) { static_cast<void>(play.system.send(socket, 1)); }

void read_all(Play& play, Socket socket) {
  while (play.system.recv(socket, 4096).value_or(0) == 4096) {
  }
}

void single(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  play.wait(0ms);
  send(play, b);
  play.expect({a});
  read_all(play, a);
  play.wait(0ms);
  play.system.shutdown(b, reactor::Shutdown::write);
  play.expect({a});
  play.remove(a);
}

void ready_at_once(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a, Interest::writable, Mode::oneshot);
  play.expect({a});
  play.modify(a, Interest::writable);
  play.expect({a});
}

void edge(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a, Interest::readable, Mode::edge);
  for (int round = 0; round < 2; round++) {
    send(play, b);
    play.expect({a});
    read_all(play, a);
    play.drained(a);
  }
}

void wider_interest(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.modify(a, Interest::readable | Interest::writable);
  play.expect({a});
}

void removed_while_pending(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.remove(a);
  play.add(a);
  send(play, b);
  play.expect({a});
}

void object(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  const auto event = play.system.object(conformance::System::Object::auto_reset);
  play.add(a);
  play.add_object(event);
  play.wait(0ms);
  for (int i = 0; i < 2; i++) {
    play.system.set(event);
    play.expect_object(event);
    play.rearm(event);
  }
  send(play, b);
  play.system.set(event);
  play.expect({a});
  play.remove_object(event);  // its packet may be queued
  play.add_object(event);
  play.system.set(event);
  play.expect_object(event);
  play.remove_object(event);
  play.system.close_object(event);
}

// Waits that end by timers, and one whose timer is left.
void time_outs(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  for (int i = 0; i < 2; i++) play.wait(3ms);
  play.system.meanwhile([&play, peer = b] { send(play, peer); });
  play.wait(5ms);
  play.system.join();
  play.expect({a});
  read_all(play, a);
  play.wait(100ms);
}

void closed_unseen(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.system.close(a);
  const auto [c, d] = play.system.tcp_pair();  // one of them may have its number
  play.add(c);
  send(play, d);
  play.expect({c});
}

void small_buffer(Play& play) {
  std::vector<Socket> sockets;
  for (int i = 0; i < 5; i++) {
    const auto [a, b] = play.system.tcp_pair();
    play.add(a);
    send(play, b);
    sockets.push_back(a);
  }
  play.expect(sockets, 1);
}

void group(Play& play) {
  std::vector<Socket> ours, theirs;
  for (int i = 0; i < 4; i++) {
    const auto [a, b] = play.system.tcp_pair();
    play.add(a);
    ours.push_back(a);
    theirs.push_back(b);
  }
  for (int round = 0; round < 6; round++) {
    for (const Socket b : theirs) send(play, b);
    play.expect(ours);
    for (const Socket a : ours) read_all(play, a);
    play.wait(0ms);  // the group's poll is pending
    if (round == 3) play.modify(ours[1], Interest::readable | Interest::priority);
    if (round == 4) {
      play.remove(ours[2]);
      play.add(ours[2]);
    }
  }
}

void group_member_closed(Play& play) {
  std::vector<Socket> ours, theirs;
  for (int i = 0; i < 4; i++) {
    const auto [a, b] = play.system.tcp_pair();
    play.add(a);
    ours.push_back(a);
    theirs.push_back(b);
  }
  for (int round = 0; round < 5; round++) {
    if (round == 4) {  // without remove: the next request that lists it is refused
      play.system.close(ours.back());
      ours.pop_back();
      theirs.pop_back();
    }
    for (const Socket b : theirs) send(play, b);
    play.expect(ours);
    if (round < 3) {
      for (const Socket a : ours) read_all(play, a);
    }
  }
}

// Its number means another socket while the old one is still open and polled.
void reused_while_open(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  play.wait(0ms);
  const Socket other_handle = play.system.duplicate(a);
  play.system.close(a);
  const auto [c, d] = play.system.tcp_pair();
  play.add(c);
  send(play, b);
  send(play, d);
  play.expect({c});
  play.system.close(other_handle);
  play.expect({c});
}

// The buffer of one thread is full while another one sleeps, which has to report the rest.
void left_for_a_sleeper(Play& play) {
  std::vector<Socket> ours, theirs;
  for (int i = 0; i < 4; i++) {
    const auto [a, b] = play.system.tcp_pair();
    play.add(a);
    ours.push_back(a);
    theirs.push_back(b);
  }
  play.system.meanwhile([&play, theirs] {
    for (const Socket b : theirs) send(play, b);
    play.wait(0ms, 1);
    play.wake();
  });
  play.wait(1s);
  play.system.join();
  play.expect(ours);
}

void wake(Play& play) {
  play.wake();
  play.wake();
  play.expect_wake();
  play.wake();
  play.expect_wake();
}

void added_while_asleep(Play& play) {
  const auto [a, b] = play.system.tcp_pair();
  play.add(a);
  const auto [c, d] = play.system.tcp_pair();
  play.system.meanwhile([&play, writable = c] { play.add(writable, Interest::writable); });
  play.wait(1s);
  play.system.join();
  play.expect({c});
}

void closed_with_polls_pending(Play& play) {
  for (int i = 0; i < 3; i++) play.add(play.system.tcp_pair().first);
  play.wait(0ms);
}

void refused_connect(Play& play) {
  const Socket client = play.system.tcp();
  play.add(client, Interest::writable);
  play.system.connect_to_closed_port(client);
  play.expect({client});
}

constexpr std::array all{
    Scenario{"single", single},
    Scenario{"ready at once", ready_at_once},
    Scenario{"edge", edge},
    Scenario{"wider interest", wider_interest},
    Scenario{"removed while pending", removed_while_pending},
    Scenario{"object", object},
    Scenario{"time-outs", time_outs, false},  // a real kernel of Wine's has no wait packets
    Scenario{"closed unseen", closed_unseen},
    Scenario{"small buffer", small_buffer},
    Scenario{"group", group},
    Scenario{"group, a member closed without remove", group_member_closed},
    Scenario{"wake", wake},
    // Not before a real kernel: with two threads the n-th call is another one each time, and under Wine it takes 13 s.
    Scenario{"added while asleep", added_while_asleep, false},
    Scenario{"left for a sleeper", left_for_a_sleeper, false},
    Scenario{"closed with polls pending", closed_with_polls_pending},
    Scenario{"refused connect", refused_connect},
    Scenario{"reused while open", reused_while_open},
};

}  // namespace

std::span<const Scenario> scenarios() { return std::span(all).first(all.size() - (rules_are_met ? 0 : 1)); }

}  // namespace sweep
