// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include <reactor/loop/stop_token.hpp>

#include "socket_support.hpp"

namespace {

using namespace loop_test;

TEST_CASE("posts from many threads run once each, in the order of their thread, and on the loop's thread") {
  auto loop = must(Loop::create());
  constexpr int threads = 4;
  constexpr int each = 5000;
  std::vector<int> last(threads, -1);
  int run_here = 0;
  bool in_order = true;
  const auto here = std::this_thread::get_id();
  std::vector<std::thread> posters;
  for (int thread = 0; thread != threads; ++thread) {
    posters.emplace_back([&, thread] {
      for (int i = 0; i != each; ++i) {
        loop.post([&, thread, i] {
          in_order = in_order && last[static_cast<std::size_t>(thread)] == i - 1 && std::this_thread::get_id() == here;
          last[static_cast<std::size_t>(thread)] = i;
          ++run_here;
        });
      }
    });
  }
  bool is_running = true;
  while (run_here != threads * each && is_running) is_running = loop.run_once(10s).has_value();
  for (std::thread& poster : posters) poster.join();
  REQUIRE(is_running);
  CHECK(in_order);
  CHECK(loop.stats().posts == threads * each);
  CHECK(loop.stats().post_lag_max > 0ns);
}

TEST_CASE("many posts before a turn cost one wake") {
  auto loop = must(Loop::create());
  int count = 0;
  for (int i = 0; i != 100; ++i) loop.post([&] { ++count; });
  REQUIRE(loop.run_once(10s));
  CHECK(count == 100);
  CHECK(loop.poller_stats().wakes == 1);
#ifndef _WIN32
  CHECK(loop.poller_stats().post_calls == 1);
#endif
}

TEST_CASE("functions that were posted and have not run are destroyed with the loop") {
  const std::shared_ptr<int> shared(new int(1));
  {
    auto loop = Loop::create();
    REQUIRE(loop);
    loop->post([shared] {});
    CHECK(shared.use_count() == 2);
  }
  CHECK(shared.use_count() == 1);
}

#ifdef __cpp_lib_jthread  // and with it std::stop_token
TEST_CASE("a stop token stops a task, from another thread") {
  std::stop_source source;
  std::jthread stopper;
  run([&]() -> Task<> {
    const auto sleeps = []() -> Task<Result<>> { co_return co_await sleep_for(1h); };
    stopper = std::jthread([&] { source.request_stop(); });
    CHECK(error_of(co_await with_stop(source.get_token(), sleeps())) == errc::operation_canceled);
    // One that is stopped already, and one that never is.
    CHECK(error_of(co_await with_stop(source.get_token(), sleeps())) == errc::operation_canceled);
    const auto number = []() -> Task<int> { co_return 3; };
    CHECK(must(co_await with_stop(std::stop_token(), number())) == 3);
  });
}

TEST_CASE("a task's stop requests the stop of a token") {
  run([]() -> Task<> {
    TaskGroup group(co_await this_task());
    std::atomic<bool> was_stopped = false;
    group.spawn([&]() -> Task<> {
      const StopForwarder forwarder(co_await this_task());
      const std::stop_callback callback(forwarder.token(), [&] { was_stopped = true; });
      static_cast<void>(co_await sleep_for(1h));
    });
    static_cast<void>(co_await yield());
    CHECK_FALSE(was_stopped);
    group.stop();
    CHECK(was_stopped);
    must(co_await group.join());
  });
}

#endif

// Not with ThreadSanitizer: it does not see that the Poller closes its descriptors (by system calls of its own), and
// takes it for a race that another thread's loop is given the same number.
#if defined(__SANITIZE_THREAD__)
#define LOOP_TEST_SKIPS_DESCRIPTORS true
#elif defined(__has_feature)
#define LOOP_TEST_SKIPS_DESCRIPTORS __has_feature(thread_sanitizer)
#else
#define LOOP_TEST_SKIPS_DESCRIPTORS false
#endif
TEST_CASE("several loops in several threads" * doctest::skip(LOOP_TEST_SKIPS_DESCRIPTORS)) {
  std::vector<std::thread> threads;
  std::atomic<int> finished = 0;
  for (int i = 0; i != 4; ++i) {
    threads.emplace_back([&] {
      auto loop = Loop::create();
      if (!loop) return;
      const auto work = []() -> Task<Result<>> {
        auto [one, other] = co_await pair();
        for (int message = 0; message != 100; ++message) {
          if (const auto sent = co_await one.send("x"); !sent) co_return sent;
          std::array<std::byte, 1> byte{};
          if (const auto received = co_await other.receive_exactly(byte); !received) co_return received;
        }
        co_return Result<>();
      };
      if (loop->run(work())) ++finished;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(finished == 4);
}

TEST_CASE("embedded: next_deadline, native_handle and run_once") {
  auto loop = must(Loop::create());
  CHECK_FALSE(loop.next_deadline());
  CHECK(loop.native_handle());
  TaskGroup group(loop);
  bool has_slept = false;
  const auto begin = Clock::now();
  group.spawn([&]() -> Task<> {
    must(co_await sleep_for(20ms));
    has_slept = true;
  });
  const auto next = loop.next_deadline();
  REQUIRE(next);
  CHECK(*next <= Clock::now());
  CHECK(must(loop.run_once(0s)) == 1);
  CHECK(*loop.next_deadline() >= begin + 20ms);
  CHECK(must(loop.run_once(0s)) == 0);
  while (!has_slept) CHECK(loop.run_once());
  while (group.size() != 0) CHECK(loop.run_once(0s));
  CHECK_FALSE(loop.next_deadline());
  CHECK(loop.stats().timers == 1);
}

TEST_CASE("dump prints the tree of tasks, and what each waits for") {
  auto loop = must(Loop::create());
  auto listener = listen();
  const auto inner = [&]() -> Task<> { static_cast<void>(co_await listener.accept()); };
  const auto outer = [&]() -> Task<> {
    TaskGroup group(co_await this_task());
    group.spawn([]() -> Task<> { static_cast<void>(co_await sleep_for(1h)); });
    group.spawn(inner().named("acceptor"));
    static_cast<void>(co_await group.join());
  };
  TaskGroup group(loop);
  group.spawn(outer().named("server"));
  for (int i = 0; i != 3; ++i) REQUIRE(loop.run_once(0s));
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  loop.dump(file);
  std::rewind(file);
  std::string all(4096, '\0');
  all.resize(std::fread(all.data(), 1, all.size(), file));
  std::fclose(file);
  CAPTURE(all);
  CHECK(all.find("group\n  server: waits for the end of its group, ") == 0);
  CHECK(all.find("\n    group\n      task: waits for a time, ") != std::string::npos);
  CHECK(all.find("\n      acceptor: waits for accept, ") != std::string::npos);
}

}  // namespace
