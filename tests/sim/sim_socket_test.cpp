// SPDX-License-Identifier: MIT
//
// Sockets that stay open without a number, have two, or are not AFD's; and facts of Windows that the conformance suite
// cannot ask of Wine.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <set>
#include <utility>

#include "sim/sim_fixture.hpp"

using namespace reactor::nt;
using namespace std::chrono_literals;
using reactor::sim::Fixture;
using reactor::sim::Flavour;
using reactor::sim::Poll;
using reactor::sim::Polls;

TEST_CASE("sim: under Wine a helper that is closed ends its polls") {
  Poll poll;
  Fixture f({.flavour = Flavour::wine});
  const HANDLE second = *f.kernel.open_helper(f.port, 1);
  poll.entries[0] = {reinterpret_cast<HANDLE>(f.net.udp()), AFD_POLL_RECEIVE, 0};
  CHECK(f.kernel.poll(second, poll.iosb, poll.info, poll.size_bytes(), &poll) == STATUS_PENDING);
  f.kernel.close(second);
  CHECK(f.saw("helper "));
  REQUIRE(f.take().has_value());
  CHECK(poll.iosb.Status == static_cast<NTSTATUS>(0x8000000A));  // STATUS_HANDLES_CLOSED
}

TEST_CASE("sim: an inherited socket stays open until the child ends, whatever its number means meanwhile") {
  Poll poll;
  Fixture f;
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.net.inherit(a));
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.net.close(a));
  REQUIRE(f.net.udp() == a);
  CHECK_FALSE(f.take().has_value());
  SUBCASE("its end is the socket's") {
    f.net.end_child();
    REQUIRE(f.take().has_value());
    CHECK(poll.entries[0].Events == AFD_POLL_LOCAL_CLOSE);
    CHECK(f.net.recv(b, 1) == 0u);
  }
  SUBCASE("until then its events are reported") {
    REQUIRE(f.net.send(b, 1) == 1u);
    REQUIRE(f.take().has_value());
    CHECK(poll.entries[0].Events == AFD_POLL_RECEIVE);
    f.net.end_child();
  }
  CHECK(f.net.inherited() == 0);
}

TEST_CASE("sim: a socket that is not AFD's is its own base and can never be polled") {
  for (const auto flavour : {Flavour::windows, Flavour::wine}) {
    Fixture f({.flavour = flavour});
    const auto a = f.net.not_afd();
    CHECK(f.kernel.base_socket(a) == reinterpret_cast<HANDLE>(a));
    Poll poll;
    const auto refusal = flavour == Flavour::windows ? STATUS_INVALID_HANDLE : STATUS_OBJECT_TYPE_MISMATCH;
    for (int i = 0; i < 2; i++) CHECK(f.submit(poll, a, AFD_POLL_RECEIVE) == refusal);
    CHECK(f.net.events(a) == 0);
  }
}

TEST_CASE("sim: faults complete a poll of a ready socket without an entry, or deny it") {
  Fixture f({.faults = {.empty_answer = 1000}});
  const auto a = f.net.udp();
  Poll poll;
  CHECK(f.submit(poll, a, AFD_POLL_SEND) == STATUS_SUCCESS);
  REQUIRE(f.take().has_value());
  CHECK(poll.info.NumberOfHandles == 0);
  f.kernel.set_faults({.poll_denied = 1000});
  CHECK(f.submit(poll, a, AFD_POLL_SEND) == reactor::sim::STATUS_ACCESS_DENIED);
}

TEST_CASE("sim: two numbers of one socket in one request have two entries at once, and one entry later") {
  std::set<reactor::sim::SocketNumber> answered;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    Polls<2> poll;
    Fixture f({.seed = seed});
    const auto [a, b] = f.net.tcp_pair();
    const auto again = f.net.duplicate(a);
    const auto ask = [&, first = a] {
      return f.submit<2>(poll, {std::pair(first, AFD_POLL_RECEIVE), std::pair(again, AFD_POLL_RECEIVE)});
    };
    REQUIRE(ask() == STATUS_PENDING);
    REQUIRE(f.net.send(b, 1) == 1u);
    REQUIRE(f.take().has_value());
    REQUIRE(poll.info.NumberOfHandles == 1);
    answered.insert(reinterpret_cast<reactor::sim::SocketNumber>(poll.entries[0].Handle) == a ? 0 : 1);
    poll.info = {poll_never_times_out, 2, 0};
    REQUIRE(ask() == STATUS_SUCCESS);
    REQUIRE(f.take().has_value());
    CHECK(poll.info.NumberOfHandles == 2);
  }
  CHECK(answered.size() == 2);
}

TEST_CASE("sim: two polls through two numbers of one socket each get their answer when they are not entangled") {
  Poll first, second;
  Fixture f({.entangles = false});
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.submit(first, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.submit(second, f.net.duplicate(a), AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.net.send(b, 1) == 1u);
  REQUIRE(f.take().has_value());
  REQUIRE(f.take().has_value());
}

TEST_CASE("sim: a reset under Windows: ABORT alone for a poll that is pending, SEND and CONNECT too for one after it") {
  Poll poll;
  Fixture f;
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE | AFD_POLL_ABORT) == STATUS_PENDING);
  REQUIRE(f.net.reset(b));
  REQUIRE(f.take().has_value());
  CHECK(poll.entries[0].Events == AFD_POLL_ABORT);
  poll.info = {poll_never_times_out, 1, 0};
  REQUIRE(f.submit(poll, a, 0x1FF) == STATUS_SUCCESS);
  REQUIRE(f.take().has_value());
  CHECK(poll.entries[0].Events == (AFD_POLL_ABORT | AFD_POLL_SEND | AFD_POLL_CONNECT));
}

TEST_CASE("sim: a failed connect stays so until a new one") {
  Fixture f;
  auto& net = f.net;
  const auto listener = net.listener(), a = net.tcp();
  REQUIRE(net.connect(a, 1));
  for (int i = 0; i < 2; i++) CHECK(net.events(a) == AFD_POLL_CONNECT_FAIL);
  f.kernel.set_delays({1ms, 1ms}, {}, {});
  REQUIRE(net.connect(a, net.port_of(listener)));
  CHECK(net.events(a) == 0);
  f.kernel.settle();
  CHECK(net.events(a) == (AFD_POLL_CONNECT | AFD_POLL_SEND));
}
