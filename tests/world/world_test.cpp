// SPDX-License-Identifier: MIT
// Programs, time, and what is reported of programs that go wrong.
#include <thread>

#include "support.hpp"

using namespace world_test;

TEST_CASE("an echo over the network: the same run for the same seed, another one for another") {
  for (const auto rules : both_rules) {
    const auto run = [&](std::uint64_t seed) {
      sim::World world(seed, by(rules));
      auto& server = world.host("server", "10.0.0.1");
      server.serve([] { echo_server(Address::any_ipv4(7)); });
      std::string got;
      world.host("client").run([&] {
        Waits waits;
        const auto [stream, why] = connected(waits, server.address(7));
        CHECK_FALSE(why);
        send_all(waits, stream, bytes_of("hello, world"));
        got = receive_some(waits, stream, 12);
      });
      world.run_until_idle();
      CHECK(got == "hello, world");
      return std::pair(world.trace_hash(), world.trace_text());
    };
    const auto first = run(1);
    CHECK(first == run(1));
    CHECK(first.first != run(2).first);
    CHECK(first.second.find("\"hello, world\"") != std::string::npos);
  }
}

TEST_CASE("IPv6 and dual-stack listeners") {
  sim::World world(3);
  auto& server = world.host("server", "10.0.0.1");
  server.serve([] { echo_server(Address::any(7)); });
  int done = 0;
  for (const bool is_ipv6 : {false, true}) {
    world.host(is_ipv6 ? "six" : "four").run([&server, &done, is_ipv6] {
      Waits waits;
      const auto [stream, why] = connected(waits, is_ipv6 ? server.address_ipv6(7) : server.address(7));
      CHECK_FALSE(why);
      send_all(waits, stream, bytes_of("x"));
      CHECK(receive_some(waits, stream, 1) == "x");
      CHECK(must(stream.peer_address()).port() == 7);
      done++;
    });
  }
  world.run_until_idle();
  CHECK(done == 2);
}

TEST_CASE("an hour passes at once, and Clock is the World's") {
  sim::World world(1);
  const auto begin = std::chrono::steady_clock::now();
  nanoseconds measured{0};
  world.host("a").run([&] {
    const auto before = Clock::now();
    Waits().pass(1h);
    measured = Clock::now() - before;
  });
  world.run_until_idle();
  CHECK(measured == 1h);
  CHECK(world.elapsed() == 1h);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
}

TEST_CASE("run_for, run_until and after") {
  sim::World world(1);
  int ticks = 0;
  world.host("a").serve([&] {
    Waits waits;
    for (;; ticks++) waits.pass(1s);
  });
  world.run_for(10500ms);
  CHECK(ticks == 10);
  CHECK(world.elapsed() == 10500ms);
  world.run_until([&] { return ticks == 20; });
  CHECK(world.elapsed() == 20s);
  bool is_done = false;
  world.after(5s, [&] { is_done = true; });
  world.run_until([&] { return is_done; });
  CHECK(world.elapsed() == 25s);
  CHECK_THROWS_AS(world.run_until([] { return false; }, 10s), sim::Failure);
}

TEST_CASE("a deadlock says who waits for what, and how to run it again") {
  sim::World world(77);
  world.host("server", "10.0.0.1").run("accepts", [] {
    const TcpListener listener = must(TcpListener::bind(Address::any_ipv4(80)));
    Waits().until(listener, Interest::readable);
  });
  std::string text;
  try {
    world.run_until_idle();
  } catch (const sim::Failure& why) {
    text = why.what();
  }
  CHECK(text.find("deadlock") != std::string::npos);
  CHECK(text.find("server, accepts: waits for an event") != std::string::npos);
  CHECK(text.find("1 registrations") != std::string::npos);
  CHECK(text.find("REACTOR_SIM_SEED=77") != std::string::npos);
}

TEST_CASE("a server may wait for ever") {
  sim::World world(1);
  world.host("server").serve([] { echo_server(Address::any_ipv4(80)); });
  world.run_until_idle();
  CHECK(world.elapsed() == 0s);
}

