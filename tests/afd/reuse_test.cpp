// SPDX-License-Identifier: MIT
//
// A number is not an identity: a socket is closed without remove, and a new one with its number is added, while it
// cannot be determined whether the number still means the same socket.
#include <doctest/doctest.h>

#include <chrono>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

// Closes the socket, and adds a new one with its number: that one is reported, under its own token.
void check_reuse(SimFixture& f, SocketNumber number) {
  auto& net = f.kernel.net();
  REQUIRE(net.close(number));
  const auto [fresh, peer] = net.tcp_pair();
  REQUIRE(fresh == number);
  const auto added = f.poller->add(static_cast<NativeSocket>(fresh), Token{1}, Interest::readable);
  REQUIRE(added.has_value());
  CHECK(f.wait(1s).empty());
  REQUIRE(net.send(peer, 1) == 1u);
  const auto events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{1});
}

}  // namespace

TEST_CASE("a number is not an identity: reuse while its poll is being cancelled for a wider interest") {
  SimFixture f;
  const SocketNumber a = f.kernel.net().tcp_pair().first;
  auto old = f.add(a, Interest::readable);
  CHECK(f.wait(0ns).empty());
  f.kernel.set_delays({}, {}, {5ms, 5ms});
  REQUIRE(old.modify(Interest::readable | Interest::priority));
  CHECK(f.wait(0ns).empty());  // cancelled; its packet is on its way
  CHECK(f.kernel.counts()[std::to_underlying(reactor::sim::Call::cancel)] == 1);
  check_reuse(f, a);
}

TEST_CASE("a number is not an identity: reuse while the poll of its group is being cancelled for another member") {
  SimFixture f;
  auto& net = f.kernel.net();
  const auto [a, a_peer] = net.tcp_pair();
  const auto [b, b_peer] = net.tcp_pair();
  auto first = f.add(a, Interest::readable);
  auto second = f.add(b, Interest::readable);
  for (int i = 0; i < 10; i++) {  // until they are polled together
    REQUIRE(net.send(a_peer, 1) == 1u);
    REQUIRE(net.send(b_peer, 1) == 1u);
    CHECK(f.wait(1s).size() == 2);
    REQUIRE(net.recv(a, 1) == 1u);
    REQUIRE(net.recv(b, 1) == 1u);
  }
  CHECK(f.wait(0ns).empty());
  REQUIRE(f.kernel.pending_polls() == 1);
  REQUIRE(f.kernel.pending_on(a) == 1);
  REQUIRE(f.kernel.pending_on(b) == 1);
  f.kernel.set_delays({}, {}, {5ms, 5ms});
  REQUIRE(second.modify(Interest::readable | Interest::priority));
  CHECK(f.wait(0ns).empty());
  REQUIRE(f.kernel.pending_polls() == 0);
  check_reuse(f, a);
}

TEST_CASE("a number is not an identity: reuse while it is unarmed after an unasked cancel") {
  SimFixture f;
  auto& net = f.kernel.net();
  const auto [a, a_peer] = net.tcp_pair();
  const auto [b, b_peer] = net.tcp_pair();
  auto first = f.add(a, Interest::readable);
  auto second = f.add(b, Interest::readable, Mode::oneshot);
  CHECK(f.wait(0ns).empty());
  REQUIRE(net.send(b_peer, 1) == 1u);
  REQUIRE(f.kernel.end_poll(a, nt::STATUS_CANCELLED));
  CHECK(f.wait(0ns).size() == 1);  // both packets were taken: a is to be armed by the next wait
  REQUIRE(f.kernel.pending_polls() == 0);
  check_reuse(f, a);
}

TEST_CASE("a number is not an identity: a socket that was added several times is reported under its last token only") {
  SimFixture f;
  const auto [a, peer] = f.kernel.net().tcp_pair();
  std::uint64_t token = 100;
  std::vector<Registration> registrations;
  const auto add_again = [&, number = a] {
    auto added = f.poller->add(static_cast<NativeSocket>(number), Token{++token}, Interest::readable);
    REQUIRE(added.has_value());
    registrations.push_back(std::move(*added));
  };
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 3; i++) add_again();
    if (round % 2 == 0) CHECK(f.wait(0ns).empty());
  }
  REQUIRE(f.kernel.net().send(peer, 1) == 1u);
  const auto events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{token});
  CHECK(f.poller->stats().registrations == 1);
}

TEST_CASE("a number is not an identity: a new socket is polled although the old one is open in another handle") {
  for (const bool is_armed : {false, true}) {
    CAPTURE(is_armed);
    SimFixture f;
    auto& net = f.kernel.net();
    const auto [a, peer] = net.tcp_pair();
    auto old = f.add(a, Interest::readable);
    if (is_armed) CHECK(f.wait(0ns).empty());
    const SocketNumber duplicate = net.duplicate(a);
    REQUIRE(net.close(a));  // no LOCAL_CLOSE: the old poll stays pending
    REQUIRE(net.udp() == a);
    auto fresh = f.poller->add(static_cast<NativeSocket>(a), Token{7}, Interest::readable);
    REQUIRE(fresh.has_value());
    REQUIRE(net.send(peer, 1) == 1u);  // to the old socket, which is not registered any more
    CHECK(f.wait(1ms).empty());
    REQUIRE(net.send_to(a, net.port_of(a), 1));
    const auto events = f.wait(1s);
    REQUIRE(events.size() == 1);
    CHECK(events[0].token() == Token{7});
    REQUIRE(net.close(duplicate));
  }
}

TEST_CASE("a number is not an identity: it is retired if it has another base socket when its first poll is refused") {
  Fixture f;
  const HANDLE old_base = FakeKernel::handle(0x5000);
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = old_base;
  f.kernel.not_of_afd.insert(old_base);
  auto registration = f.add(a);
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = FakeKernel::handle(0x5004);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().registrations == 0);
}

TEST_CASE("a number is not an identity: a registration is retired when a later poll is refused as no socket") {
  for (const NTSTATUS status : {STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH}) {
    CAPTURE(status);
    Fixture f;
    auto registration = f.add(a, Interest::readable, Mode::oneshot);
    f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
    CHECK(f.readable() == Sockets{a});
    REQUIRE(registration.modify(Interest::readable));
    f.kernel.poll_refusals = {status};
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().registrations == 0);
  }
}

// The number of a closed socket may be used again by the base socket of a layered one.
TEST_CASE(
    "one poll per socket: a layered socket waits for the poll that a retired registration has on its base socket") {
  for (const bool is_removed : {false, true}) {
    CAPTURE(is_removed);
    ArmedGroup f(4);
    if (is_removed) {
      REQUIRE(f.members[2].remove());  // its group's poll stays pending
    } else {
      f.kernel.complete(base(hot(2)), AFD_POLL_RECEIVE);
      CHECK(f.readable() == Sockets{hot(2)});  // reported, and closed by its handler
    }
    f.kernel.bases[static_cast<std::uintptr_t>(a)] = base(hot(2));
    auto layered = f.add(a);
    CHECK(f.wait().empty());  // two polls of one socket would be a violation
    REQUIRE(f.kernel.pending_on(base(hot(2))) != nullptr);
    f.kernel.complete(base(hot(2)), AFD_POLL_RECEIVE);
    f.kernel.ready[base(hot(2))] = 0;
    CHECK(f.readable() == Sockets{a});
  }
}
