// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/loop/timers.hpp>

#include "virtual_time.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;
using loop_test::virtual_loop;
using std::errc;

Task<Result<int>> number_after(Clock::duration time, int value) {
  if (const auto slept = co_await sleep_for(time); !slept) co_return failure(slept.error());
  co_return value;
}

TEST_CASE("sleeps end at their time, in their order") {
  Loop loop = virtual_loop();
  std::vector<int> order;
  const auto begin = Clock::now();
  const auto sleeper = [&](int seconds) -> Task<> {
    CHECK(co_await sleep_until(begin + std::chrono::seconds(seconds)));
    CHECK(Clock::now() == begin + std::chrono::seconds(seconds));
    order.push_back(seconds);
  };
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    for (const int seconds : {5, 3, 9, 1}) group.spawn(sleeper(seconds));
    static_cast<void>(co_await group.join());
  };
  CHECK(loop.run(main()));
  CHECK(order == std::vector<int>{1, 3, 5, 9});
}

TEST_CASE("a sleep of no time lets others run, and one of all time ends by being stopped") {
  Loop loop = virtual_loop();
  std::string order;
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      order += "b";
      co_return;
    });
    order += "a";
    CHECK(co_await sleep_for(0s));
    CHECK(co_await sleep_for(-1s));
    order += "c";
    CHECK((co_await with_timeout(1s, sleep_for(Clock::duration::max()))).error() == errc::timed_out);
  };
  CHECK(loop.run(main()));
  CHECK(order == "abc");
}

TEST_CASE("with_timeout: a task in time, one that is too late, and one that ends with a value all the same") {
  Loop loop = virtual_loop();
  const auto stubborn = []() -> Task<Result<int>> {
    static_cast<void>(co_await sleep_for(1h));  // is cancelled
    co_return 3;
  };
  const auto plain = []() -> Task<int> {
    static_cast<void>(co_await sleep_for(1h));
    co_return 4;
  };
  const auto main = [&]() -> Task<> {
    const auto begin = Clock::now();
    CHECK(co_await with_timeout(2s, number_after(1s, 1)) == 1);
    CHECK((co_await with_timeout(1s, number_after(2s, 2))).error() == errc::timed_out);
    CHECK(Clock::now() - begin == 2s);
    CHECK(co_await with_timeout(1s, stubborn()) == 3);
    CHECK((co_await with_timeout(1s, plain())).error() == errc::timed_out);
    CHECK((co_await with_deadline(Clock::now() + 1s, sleep_for(2s))).error() == errc::timed_out);
    CHECK(Clock::now() - begin == 5s);
  };
  CHECK(loop.run(main()));
  CHECK(loop.stats().armed_timers == 0);
}

TEST_CASE("with_timeout waits for the work that it has stopped") {
  Loop loop = virtual_loop();
  bool is_clean = false;
  const auto cleanup = [&]() -> Task<> {
    static_cast<void>(co_await sleep_for(3s));
    is_clean = true;
  };
  const auto work = [&]() -> Task<Result<>> {
    const auto slept = co_await sleep_for(1h);
    static_cast<void>(co_await shielded(cleanup()));
    co_return slept;
  };
  const auto main = [&]() -> Task<> {
    const auto begin = Clock::now();
    CHECK((co_await with_timeout(1s, work())).error() == errc::timed_out);
    CHECK(is_clean);
    CHECK(Clock::now() - begin == 4s);
  };
  CHECK(loop.run(main()));
}

TEST_CASE("time-outs within time-outs: the one that comes first ends the work, and only its own") {
  Loop loop = virtual_loop();
  const auto inner = []() -> Task<Result<int>> { co_return co_await with_timeout(10s, number_after(1h, 1)); };
  const auto outer = []() -> Task<Result<int>> {
    const auto first = co_await with_timeout(1s, number_after(1h, 1));
    CHECK(first.error() == errc::timed_out);
    co_return co_await number_after(1s, 2);
  };
  const auto main = [&]() -> Task<> {
    CHECK((co_await with_timeout(1s, inner())).error() == errc::timed_out);
    CHECK((co_await with_timeout(1min, inner())).error() == errc::timed_out);
    CHECK(co_await with_timeout(1min, outer()) == 2);
  };
  CHECK(loop.run(main()));
}

TEST_CASE("with_timeout of an operation is not early in a turn that takes long") {
  Loop loop = virtual_loop();
  Condition never;
  const auto main = [&]() -> Task<> {
    const auto begin = Clock::now();
    TaskGroup group(co_await this_task());
    const auto limited = [&](Clock::duration time, Clock::duration ends) -> Task<> {
      CHECK((co_await with_timeout(time, never.wait())).error() == errc::timed_out);
      CHECK(Clock::now() - begin == ends);
    };
    group.spawn(limited(1s, 4s));
    group.spawn(limited(0s, 3s));
    group.spawn([&]() -> Task<> {
      CHECK((co_await with_deadline(begin + 2s, never.wait())).error() == errc::timed_out);
      CHECK(Clock::now() - begin == 3s);
    });
    static_cast<void>(co_await yield());  // all three wait
    loop_test::pass(3s);
    static_cast<void>(co_await group.join());
  };
  CHECK(loop.run(main()));
  CHECK(loop.stats().armed_timers == 0);
}

