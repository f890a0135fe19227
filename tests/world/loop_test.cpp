// SPDX-License-Identifier: MIT
// Programs of coroutines (reactor::loop) over the simulation.
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/names.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/time.hpp>

#include "support.hpp"

using namespace world_test;

namespace {

Task<> echo(On<TcpStream> stream) {
  std::array<std::byte, 256> buffer{};
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) co_return;
    const auto sent = co_await stream.send(std::span(buffer).first(*size));
    if (!sent) co_return;
  }
}

Task<> serve(std::uint16_t port) {
  On<TcpListener> listener(must(TcpListener::bind(Address::any(port))));
  TaskGroup clients(co_await this_task(), OnFailure::keep_going);
  for (;;) {
    auto accepted = must(co_await listener.accept());
    clients.spawn(echo(std::move(accepted.stream)));
  }
}

void run_server() {
  Loop loop = must(Loop::create());
  must(loop.run(serve(80)));
}

/// What became of a question, and when.
struct Answer {
  std::string text;
  std::error_code error;
  nanoseconds at;
};

Task<Result<std::string>> ask(On<TcpStream>& stream, const Address& to) {
  if (!stream.is_open()) {
    auto made = co_await connect(to);
    if (!made) co_return failure(made.error());
    stream = std::move(*made);
  }
  const auto sent = co_await stream.send("hello");
  if (!sent) co_return failure(sent.error());
  std::array<std::byte, 5> bytes{};
  const auto received = co_await stream.receive_exactly(bytes);
  if (!received) co_return failure(received.error());
  co_return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Asks once a second, on one connection, and on a new one after half a second without an answer.
Task<std::vector<Answer>> ask_each_second(Address to, int count) {
  std::vector<Answer> answers;
  On<TcpStream> stream;
  const auto begin = Clock::now();
  for (int i = 0; i < count; i++) {
    must(co_await sleep_until(begin + i * 1s));
    auto answer = co_await with_timeout(500ms, ask(stream, to));
    if (!answer) stream.close();
    const auto error = answer ? std::error_code() : answer.error();
    answers.push_back({answer ? *answer : "", error, Clock::now() - begin});
  }
  co_return answers;
}

template <class Function>
void run(Function function) {
  Loop loop = must(Loop::create());
  must(loop.run(function()));
}

}  // namespace

TEST_CASE("a loop: a server and a client on two hosts, with time-outs and a partition") {
  for (const auto rules : both_rules) {
    const auto play = [&](std::uint64_t seed) {
      sim::World world(seed, by(rules));
      auto& server = world.host("server", "10.0.0.1");
      auto& client = world.host("client", "10.0.0.2");
      server.serve([] { run_server(); });
      std::vector<Answer> answers;
      client.run([&] {
        Loop loop = must(Loop::create());
        answers = must(loop.run(ask_each_second(server.address(80), 6)));
      });
      world.after(2500ms, [&] { world.partition(server, client); });
      world.after(4700ms, [&] { world.heal_all(); });
      world.run_until_idle();
      REQUIRE(answers.size() == 6);
      for (const std::size_t good : {0U, 1U, 2U, 5U}) CHECK(answers[good].text == "hello");
      for (const std::size_t late : {3U, 4U}) {
        CHECK(answers[late].error == std::errc::timed_out);
        // By Windows's rules a wait ends at the next tick of its clock.
        CHECK(answers[late].at - late * 1s >= 500ms);
        CHECK(answers[late].at - late * 1s < 520ms);
      }
      return world.trace_hash();
    };
    CHECK(play(1) == play(1));
    CHECK(play(1) != play(2));
  }
}

TEST_CASE("a loop whose host crashes is unwound with all its tasks, and begins anew") {
  for (const auto rules : both_rules) {
    for (const auto how : {sim::Crash::power_cut, sim::Crash::process_kill}) {
      sim::World world(3, by(rules));
      auto& server = world.host("server", "10.0.0.1");
      server.serve([] { run_server(); });
      std::vector<Answer> answers;
      world.host("client").run([&] {
        Loop loop = must(Loop::create());
        answers = must(loop.run(ask_each_second(server.address(80), 4)));
      });
      world.after(1500ms, [&] { server.crash(how); });
      world.after(2700ms, [&] { server.restart(); });
      world.run_until_idle();
      REQUIRE(answers.size() == 4);
      CHECK(answers[1].text == "hello");
      // A reset that came while nothing waited is the error of the next send.
      CHECK(answers[2].error == (how == sim::Crash::power_cut ? std::errc::timed_out : std::errc::connection_reset));
      CHECK(answers[3].text == "hello");
    }
  }
}

TEST_CASE("a loop: accept pauses while descriptors have run out, and goes on when there are some") {
  for (const auto rules : both_rules) {
    sim::World world(6, by(rules));
    sim::HostOptions small;
    small.descriptors_max = 16;
    auto& server = world.host("server", "10.0.0.1", small);
    nanoseconds accepted_at{};
    std::uint64_t turns = 0;
    server.run([&] {
      Loop loop = must(Loop::create());
      const auto program = [&]() -> Task<> {
        On<TcpListener> listener(must(TcpListener::bind(Address::any(80))));
        const auto begin = Clock::now();
        TaskGroup group(co_await this_task());
        group.spawn([&]() -> Task<> {
          const auto accepted = must(co_await listener.accept());
          CHECK(accepted.stream.is_open());
          accepted_at = Clock::now() - begin;
        });
        must(co_await sleep_for(10ms));
        std::vector<UdpSocket> others;
        for (auto made = UdpSocket::bind(Address::any_ipv4(0)); made; made = UdpSocket::bind(Address::any_ipv4(0))) {
          others.push_back(std::move(*made));
        }
        must(co_await sleep_for(1s));
        others.clear();
        must(co_await group.join());
      };
      must(loop.run(program()));
      turns = loop.stats().turns;
    });
    world.host("client").run([&] {
      run([&]() -> Task<> {
        must(co_await sleep_for(100ms));
        const auto stream = must(co_await connect(server.address(80)));
        must(co_await sleep_for(2s));
      });
    });
    world.run_until_idle();
    CHECK(accepted_at >= 1010ms);
    CHECK(accepted_at < 1100ms);
    CHECK(turns < 40);  // it tries every 50 ms
  }
}

TEST_CASE("a loop: the names of hosts are their addresses, and there are no signals") {
  sim::World world(4);
  auto& server = world.host("server", "10.0.0.1");
  server.serve([] { run_server(); });
  int done = 0;
  world.host("client").run([&] {
    run([&]() -> Task<> {
      Loop own = must(Loop::create());  // a resolver needs one
      Resolver resolver(own);
      const auto found = must(co_await resolver.resolve("server", 80));
      CHECK(found == std::vector{server.address_ipv6(80), server.address(80)});
      const auto unknown = co_await resolver.resolve("unknown", 80);
      CHECK((!unknown && unknown.error() == std::errc::host_unreachable));
      const auto stream = must(co_await connect(resolver, "server", 80));
      CHECK(stream.is_open());
      CHECK(Signals::create({SIGINT}).error() == std::errc::not_supported);
      done++;
    });
  });
  world.run_until_idle();
  CHECK(done == 1);
}

TEST_CASE("a loop: what a task throws comes out of the World") {
  sim::World world(5);
  world.host("a").run([] {
    run([]() -> Task<> {
      must(co_await sleep_for(1s));
      throw std::runtime_error("it is over");
    });
  });
  CHECK_THROWS_WITH(world.run_until_idle(), "it is over");
}
