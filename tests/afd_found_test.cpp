// SPDX-License-Identifier: MIT
//
// What the model check has found, each as small as it gets.
#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  sim::SimKernel kernel;
  sim::SimNet& net{kernel.net()};
  std::optional<Poller> poller;
  std::array<Event, 64> room;

  explicit Fixture(const sim::Options& options = {}) : kernel(options) {
    poller.emplace(poller_on(*afd::AfdBackend::create(kernel, {})));
  }
  ~Fixture() {
    poller.reset();
    CHECK(kernel.violations() == std::vector<std::string>{});
    CHECK(kernel.open_handles() == 0);
    CHECK(kernel.held_requests() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Registration add(SocketNumber socket, Interest interest = Interest::readable) {
    auto added = poller->add(static_cast<NativeSocket>(socket), Token{socket}, interest);
    REQUIRE(added.has_value());
    return std::move(*added);
  }
  std::size_t wait(std::chrono::nanoseconds timeout, std::size_t room_size = 64) {
    const auto told = poller->wait(std::span(room).first(room_size), timeout);
    REQUIRE(told.has_value());
    return told->size();
  }
};

}  // namespace

// A group's packet tells of several: with what the other packets of that look tell it must not run over.
TEST_CASE("a group's packet among others does not tell of more than there is room for") {
  Fixture f({.completion = {1ms, 1ms}});
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 5; i++) {
    pairs.push_back(f.net.tcp_pair());
    registrations.push_back(f.add(pairs.back().first));
  }
  for (int round = 0; round < 6; round++) {  // the first four are hot
    for (int i = 0; i < 4; i++) REQUIRE(f.net.send(pairs[static_cast<std::size_t>(i)].second, 1));
    for (std::size_t told = 0; told < 4;) told += f.wait(1s);
    for (int i = 0; i < 4; i++) REQUIRE(f.net.recv(pairs[static_cast<std::size_t>(i)].first, 9));
  }
  CHECK(f.wait(0ms) == 0);
  REQUIRE(f.poller->stats().group_arms > 0);
  REQUIRE(f.kernel.pending_polls() == 2);
  for (const auto& [a, b] : pairs) REQUIRE(f.net.send(b, 1));
  f.kernel.settle();
  const Event untouched(Token{77}, Readiness::priority);
  f.room.fill(untouched);
  std::size_t told = 0;
  for (int waits = 0; waits < 3; waits++) {
    told += f.wait(0ms, 2);
    CHECK(f.room[2].token() == untouched.token());
  }
  CHECK(told >= 5);
}

// A wait whose time is over looks on behind packets that told of nothing.
TEST_CASE("packets that tell of nothing do not hide what is ready from a wait with little room") {
  Fixture f;
  std::vector<Registration> gone;
  for (int i = 0; i < 3; i++) gone.push_back(f.add(f.net.tcp_pair().first));
  const auto [a, b] = f.net.tcp_pair();
  const auto registration = f.add(a);
  CHECK(f.wait(0ms) == 0);
  gone.clear();  // their polls come back as cancelled
  REQUIRE(f.net.send(b, 1));
  CHECK(f.wait(0ms, 1) == 1);
  CHECK(f.room[0].token() == Token{a});
}

TEST_CASE("a cancel that the kernel refuses is asked for again") {
  Fixture f;
  const auto [a, b] = f.net.tcp_pair();
  auto registration = f.add(a);
  CHECK(f.wait(0ms) == 0);
  f.kernel.nth_fault().set(1, STATUS_INSUFFICIENT_RESOURCES);
  REQUIRE(registration.modify(Interest::writable));
  CHECK(f.wait(0ms) == 1);
  CHECK(f.room[0].writable());
  CHECK(f.kernel.nth_fault().has_struck());
}

