// SPDX-License-Identifier: MIT
#include <reactor/loop/signals.hpp>

#include <csignal>
#include <thread>

#include <reactor/net/signals.hpp>

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
    static_cast<void>(co_await sleep_for(1ms));
    CHECK(std::raise(SIGUSR2) == 0);
    must(co_await group.join());
  });
}

TEST_CASE("signals: a number that is none") { CHECK(error_of(Signals::create({-1})) == errc::invalid_argument); }
#else
// What the system's console thread calls: nothing under Wine has a console that could have it called.
bool console_event(unsigned long event) {
  bool is_handled = false;
  std::thread([&] { is_handled = sys::deliver_console_event(event); }).join();
  return is_handled;
}

constexpr unsigned long ctrl_c = 0;
constexpr unsigned long ctrl_break = 1;
constexpr unsigned long ctrl_close = 2;

TEST_CASE("a console event that comes before or during the wait") {
  run([]() -> Task<> {
    auto signals = must(Signals::create({SIGINT, SIGTERM}));
    CHECK(console_event(ctrl_c));
    CHECK(must(co_await signals.next()) == SIGINT);
    CHECK_FALSE(console_event(ctrl_break));  // nothing waits for it: it does what it would without this
    CHECK(error_of(co_await with_timeout(1ms, signals.next())) == errc::timed_out);
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> { CHECK(must(co_await signals.next()) == SIGTERM); });
    co_await sleep_for(1ms);
    CHECK(console_event(ctrl_close));
    must(co_await group.join());
  });
  CHECK_FALSE(console_event(ctrl_c));  // forgotten
}

TEST_CASE("console events: two that wait for the same both get it, and each may end first") {
  run([]() -> Task<> {
    auto one = must(Signals::create({SIGINT}));
    {
      auto other = must(Signals::create({SIGINT, SIGBREAK}));
      CHECK(console_event(ctrl_c));
      CHECK(must(co_await other.next()) == SIGINT);
      CHECK(console_event(ctrl_break));
      CHECK(must(co_await other.next()) == SIGBREAK);
    }
    CHECK(must(co_await one.next()) == SIGINT);
    CHECK_FALSE(console_event(ctrl_break));
  });
}
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
