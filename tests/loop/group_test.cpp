// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>

#include "virtual_time.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;
using loop_test::virtual_loop;
using std::errc;

Task<Result<>> sleeps(Clock::duration time) { co_return co_await sleep_for(time); }

Task<Result<>> fails_after(Clock::duration time, errc why) {
  if (const auto slept = co_await sleep_for(time); !slept) co_return slept;
  co_return failure(why);
}

Clock::duration elapsed(Clock::time_point since) { return Clock::now() - since; }

TEST_CASE("join waits for all tasks, which run at the same time") {
  Loop loop = virtual_loop();
  const auto begin = Clock::now();
  const auto main = []() -> Task<Result<>> {
    TaskGroup group(co_await this_task());
    group.spawn(sleeps(2s));
    group.spawn(sleeps(1s));
    CHECK(group.size() == 2);
    const auto joined = co_await group.join();
    CHECK(group.size() == 0);
    co_return joined;
  };
  CHECK(loop.run(main()));
  CHECK(elapsed(begin) == 2s);
}

TEST_CASE("the first failure stops the others, and join reports it") {
  Loop loop = virtual_loop();
  const auto begin = Clock::now();
  const auto main = []() -> Task<Result<>> {
    TaskGroup group(co_await this_task());
    group.spawn(sleeps(10s));
    group.spawn(fails_after(1s, errc::address_in_use));
    group.spawn(fails_after(2s, errc::broken_pipe));
    co_return co_await group.join();
  };
  CHECK(loop.run(main()).error() == errc::address_in_use);
  CHECK(elapsed(begin) == 1s);
}

TEST_CASE("keep_going: the others go on, and join reports the first failure") {
  Loop loop = virtual_loop();
  const auto begin = Clock::now();
  const auto main = []() -> Task<Result<>> {
    TaskGroup group(co_await this_task(), OnFailure::keep_going);
    group.spawn(sleeps(10s));
    group.spawn(fails_after(2s, errc::broken_pipe));
    group.spawn(fails_after(1s, errc::address_in_use));
    const auto joined = co_await group.join();
    CHECK(co_await group.join());  // it was reported
    co_return joined;
  };
  CHECK(loop.run(main()).error() == errc::address_in_use);
  CHECK(elapsed(begin) == 10s);
}

TEST_CASE("stop ends all operations of the group's tasks, and is no failure") {
  Loop loop = virtual_loop();
  int canceled = 0;
  const auto waits = [&]() -> Task<Result<>> {
    const auto slept = co_await sleep_for(1h);
    if (!slept && slept.error() == errc::operation_canceled) ++canceled;
    const auto again = co_await sleep_for(1h);
    if (!again && again.error() == errc::operation_canceled) ++canceled;
    co_return slept;
  };
  const auto main = [&]() -> Task<Result<>> {
    TaskGroup group(co_await this_task());
    group.spawn(waits());
    group.spawn(waits());
    static_cast<void>(co_await sleep_for(1s));
    group.stop();
    CHECK(group.is_stopped());
    group.spawn(waits());
    co_return co_await group.join();
  };
  CHECK(loop.run(main()));
  CHECK(canceled == 6);
}

TEST_CASE("a stopped task's groups are stopped, and it joins them before it ends") {
  Loop loop = virtual_loop();
  std::vector<std::string> ended;
  const auto leaf = [&]() -> Task<> {
    static_cast<void>(co_await sleep_for(1h));
    ended.emplace_back("leaf");
  };
  const auto branch = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn(leaf());
    CHECK((co_await group.join()).error() == errc::operation_canceled);
    ended.emplace_back("branch");
  };
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn(branch());
    static_cast<void>(co_await sleep_for(1s));
    group.stop();
    CHECK(co_await group.join());
    ended.emplace_back("main");
  };
  CHECK(loop.run(main()));
  CHECK(ended == std::vector<std::string>{"leaf", "branch", "main"});
}

TEST_CASE("a group that is left without a join destroys its tasks where they stand") {
  Loop loop = virtual_loop();
  const auto begin = Clock::now();
  bool went_on = false;
  const auto child = [&]() -> Task<> {
    static_cast<void>(co_await sleep_for(1h));
    went_on = true;
  };
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn(child());
    group.spawn(child());
    static_cast<void>(co_await sleep_for(1s));
  };
  CHECK(loop.run(main()));
  CHECK_FALSE(went_on);
  CHECK(elapsed(begin) == 1s);
  CHECK(loop.stats().armed_timers == 0);
}

TEST_CASE("a function is kept until its task ends, and is destroyed after it") {
  Loop loop = virtual_loop();
  const auto shared = std::shared_ptr<std::string>(new std::string("kept"));
  std::string seen;
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([shared, &seen]() -> Task<> {
      static_cast<void>(co_await sleep_for(1s));
      seen = *shared;
    });
    CHECK(shared.use_count() > 1);
    static_cast<void>(co_await group.join());
    CHECK(shared.use_count() == 2);  // and main's lambda has none
  };
  const auto copy = shared;
  CHECK(loop.run(main()));
  CHECK(seen == "kept");
}

#if defined(__cpp_exceptions)
TEST_CASE("join throws what a task threw") {
  Loop loop = virtual_loop();
  const auto throws = []() -> Task<> {
    static_cast<void>(co_await sleep_for(1s));
    throw std::runtime_error("from a child");
  };
  const auto main = [&]() -> Task<std::string> {
    TaskGroup group(co_await this_task());
    group.spawn(throws());
    group.spawn(sleeps(1h));
    try {
      static_cast<void>(co_await group.join());
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "";
  };
  const auto begin = Clock::now();
  CHECK(*loop.run(main()) == "from a child");
  CHECK(elapsed(begin) == 1s);
}
#endif

TEST_CASE("join with a time-out stops the group and waits for it") {
  Loop loop = virtual_loop();
  bool was_cancelled = false;
  const auto child = [&]() -> Task<> { was_cancelled = (co_await sleep_for(1h)).error() == errc::operation_canceled; };
  const auto main = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn(child());
    CHECK((co_await with_timeout(1s, group.join())).error() == errc::timed_out);
    CHECK(was_cancelled);
    CHECK(group.size() == 0);
  };
  CHECK(loop.run(main()));
}

TEST_CASE("a condition: notify_one in the order of waiting, notify_all, cancelled, and its end") {
  Loop loop = virtual_loop();
  std::string order;
  const auto main = [&]() -> Task<> {
    auto condition = std::make_unique<Condition>();
    TaskGroup group(co_await this_task());
    const auto waiter = [&](char name) -> Task<> {
      const auto waited = co_await condition->wait();
      order += waited ? name : '-';
    };
    for (const char name : {'a', 'b', 'c', 'd'}) group.spawn(waiter(name));
    condition->notify_all();  // reaches none: they have not begun
    static_cast<void>(co_await sleep_for(1ms));
    CHECK(order.empty());
    condition->notify_one();
    static_cast<void>(co_await sleep_for(1ms));
    CHECK(order == "a");
    condition->notify_all();
    static_cast<void>(co_await sleep_for(1ms));
    CHECK(order == "abcd");
    CHECK((co_await with_timeout(1ms, condition->wait())).error() == errc::timed_out);
    group.spawn(waiter('e'));
    static_cast<void>(co_await sleep_for(1ms));
    condition.reset();
    CHECK(co_await group.join());
    CHECK(order == "abcd-");
  };
  CHECK(loop.run(main()));
}

}  // namespace