// What is armed for a thread that is asleep must reach it whatever fails: nobody else may come to wait.
TEST_CASE("a thread that is asleep is told though the poll, or the post of its answer, was refused") {
  for (const std::uint64_t nth : {2U, 3U}) {  // after base_socket: the poll, the post
    CAPTURE(nth);
    Fixture f;
    const auto first = f.add(f.net.tcp_pair().first);  // so that there is a helper handle
    const auto [a, b] = f.net.tcp_pair();
    std::optional<Registration> registration;
    f.kernel.set_when_asleep([&] {
      if (registration) return false;
      f.kernel.nth_fault().set(nth, STATUS_INSUFFICIENT_RESOURCES);
      registration = f.add(a, Interest::writable);
      return true;
    });
    const auto told = f.poller->wait(f.room);  // without a time-out: it would sleep for ever
    REQUIRE(told.has_value());
    CHECK(told->size() == 1);
    CHECK(f.room[0].token() == Token{a});
    CHECK(f.kernel.nth_fault().has_struck());
    f.kernel.set_when_asleep(nullptr);
  }
}

TEST_CASE(
    "a socket that was removed and added again, with its group's poll still out, is delivered once that is back") {
  Fixture f;
  std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
  std::vector<Registration> registrations;
  for (int i = 0; i < 3; i++) {
    pairs.push_back(f.net.tcp_pair());
    registrations.push_back(f.add(pairs.back().first));
  }
  for (int round = 0; round < 6; round++) {
    for (const auto& [a, b] : pairs) REQUIRE(f.net.send(b, 1));
    for (std::size_t told = 0; told < 3;) told += f.wait(1s);
    for (const auto& [a, b] : pairs) REQUIRE(f.net.recv(a, 9));
  }
  CHECK(f.wait(0ms) == 0);
  REQUIRE(f.kernel.pending_polls() == 1);
  const SocketNumber again = pairs[0].first;
  REQUIRE(registrations[0].remove());
  REQUIRE(f.net.send(pairs[1].second, 1));  // the group's answer is on its way
  const auto added = f.add(again);
  REQUIRE(f.net.send(pairs[0].second, 1));
  CHECK(f.wait(0ms) + f.wait(0ms) >= 2);
}

// Those for whom the room did not last keep their turn.
TEST_CASE("who was in a group that was refused is not passed over by those behind it") {
  for (const bool closes_suspect : {false, true}) {
    CAPTURE(closes_suspect);
    Fixture f;
    std::vector<Registration> registrations;
    std::vector<SocketNumber> sockets;
    for (int i = 0; i < 40; i++) {
      const auto [a, b] = f.net.tcp_pair();
      registrations.push_back(f.add(a));
      REQUIRE(f.net.send(b, 1));
      sockets.push_back(a);
    }
    for (int round = 0; round < 4; round++) CHECK(f.wait(0ms) == 40);
    REQUIRE(f.poller->stats().group_arms > 0);
    if (!closes_suspect) CHECK(f.wait(0ms, 20) == 20);  // of the others it is forgotten that they were told
    REQUIRE(f.net.close(sockets[25]));
    std::set<Token> told;
    for (int waits = 0; waits < 13; waits++) {
      for (std::size_t i = f.wait(0ms, 3); i > 0; i--) told.insert(f.room[i - 1].token());
    }
    CHECK(told.size() == 39);
  }
}

// What the probe for inline completions asked must be given back before its memory is freed.
TEST_CASE("the probe for inline completions bears a kernel that refuses to be looked at") {
  for (std::uint64_t nth = 1; nth <= 10; nth++) {
    CAPTURE(nth);
    Fixture f({.skips = false});
    const auto [a, b] = f.net.tcp_pair();
    f.kernel.nth_fault().set(nth, STATUS_INSUFFICIENT_RESOURCES);
    const auto added = f.poller->add(static_cast<NativeSocket>(a), Token{a}, Interest::writable);
    f.kernel.nth_fault().set(0, STATUS_SUCCESS);
    if (added) CHECK(f.wait(0ms) == 1);
  }
}