TEST_CASE("a program that spins is an error that names its last call") {
  for (const auto rules : both_rules) {
    auto options = by(rules);
    options.calls_max = 10'000;
    sim::World world(5, options);
    SUBCASE("in waits") {
      world.host("spinner").run("loops", [] {
        const UdpSocket socket = must(UdpSocket::bind(Address::any_ipv4(1)));
        Poller poller = must(Poller::create());
        const Registration registration = must(poller.add(socket.native(), Token{1}, Interest::writable));
        std::array<Event, 1> buffer;
        for (;;) static_cast<void>(must(poller.wait(buffer)));
      });
      CHECK_THROWS_WITH_AS(world.run_for(1h), doctest::Contains("spinner, loops: spins: 10000 calls"), sim::Failure);
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)  // what is on the stack of such a program is never released
    SUBCASE("in calls on a socket") {
      world.host("spinner").run("loops", [] {
        static UdpSocket socket;  // its stack is not unwound
        socket = must(UdpSocket::bind(Address::any_ipv4(1)));
        std::array<std::byte, 1> buffer;
        while (!socket.receive_from(buffer)) continue;
      });
      CHECK_THROWS_WITH_AS(world.run_for(1h), doctest::Contains("the last one receive_from"), sim::Failure);
    }
#endif
  }
}

TEST_CASE("what a program throws comes out of run, and other programs are unwound at the end") {
  struct Counted {
    int& ended;
    ~Counted() { ended++; }
  };
  for (const auto rules : both_rules) {
    int ended = 0;
    {
      sim::World world(1, by(rules));
      world.host("a").serve([&] {
        const Counted counted{ended};
        echo_server(Address::any_ipv4(80));
      });
      world.host("b").run([&] {
        const Counted counted{ended};
        Waits().pass(1s);
        throw std::logic_error("as planned");
      });
      CHECK_THROWS_WITH_AS(world.run_until_idle(), "as planned", std::logic_error);
      CHECK(ended == 1);
    }
    CHECK(ended == 2);
  }
}

TEST_CASE("a program waits for what is no socket") {
  for (const auto rules : both_rules) {
    sim::World world(1, by(rules));
    auto& host = world.host("a");
    sim::Signal child(host);
    host.run([&] {
      Poller poller = must(Poller::create());
      Registration registration = must(poller.add_handle(child.native(), Token{5}));
      std::array<Event, 4> buffer;
      CHECK(must(poller.wait(buffer, 1s)).empty());
      for (int i = 0; i < 2; i++) {  // it stays set
        const auto events = must(poller.wait(buffer));
        REQUIRE(events.size() == 1);
        CHECK(events[0].token() == Token{5});
        CHECK(events[0].readiness() == Readiness::readable);
        CHECK(must(poller.wait(buffer, 0s)).empty());
        must(registration.rearm());
      }
      CHECK(world.elapsed() - 2s < 1ms);
      CHECK(must(poller.wait(buffer, 0s)).size() == 1);
      child.clear();
      must(registration.rearm());
      CHECK(must(poller.wait(buffer, 1s)).empty());
      CHECK(registration.modify(Interest::readable).error() == std::errc::invalid_argument);
      child.close();
      CHECK(poller.add_handle(child.native(), Token{6}).error() == std::errc::bad_file_descriptor);
      CHECK(registration.remove().has_value());
    });
    world.after(2s, [&] { child.set(); });
    world.run_until_idle();
  }
}

TEST_CASE("on another thread of the system there is no network") {
  sim::World world(1);
  world.host("a").run([] {
    Poller poller = must(Poller::create());
    std::error_code why;
    std::thread([&] {
      std::array<Event, 1> buffer;
      why = poller.wait(buffer, 0s).error();
    }).join();
    CHECK(why == std::errc::network_down);
  });
  world.run_until_idle();
}

TEST_CASE("outside of a program there is no network") {
  const sim::World world(1);
  CHECK(TcpListener::bind(Address::any_ipv4(1)).error() == std::errc::network_down);
  CHECK(Poller::create().error() == std::errc::network_down);
  CHECK(sim::World::current() == &world);
}

TEST_CASE("1,000 hosts with 10,000 connections") {
  sim::World world(1);
  auto& server = world.host("server", "10.200.0.1");
  server.serve([] { echo_server(Address::any_ipv4(7)); });
  int done = 0;
  for (int i = 0; i < 1000; i++) {
    world.host("client " + std::to_string(i)).run([&] {
      Waits waits;
      std::array<TcpStream, 10> streams;
      for (auto& stream : streams) stream = connected(waits, server.address(7)).first;
      for (const auto& stream : streams) send_all(waits, stream, bytes_of("x"));
      for (const auto& stream : streams) done += static_cast<int>(receive_some(waits, stream, 1).size());
    });
  }
  world.run_until_idle();
  CHECK(done == 10'000);
}
