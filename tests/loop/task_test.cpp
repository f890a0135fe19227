// SPDX-License-Identifier: MIT
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>

#include "../allocation_count.hpp"
#include "virtual_time.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;
using loop_test::virtual_loop;

Task<int> number(int value) { co_return value; }

Task<int> sum_of(int depth) {
  if (depth == 0) co_return 0;
  const int below = co_await sum_of(depth - 1);
  co_return below + depth;
}

Task<Result<int>> fails() { co_return failure(std::errc::address_in_use); }

Task<std::unique_ptr<int>> owned(int value) { co_return std::make_unique<int>(value); }

Task<> append(std::string& to, std::string what) {
  to += what;
  co_return;
}

TEST_CASE("a task returns a value, a result, what can only be moved, or nothing") {
  Loop loop = virtual_loop();
  CHECK(loop.run(number(7)) == 7);
  CHECK(loop.run(fails()).error() == std::errc::address_in_use);
  CHECK(**loop.run(owned(3)) == 3);
  std::string text;
  CHECK(loop.run(append(text, "x")));
  CHECK(text == "x");
}

TEST_CASE("a task is lazy: one that nothing awaits does not run, and its parameters are destroyed") {
  const auto shared = std::shared_ptr<int>(new int(1));
  std::string text;
  {
    const auto task = [](std::shared_ptr<int>, std::string& to) -> Task<> {
      to = "ran";
      co_return;
    }(shared, text);
    CHECK(shared.use_count() == 2);
  }
  CHECK(shared.use_count() == 1);
  CHECK(text.empty());
}

TEST_CASE("tasks await tasks, one after the other, as deep as memory allows") {
  Loop loop = virtual_loop();
  CHECK(loop.run(sum_of(1000)) == 500500);
}

#if defined(__clang__) || defined(__OPTIMIZE__)  // GCC transfers control without a growing stack only if it optimizes
TEST_CASE("a task that awaits a million tasks which end at once needs no more stack than for one") {
  Loop loop = virtual_loop();
  const auto many = []() -> Task<long> {
    long sum = 0;
    for (int i = 0; i != 1'000'000; ++i) sum += co_await number(1);
    co_return sum;
  };
  CHECK(loop.run(many()) == 1'000'000);
}
#endif

#if defined(__cpp_exceptions)
Task<int> throws() {
  static_cast<void>(co_await yield());
  throw std::runtime_error("from a task");
}

TEST_CASE("an exception is thrown by the co_await, and by run") {
  Loop loop = virtual_loop();
  const auto catches = []() -> Task<std::string> {
    try {
      co_await throws();
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing was thrown";
  };
  CHECK(*loop.run(catches()) == "from a task");
  CHECK_THROWS_AS(static_cast<void>(loop.run(throws())), std::runtime_error);
}
#endif

struct Counted {
  explicit Counted(int& alive_now) : alive(&alive_now) { ++*alive; }
  Counted(const Counted& other) : alive(other.alive) { ++*alive; }
  Counted(Counted&& other) noexcept : alive(other.alive) { ++*alive; }
  Counted& operator=(const Counted&) = delete;
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --*alive; }
  int* alive;
};

Task<> holds(Counted, int& at_begin, int& alive) {
  at_begin = alive;
  static_cast<void>(co_await yield());
}

TEST_CASE("parameters and variables are destroyed once each") {
  Loop loop = virtual_loop();
  int alive = 0;
  int at_begin = 0;
  CHECK(loop.run(holds(Counted(alive), at_begin, alive)));
  CHECK(at_begin >= 1);
  CHECK(alive == 0);
  const auto nested = [](int& count) -> Task<Counted> {
    Counted here(count);
    static_cast<void>(co_await yield());
    co_return here;
  };
  {
    const auto result = loop.run(nested(alive));
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("a task that is destroyed where it stands destroys what it awaits") {
  Loop loop = virtual_loop();
  int alive = 0;
  const auto inner = [](int& count) -> Task<> {
    const Counted here(count);
    static_cast<void>(co_await sleep_for(1h));
  };
  const auto outer = [&]() -> Task<> {
    const Counted here(alive);
    co_await inner(alive);
  };
  {
    TaskGroup group(loop);
    group.spawn(outer());
    while (alive != 2) REQUIRE(loop.run_once(0s));
    CHECK(loop.stats().tasks == 1);
    CHECK(loop.stats().armed_timers == 1);
  }
  CHECK(alive == 0);
  CHECK(loop.stats().tasks == 0);
  CHECK(loop.stats().armed_timers == 0);
}

TEST_CASE("in a steady state neither tasks nor groups nor timers allocate") {
  Loop loop = virtual_loop();
  const auto work = []() -> Task<> {
    static_cast<void>(co_await sleep_for(1ms));
    static_cast<void>(co_await with_timeout(10ms, number(1)));
  };
  const auto rounds = [&](int count) -> Task<> {
    for (int i = 0; i != count; ++i) {
      TaskGroup group(co_await this_task());
      group.spawn(work());
      group.spawn(work());
      static_cast<void>(co_await group.join());
    }
  };
  CHECK(loop.run(rounds(10)));
  const auto before = allocations();
  CHECK(loop.run(rounds(1000)));
  if (loop_test::keeps_frames) CHECK(allocations() == before);
}

}  // namespace
