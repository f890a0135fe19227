// SPDX-License-Identifier: MIT
//
// The AFD backend over the simulated kernel: one short test for each part.
#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>
#include "afd/fixture.hpp"

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;
using afd_fixture::SimFixture;

TEST_CASE("smoke: add, data, event, remove, close") {
  for (const auto flavour : {sim::Flavour::windows, sim::Flavour::wine}) {
    SimFixture f({.flavour = flavour, .flight = {1ms, 1ms}});
    const auto [a, b] = f.kernel.net().tcp_pair();
    auto registration = f.add(a, Interest::readable);
    CHECK(f.wait(10ms).empty());
    CHECK(f.kernel.pending_on(a) == 1);
    REQUIRE(f.kernel.net().send(b, 5) == 5u);
    const auto before = f.kernel.now();
    auto events = f.wait(1h);
    REQUIRE(events.size() == 1);
    CHECK(events[0].token() == Token{a});
    CHECK(events[0].readiness() == Readiness::readable);
    CHECK(f.kernel.now() - before == 1ms);
    CHECK(f.wait(1h).size() == 1);  // level: it was not read
    REQUIRE(f.kernel.net().recv(a, 100) == 5u);
    CHECK(f.wait(10ms).empty());
    REQUIRE(f.kernel.net().close(b));
    events = f.wait(1h);
    REQUIRE(events.size() == 1);
    CHECK(events[0].readiness() == (Readiness::readable | Readiness::read_closed));
    REQUIRE(registration.remove());
    REQUIRE(f.kernel.net().close(a));
    CHECK(f.wait(10ms).empty());
    CHECK(f.poller->stats().registrations == 0);
    CHECK(f.poller->stats().pending_polls == 0);
    CHECK(f.kernel.pending_polls() == 0);
  }
}

TEST_CASE("smoke: a socket is closed without remove, and its number used again at once") {
  SimFixture f;
  const auto [a, b] = f.kernel.net().tcp_pair();
  auto first = f.add(a, Interest::readable);
  CHECK(f.wait(0ms).empty());
  REQUIRE(f.kernel.net().close(a));
  const SocketNumber again = f.kernel.net().listener();
  REQUIRE(again == a);
  auto second = f.add(again, Interest::readable);
  CHECK(f.wait(0ms).empty());
  CHECK(f.poller->stats().registrations == 1);
  const SocketNumber client = f.kernel.net().tcp();
  REQUIRE(f.kernel.net().connect(client, f.kernel.net().port_of(again)));
  const auto events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].readable());
  REQUIRE(f.kernel.net().close(b));
}

TEST_CASE("smoke: refused and accepted connects, a reset, a layered socket") {
  SimFixture f({.refusal = {2s, 2s}});
  auto& net = f.kernel.net();
  const SocketNumber listener = net.listener(), refused = net.tcp(), accepted = net.tcp();
  auto first = f.add(refused, Interest::writable);
  REQUIRE(net.connect(refused, 1));
  CHECK(f.wait(1900ms).empty());
  auto events = f.wait(1h);
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(events[0].error() == std::errc::connection_refused);
  REQUIRE(first.remove());

  REQUIRE(net.connect(accepted, net.port_of(listener)));
  const auto served = net.accept(listener);
  REQUIRE(served.has_value());
  const SocketNumber on_top = net.layered(*served);
  auto second = f.add(on_top, Interest::readable);
  CHECK(f.wait(1s).empty());
  REQUIRE(net.reset(accepted));
  events = f.wait(1s);
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(events[0].hung_up());
  CHECK(f.poller->add(static_cast<NativeSocket>(net.hidden()), Token{}, Interest::readable).error() ==
        std::errc::not_supported);
}

TEST_CASE("smoke: one thread plays others, which act while it sleeps") {
  SimFixture f;
  const auto [a, b] = f.kernel.net().tcp_pair();
  std::optional<Registration> registration;
  int asleep = 0;
  f.kernel.set_when_asleep([&] {
    asleep++;
    if (asleep == 1) registration = f.add(a, Interest::readable);
    if (asleep == 2) REQUIRE(f.kernel.net().send(b, 1) == 1u);
    return asleep <= 2;
  });
  const auto events = f.poller->wait(f.buffer);  // without a time-out
  REQUIRE(events.has_value());
  CHECK(events->size() == 1);
  CHECK(asleep == 2);
  f.kernel.set_when_asleep(nullptr);
}

TEST_CASE("smoke: a wait that would never end is a violation, not a hang") {
  sim::SimKernel kernel;
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    std::array<Event, 1> buffer;
    CHECK_THROWS_AS(static_cast<void>(poller.wait(buffer)), sim::AsleepForEver);
  }
  CHECK(kernel.complaint() == "asleep for ever\n");
}

TEST_CASE("smoke: faults and delays of every kind, 300 seeds") {
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    CAPTURE(seed);
    sim::Options options{.seed = seed};
    options.flavour = seed % 2 == 0 ? sim::Flavour::wine : sim::Flavour::windows;
    options.flight = options.completion = options.packet = {0ns, 2ms};
    options.faults = {.spurious = 200,
                      .unasked_cancel = 200,
                      .cancel_late = 300,
                      .poll_refused = 50,
                      .early_time_out = 500,
                      .shuffled_packet = 300};
    SimFixture f(options);
    auto& net = f.kernel.net();
    std::vector<std::pair<SocketNumber, SocketNumber>> pairs;
    std::vector<Registration> registrations;
    for (int i = 0; i < 8; i++) {
      pairs.push_back(net.tcp_pair());
      registrations.push_back(f.add(pairs.back().first, Interest::readable));
    }
    sim::Random random(seed);
    for (int round = 0; round < 20; round++) {
      const std::size_t i = random.below(pairs.size());
      REQUIRE(net.send(pairs[i].second, 1) == 1u);
      bool is_reported = false;
      for (int waits = 0; waits < 50 && !is_reported; waits++) {
        const auto events = f.poller->wait(f.buffer, 20ms);
        if (!events) {  // with so many faults there may be nothing to report for want of memory
          REQUIRE(events.error() == std::errc::not_enough_memory);
          continue;
        }
        for (const Event& event : *events) {
          if (event.failed()) continue;  // a refused poll
          if (event.token() == Token{pairs[i].first}) is_reported = true;
        }
      }
      REQUIRE(is_reported);
      static_cast<void>(net.recv(pairs[i].first, 100));
      REQUIRE(registrations[i].modify(round % 2 == 0 ? Interest::readable | Interest::priority : Interest::readable));
    }
  }
}

TEST_CASE("smoke: the same seed is the same run") {
  const auto run = [](std::uint64_t seed) {
    std::string trace;
    sim::Options options{.seed = seed, .flight = {0ns, 5ms}, .completion = {0ns, 5ms}, .packet = {0ns, 5ms}};
    options.trace = [&](std::string_view line) { (trace += line) += '\n'; };
    SimFixture f(options);
    std::vector<Registration> registrations;
    for (int i = 0; i < 4; i++) {
      const auto [a, b] = f.kernel.net().tcp_pair();
      registrations.push_back(f.add(a, Interest::readable));
      REQUIRE(f.kernel.net().send(b, 1) == 1u);
    }
    for (int i = 0; i < 10; i++) static_cast<void>(f.wait(1ms));
    return trace;
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}