TEST_CASE("a stop that comes before the time-out is operation_canceled") {
  Loop loop = virtual_loop();
  const auto main = []() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([]() -> Task<> {
      CHECK((co_await with_timeout(10s, number_after(1h, 1))).error() == errc::operation_canceled);
      CHECK((co_await with_timeout(10s, sleep_for(1h))).error() == errc::operation_canceled);
    });
    static_cast<void>(co_await sleep_for(1s));
    group.stop();
    CHECK(co_await group.join());
  };
  CHECK(loop.run(main()));
}

TEST_CASE("stats: how late a timer ran, and the longest resumption") {
  Loop loop = virtual_loop({.poller = {}, .measures_resumptions = true});
  const auto main = []() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([]() -> Task<> {
      static_cast<void>(co_await sleep_for(1s));
      loop_test::pass(3s);
    });
    group.spawn([]() -> Task<> { static_cast<void>(co_await sleep_for(2s)); });
    static_cast<void>(co_await group.join());
  };
  CHECK(loop.run(main()));
  CHECK(loop.stats().longest_resumption == 3s);
  CHECK(loop.stats().timer_lag_max == 2s);
}

class Owner final : public detail::Operation {
 public:
  void cancel() noexcept override {}
  const char* what() const noexcept override { return "nothing"; }
};

// Against a model: a sorted set of what is armed.
TEST_CASE("timers: arm, move, cancel and expire in any order, as a sorted set does") {
  for (unsigned seed = 0; seed != 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](unsigned end) { return static_cast<int>(random() % end); };
    detail::Timers timers;
    struct Armed {
      std::unique_ptr<Owner> owner;
      detail::Timers::Slot* slot;
      Clock::time_point deadline;
    };
    std::vector<Armed> armed;
    Clock::time_point now;
    const auto some_time = [&] { return now + Clock::duration(below(50)); };
    for (int step = 0; step != 300; ++step) {
      const int what = below(10);
      if (what < 4) {
        auto owner = std::make_unique<Owner>();
        const auto deadline = some_time();
        auto* const slot = timers.arm(deadline, *owner);
        armed.push_back({std::move(owner), slot, deadline});
      } else if (what < 6 && !armed.empty()) {
        Armed& one = armed[static_cast<std::size_t>(below(static_cast<unsigned>(armed.size())))];
        one.deadline = some_time();
        timers.move(one.slot, one.deadline);
      } else if (what < 8 && !armed.empty()) {
        const auto at = armed.begin() + below(static_cast<unsigned>(armed.size()));
        timers.cancel(*at->slot);
        armed.erase(at);
      } else {
        now += Clock::duration(below(20));
        for (auto due = timers.expire(now); due.owner != nullptr; due = timers.expire(now)) {
          const auto least = std::ranges::min_element(armed, {}, &Armed::deadline);
          REQUIRE(least != armed.end());
          REQUIRE(due.deadline == least->deadline);
          REQUIRE(due.deadline <= now);
          const auto own = std::ranges::find_if(armed, [&](const Armed& one) { return one.owner.get() == due.owner; });
          REQUIRE(own != armed.end());
          REQUIRE(own->deadline == due.deadline);
          armed.erase(own);
        }
        for (const Armed& one : armed) REQUIRE(one.deadline > now);
      }
      REQUIRE(timers.armed() == armed.size());
      const auto next = timers.next(now);
      REQUIRE(next.has_value() == !armed.empty());
      if (next) REQUIRE(*next <= std::ranges::min_element(armed, {}, &Armed::deadline)->deadline);
    }
  }
}

TEST_CASE("timers: time-outs that are armed and cancelled again and again take one entry") {
  detail::Timers timers;
  Owner owner;
  for (int i = 0; i != 1000; ++i) timers.cancel(*timers.arm(Clock::time_point(30s + 1ms * i), owner));
  CHECK(timers.entries() == 1);
  CHECK(timers.armed() == 0);
  CHECK_FALSE(timers.next(Clock::time_point()));
}

TEST_CASE("timers: an entry that is far from due is left as it is, and is never late") {
  detail::Timers timers;
  Owner owner;
  auto* slot = timers.arm(Clock::time_point(30s), owner);
  timers.move(slot, Clock::time_point(60s));
  CHECK(timers.next(Clock::time_point(1s)) == Clock::time_point(30s));
  CHECK(timers.expire(Clock::time_point(30s)).owner == nullptr);
  CHECK(timers.next(Clock::time_point(30s)) == Clock::time_point(60s));
  CHECK(timers.expire(Clock::time_point(60s)).owner == &owner);
}

TEST_CASE("timers: many cancelled ones hold no call up") {
  detail::Timers timers;
  Owner owner;
  std::vector<detail::Timers::Slot*> slots;
  for (int i = 0; i != 10'000; ++i) slots.push_back(timers.arm(Clock::time_point(1ms * i), owner));
  for (auto* const slot : slots) timers.cancel(*slot);
  // Its entry is one of those, and is put right when the loop has come to it.
  static_cast<void>(timers.arm(Clock::time_point(1h), owner));
  const auto before = timers.entries();
  CHECK(timers.next(Clock::time_point()) < Clock::time_point(1h));
  CHECK(before - timers.entries() <= 64);
  while (timers.next(Clock::time_point(1min)) != Clock::time_point(1h))
    CHECK(timers.expire(Clock::time_point(1min)).owner == nullptr);
  CHECK(timers.entries() == 1);
  CHECK(timers.expire(Clock::time_point(1h)).owner == &owner);
}

}  // namespace
