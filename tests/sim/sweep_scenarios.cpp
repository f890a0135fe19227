// SPDX-License-Identifier: MIT
//
// What is played again and again while one call after the other fails. Each step bears that; at the end all that is
// ready has to be told.
#include <array>
#include <utility>
#include <vector>

#include "sweep_play.hpp"

namespace sweep {

using namespace std::chrono_literals;

namespace {

void send(Play& play, Socket socket) { static_cast<void>(play.world.send(socket, 1)); }

void read_all(Play& play, Socket socket) {
  while (play.world.recv(socket, 4096).value_or(0) == 4096) {
  }
}

void single(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a);
  play.wait(0ms);
  send(play, b);
  play.hear({a});
  read_all(play, a);
  play.wait(0ms);
  play.world.shutdown(b);
  play.hear({a});
  play.remove(a);
}

void ready_at_once(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a, Interest::writable, Mode::oneshot);
  play.hear({a});
  play.modify(a, Interest::writable);
  play.hear({a});
}

void edge(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a, Interest::readable, Mode::edge);
  for (int round = 0; round < 2; round++) {
    send(play, b);
    play.hear({a});
    read_all(play, a);
    play.drained(a);
  }
}

void wider_interest(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.modify(a, Interest::readable | Interest::writable);
  play.hear({a});
}

void removed_while_pending(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.remove(a);
  play.add(a);
  send(play, b);
  play.hear({a});
}

void closed_unseen(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a);
  play.wait(0ms);
  play.world.close(a);
  const auto [c, d] = play.world.tcp_pair();  // one of them may have its number
  play.add(c);
  send(play, d);
  play.hear({c});
}

void small_room(Play& play) {
  std::vector<Socket> sockets;
  for (int i = 0; i < 5; i++) {
    const auto [a, b] = play.world.tcp_pair();
    play.add(a);
    send(play, b);
    sockets.push_back(a);
  }
  play.hear(sockets, 1);
}

void group(Play& play) {
  std::vector<Socket> ours, theirs;
  for (int i = 0; i < 4; i++) {
    const auto [a, b] = play.world.tcp_pair();
    play.add(a);
    ours.push_back(a);
    theirs.push_back(b);
  }
  for (int round = 0; round < 6; round++) {
    for (const Socket b : theirs) send(play, b);
    play.hear(ours);
    for (const Socket a : ours) read_all(play, a);
    play.wait(0ms);  // the group is out
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
    const auto [a, b] = play.world.tcp_pair();
    play.add(a);
    ours.push_back(a);
    theirs.push_back(b);
  }
  for (int round = 0; round < 5; round++) {
    if (round == 4) {  // unseen: the next request that lists it is refused
      play.world.close(ours.back());
      ours.pop_back();
      theirs.pop_back();
    }
    for (const Socket b : theirs) send(play, b);
    play.hear(ours);
    if (round < 3) {
      for (const Socket a : ours) read_all(play, a);
    }
  }
}

void wake(Play& play) {
  play.wake();
  play.wake();
  play.hear_wake();
  play.wake();
  play.hear_wake();
}

void added_while_asleep(Play& play) {
  const auto [a, b] = play.world.tcp_pair();
  play.add(a);
  const auto [c, d] = play.world.tcp_pair();
  play.world.meanwhile([&play, writable = c] { play.add(writable, Interest::writable); });
  play.wait(1s);
  play.world.join();
  play.hear({c});
}

void closed_with_polls_pending(Play& play) {
  for (int i = 0; i < 3; i++) play.add(play.world.tcp_pair().first);
  play.wait(0ms);
}

void refused_connect(Play& play) {
  const Socket client = play.world.tcp();
  play.add(client, Interest::writable);
  play.world.connect_to_nobody(client);
  play.hear({client});
}

constexpr std::array all{
    Scenario{"single", single},
    Scenario{"ready at once", ready_at_once},
    Scenario{"edge", edge},
    Scenario{"wider interest", wider_interest},
    Scenario{"removed while pending", removed_while_pending},
    Scenario{"closed unseen", closed_unseen},
    Scenario{"small room", small_room},
    Scenario{"group", group},
    Scenario{"group, a member closed unseen", group_member_closed},
    Scenario{"wake", wake},
    // Not before a real kernel: with two threads the n-th call is another one each time, and under Wine it takes 13 s.
    Scenario{"added while asleep", added_while_asleep, false},
    Scenario{"closed with polls pending", closed_with_polls_pending},
    Scenario{"refused connect", refused_connect},
};

}  // namespace

std::span<const Scenario> scenarios() { return all; }

}  // namespace sweep
