// SPDX-License-Identifier: MIT
#include <reactor/loop/names.hpp>

#include "socket_support.hpp"

namespace {

using namespace loop_test;

template <class Function>
void run_with_resolver(Function function) {
  auto loop = must(Loop::create());
  Resolver resolver(loop);
  must(loop.run(function(resolver)));
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

TEST_CASE("a name is resolved by the helper thread, and connected to") {
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
      CHECK(error_of(found) == errc::operation_canceled);
    });
    co_await yield();
    group.stop();
    must(co_await group.join());
    // One question after the other: the helper thread has nothing left when this one is answered.
    const auto found = co_await resolver.resolve("localhost", 81);
    CHECK(found);
  });
}

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
