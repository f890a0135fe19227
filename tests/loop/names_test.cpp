// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/names.hpp>

#include "socket_support.hpp"

namespace {

using namespace loop_test;

// By each way that this build has: without c-ares both are the same.
template <class Function>
void run_with_resolver(Function function) {
  for (const bool by_system : {false, true}) {
    CAPTURE(by_system);
    auto loop = must(Loop::create());
    Resolver resolver(loop, {.by_system = by_system, .servers = {}});
    must(loop.run(function(resolver)));
    CHECK(loop.poller_stats().registrations == 0);
  }
}

TEST_CASE("numbers are resolved at once, in one turn") {
  run_with_resolver([](Resolver& resolver) -> Task<> {
    const auto ipv4 = co_await resolver.resolve("127.0.0.1", 80);
    REQUIRE(ipv4);
    CHECK(ipv4->front() == Address::loopback_ipv4(80));
    const auto ipv6 = co_await resolver.resolve("::1", 80);
    REQUIRE(ipv6);
    CHECK(ipv6->front() == Address::loopback_ipv6(80));
  });
}

TEST_CASE("a name of the hosts file is resolved, and connected to") {
  run_with_resolver([](Resolver& resolver) -> Task<> {
    auto listener = listen();
    const auto port = must(listener.socket().local_address()).port();
    const auto found = co_await resolver.resolve("localhost", port);
    REQUIRE(found);
    CHECK(std::ranges::find(*found, Address::loopback_ipv4(port)) != found->end());
    // [::1] refuses, if it is among them.
    auto stream = must(co_await with_timeout(20s, connect(resolver, "localhost", port)));
    CHECK(must(stream.socket().peer_address()) == Address::loopback_ipv4(port));
  });
}

TEST_CASE("a question may be given up, and its answer is dropped") {
  run_with_resolver([](Resolver& resolver) -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      const auto found = co_await resolver.resolve("localhost", 80);
      // The hosts file may have been read at once.
      CHECK((found || error_of(found) == errc::operation_canceled));
    });
    static_cast<void>(co_await yield());
    group.stop();
    must(co_await group.join());
    // One question after the other: the helper thread has nothing left when this one is answered.
    const auto found = co_await resolver.resolve("localhost", 81);
    CHECK(found);
  });
}

#ifdef REACTOR_LOOP_CARES
// The answer of a DNS server that knows good.test, has empty.test without an address, and never answers to quiet.test.
std::string dns_answer(std::string query) {
  const std::size_t name_end = query.find('\0', 12);
  query.resize(name_end + 5);  // without what may follow the question
  const bool has_address = query.find("good") == 13 && query[name_end + 2] == 1;
  query.replace(2, 10, std::string("\x81\x80\0\1\0\0\0\0\0\0", 10));
  query[7] = has_address ? 1 : 0;
  if (has_address) query.append("\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\7", 16);
  return query;
}

Task<Result<>> serve_dns(On<UdpSocket>& socket, Condition& was_asked) {
  std::array<std::byte, 512> message{};
  for (;;) {
    const auto asked = co_await socket.receive_from(message);
    if (!asked) co_return failure(asked.error());
    was_asked.notify_all();
    const std::string query = text(std::span(message).first(asked->size));
    if (query.find("quiet") == 13) continue;
    const std::string answer = dns_answer(query);
    const auto sent = co_await socket.send_to(bytes(answer), asked->from);
    if (!sent) co_return sent;
  }
}

template <class Function>
void run_with_server(Function function) {
  auto loop = must(Loop::create());
  const auto serve = [&]() -> Task<Result<>> {
    On<UdpSocket> server(must(UdpSocket::bind(Address::loopback_ipv4())));
    Condition was_asked;
    TaskGroup group(co_await this_task());
    group.spawn(serve_dns(server, was_asked));
    const auto address = must(server.socket().local_address());
    co_await function(loop, address, was_asked);
    group.stop();
    co_return co_await group.join();
  };
  must(loop.run(serve()));
  CHECK(loop.poller_stats().registrations == 0);
}

Task<Result<std::vector<Address>>> ask(Loop& loop, Address server, std::string name) {
  Resolver resolver(loop, {.by_system = false, .servers = {server}});
  co_return co_await resolver.resolve(std::move(name), 80);
}

TEST_CASE("c-ares: many questions at a time on the loop's thread, with and without an address") {
  run_with_server([](Loop& loop, Address server, Condition&) -> Task<> {
    TaskGroup group(co_await this_task());
    int answers = 0;
    for (int i = 0; i != 20; ++i) {
      group.spawn([&]() -> Task<> {
        const auto good = co_await ask(loop, server, "good.test");
        REQUIRE(good);
        CHECK(*good == std::vector{must(Address::parse("127.0.0.7:80"))});
        const auto empty = co_await ask(loop, server, "empty.test");
        CHECK(error_of(empty) == errc::host_unreachable);
        ++answers;
      });
    }
    must(co_await group.join());
    CHECK(answers == 20);
  });
}

TEST_CASE("c-ares: a question without an answer is given up by a time-out, and by a stop, and leaves no socket") {
  run_with_server([](Loop& loop, Address server, Condition& was_asked) -> Task<> {
    CHECK(error_of(co_await with_timeout(50ms, ask(loop, server, "quiet.test"))) == errc::timed_out);
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      const auto found = co_await ask(loop, server, "quiet.test");
      CHECK(error_of(found) == errc::operation_canceled);
    });
    must(co_await with_timeout(20s, was_asked.wait()));
    group.stop();
    must(co_await group.join());
    CHECK(loop.poller_stats().registrations == 1);  // the server's
  });
}

TEST_CASE("c-ares: its own time-out ends a question that no server takes") {
  run_with_server([](Loop& loop, Address, Condition&) -> Task<> {
    Address closed;
    {
      const auto socket = must(UdpSocket::bind(Address::loopback_ipv4()));
      closed = must(socket.local_address());
    }
    const auto found = co_await with_timeout(20s, ask(loop, closed, "good.test"));
    CHECK(error_of(found) == errc::resource_unavailable_try_again);
  });
}
#endif

TEST_CASE("happy eyeballs: the next attempt begins when one fails, or after a time, and the losers are cancelled") {
  run([]() -> Task<> {
    CHECK(error_of(co_await connect_any({})) == errc::invalid_argument);
    auto listener = listen();
    const auto good = must(listener.socket().local_address());
    Address refuses;
    {
      const auto closed = listen();
      refuses = must(closed.socket().local_address());
    }
    std::vector<Address> addresses{refuses, refuses, good};
    auto stream = must(co_await connect_any(addresses, 10s));
    CHECK(must(stream.socket().peer_address()) == good);
    addresses.pop_back();
    CHECK(error_of(co_await connect_any(addresses, 10s)) == errc::connection_refused);
  });
}

}  // namespace
