// SPDX-License-Identifier: MIT
#include <reactor/loop/signals.hpp>

#include <csignal>

#include "socket_support.hpp"

namespace {

using namespace loop_test;

#ifndef _WIN32
TEST_CASE("a signal that comes before or during the wait") {
  run([]() -> Task<> {
    auto signals = must(Signals::create({SIGUSR1, SIGUSR2}));
    CHECK(std::raise(SIGUSR1) == 0);
    CHECK(must(co_await signals.next()) == SIGUSR1);
    CHECK(error_of(co_await with_timeout(1ms, signals.next())) == errc::timed_out);
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> { CHECK(must(co_await signals.next()) == SIGUSR2); });
    co_await sleep_for(1ms);
    CHECK(std::raise(SIGUSR2) == 0);
    must(co_await group.join());
  });
}

TEST_CASE("signals: a number that is none") { CHECK(error_of(Signals::create({-1})) == errc::invalid_argument); }
#endif

TEST_CASE("watching a socket that others use") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    Watch watch(other.socket().native());
    must(co_await watch.writable());
    must(co_await watch.writable());
    CHECK(error_of(co_await with_timeout(1ms, watch.readable())) == errc::timed_out);
    must(co_await one.send("x"));
    must(co_await with_timeout(10s, watch.readable()));
    must(co_await with_timeout(10s, watch.readable()));  // still
    std::array<std::byte, 1> byte{};
    CHECK(must(other.socket().receive(byte)) == 1);
    CHECK(error_of(co_await with_timeout(1ms, watch.readable())) == errc::timed_out);
  });
}

}  // namespace
