// SPDX-License-Identifier: MIT
// Wakes, time-outs, and one socket or one poller for many threads. Other threads count their errors, and the test's
// thread checks the count.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>

#include <reactor/clock.hpp>

using namespace parity;

namespace {

using Clock = reactor::Clock;

constexpr int threads_count = 10;

template <class Function>
void run_in_threads(int count, Function function) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) threads.emplace_back(function, i);
  for (std::thread& thread : threads) thread.join();
}

/// After a wake, waits without events end at once, so all of them take no longer than the slowest one.
constexpr seconds not_for_ever{5};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: a wake before a wait ends that wait, and no other") {
  Poller poller = make_poller();
  for (int i = 0; i < 100; ++i) {
    poller.waker().wake();
    const auto begin = Clock::now();
    CHECK(next(poller) == nothing);
    CHECK(Clock::now() - begin < not_for_ever);
    CHECK(next(poller, milliseconds(1)) == nothing);
  }
  CHECK(poller.stats().wakes == 100);
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: a wake during a wait ends it") {
  Poller poller = make_poller();
  Waiting waiting(poller);
  for (int i = 0; i < 1000; ++i) {
    poller.waker().wake();
    REQUIRE(waiting.take() == nothing);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "a wait without a time-out is ended by a wake and by an event") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  std::array<Event, 4> buffer;
  std::thread waking([&] { poller.waker().wake(); });
  CHECK(must(poller.wait(buffer)).empty());
  waking.join();
  std::thread sending([&] {
    constexpr std::byte byte{'x'};
    static_cast<void>(pair.client.send({&byte, 1}));
  });
  CHECK(reports_of(must(poller.wait(buffer))) == Reports{{1, readable}});
  sending.join();
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: a wake is not lost when events fill the buffer") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_write));
  std::array<Event, 1> buffer;
  const auto wakes_before = poller.stats().wakes;
  poller.waker().wake();
  // The wake may come with an event or in one of the next waits.
  for (int i = 0; i < 4; ++i) static_cast<void>(must(poller.wait(buffer, time_limit)));
  CHECK(poller.stats().wakes == wakes_before + 1);
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: a wake that comes with events is reported once") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_write));
  std::array<Event, 8> buffer;
  for (int round = 0; round < 50; ++round) {
    CHECK_FALSE(must(poller.wait(buffer, time_limit)).woken());
    poller.waker().wake();
    int woken = 0;
    for (int i = 0; i < 4; ++i) {
      const auto events = must(poller.wait(buffer, time_limit));
      woken += events.woken() ? 1 : 0;
      CHECK((events.woken() || reports_of(events.span()) == Reports{{1, writable}}));
    }
    CHECK(woken == 1);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "a wait that ends by a time-out or an event is not reported as woken") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  std::array<Event, 8> buffer;
  for (const nanoseconds timeout : {nanoseconds::zero(), nanoseconds(milliseconds(1))}) {
    const auto events = must(poller.wait(buffer, timeout));
    CHECK(events.empty());
    CHECK_FALSE(events.woken());
  }
  send_byte(pair.client);
  const auto events = must(poller.wait(buffer, time_limit));
  REQUIRE(events.size() == 1);
  CHECK(events.front().token() == Token{1});
  CHECK(events[0].readable());
  CHECK_FALSE(events.woken());
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "no lost wake: work that is posted with a wake each is all done, beside a busy socket") {
  constexpr int posts = 300;
  const Pair pair = make_pair();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_write));
  std::mutex mutex;
  std::vector<int> queue;
  std::atomic<int> taken = 0;
  std::atomic<bool> is_over = false;
  std::thread poster([&, waker = poller.waker()] {
    for (int i = 0; i < posts; ++i) {
      {
        const std::scoped_lock lock(mutex);
        queue.push_back(i);
      }
      waker.wake();
      while (i % 2 == 0 && taken <= i && !is_over) std::this_thread::yield();
    }
  });
  std::array<Event, 8> buffer;
  for (auto last = Clock::now(); taken < posts && Clock::now() - last < time_limit;) {
    if (!must(poller.wait(buffer, time_limit)).woken()) continue;
    const std::scoped_lock lock(mutex);
    taken += static_cast<int>(queue.size());
    queue.clear();
    last = Clock::now();
  }
  is_over = true;
  poster.join();
  CHECK(taken == posts);
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: wakes from ten threads at once are one packet") {
  Poller poller = make_poller();
  const Waker waker = poller.waker();
  run_in_threads(threads_count, [&](int) {
    for (int i = 0; i < 1000; ++i) waker.wake();
  });
  CHECK(poller.stats().post_calls == 1);
  CHECK(next(poller) == nothing);
  CHECK(poller.stats().wakes == 1);
  const auto begin = Clock::now();
  CHECK(next(poller, quiet) == nothing);
  CHECK(Clock::now() - begin >= quiet);  // no other wake was left
  CHECK(poller.stats().post_calls == 1);
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: wakes from ten threads during a wait are never lost") {
  constexpr int rounds = 500;
  Poller poller = make_poller();
  const Waker waker = poller.waker();
  std::array<std::atomic<int>, threads_count> asked{};
  std::atomic<int> completed = 0;  // rounds that the waiting thread has seen complete
  std::atomic<bool> is_late = false;
  std::thread wakers([&] {
    run_in_threads(threads_count, [&](int self) {
      for (int round = 1; round <= rounds && !is_late; ++round) {
        asked[static_cast<std::size_t>(self)] = round;
        waker.wake();
        while (completed < round && !is_late) std::this_thread::yield();
      }
    });
  });
  std::uint64_t waits = 0;
  while (completed < rounds && !is_late) {
    std::array<Event, 4> buffer;
    const auto begin = Clock::now();
    const auto events = poller.wait(buffer, time_limit);
    ++waits;
    // What was stored before a wake is visible after the wait that it ended.
    if (!events || !events->empty() || Clock::now() - begin >= time_limit) is_late = true;
    const auto lowest = std::ranges::min_element(asked, {}, [](const auto& value) { return value.load(); });
    completed = lowest->load();
  }
  wakers.join();
  CHECK_FALSE(is_late);
  const auto stats = poller.stats();
  CHECK(stats.post_calls <= stats.wakes + 1);
  CHECK(stats.post_calls <= waits + 1);
}

TEST_CASE_FIXTURE(NothingIsLeft, "time-outs: a wait never returns before its deadline") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  constexpr nanoseconds timeouts[]{nanoseconds(1),   nanoseconds(999),       std::chrono::microseconds(100),
                                   milliseconds(1),  nanoseconds(1'500'001), milliseconds(7),
                                   milliseconds(15), milliseconds(16),       milliseconds(50)};
  for (const nanoseconds timeout : timeouts) {
    for (int i = 0; i < 8; ++i) {
      CAPTURE(timeout.count());
      const auto begin = Clock::now();
      REQUIRE(next(poller, timeout) == nothing);
      const auto took = Clock::now() - begin;
      CHECK(took >= timeout);
      CHECK(took < timeout + not_for_ever);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "time-outs: a wait of zero does not block, and reports what is ready") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  const auto begin = Clock::now();
  for (int i = 0; i < 1000; ++i) REQUIRE(next(poller, nanoseconds::zero()) == nothing);
  CHECK(Clock::now() - begin < not_for_ever);
  send_byte(pair.client);
  CHECK(next(poller) == Reports{{1, readable}});
  for (int i = 0; i < 100; ++i) REQUIRE(next(poller, nanoseconds::zero()) == Reports{{1, readable}});
  for (int i = 0; i < 100; ++i) {  // also what was added just now
    must(registration.modify(i % 2 == 0 ? asks_both : asks_write));
    REQUIRE(next(poller, nanoseconds::zero()) == Reports{{1, i % 2 == 0 ? readable | writable : writable}});
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "time-outs: changes by another thread neither shorten nor prolong a wait") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_write, Mode::oneshot));
  CHECK(next(poller) == Reports{{1, writable}});
  std::atomic<bool> is_done = false;
  std::thread busy([&] {  // changes without events
    while (!is_done) {
      if (!registration.modify(asks_read)) return;
      if (!registration.modify(asks_nothing)) return;
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 5; ++i) {
    const auto begin = Clock::now();
    CHECK(next(poller, quiet) == nothing);
    CHECK(Clock::now() - begin >= quiet);
    CHECK(Clock::now() - begin < not_for_ever);
  }
  is_done = true;
  busy.join();
}

TEST_CASE_FIXTURE(NothingIsLeft, "one socket in ten pollers is reported by each of them, to ten threads") {
  const Pair pair = make_pair();
  constexpr int rounds = 50;
  std::vector<Poller> pollers;
  pollers.reserve(threads_count);
  for (int i = 0; i < threads_count; ++i) pollers.push_back(make_poller());
  std::mutex mutex;
  std::condition_variable changed;
  int right_reports = 0;  // of this round
  int round = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  threads.reserve(threads_count);
  for (int self = 0; self < threads_count; ++self) {
    threads.emplace_back([&, self] {
      Poller& poller = pollers[static_cast<std::size_t>(self)];
      const Token token{static_cast<std::uint64_t>(self)};
      auto registration = poller.add(pair.server.native(), token, asks_read, Mode::oneshot);
      if (!registration) ++wrong;
      std::array<Event, 4> buffer;
      for (int i = 1; registration && i <= rounds; ++i) {
        const auto events = poller.wait(buffer, time_limit);
        if (!events || reports_of(*events) != Reports{{std::to_underlying(token), readable}}) ++wrong;
        std::unique_lock lock(mutex);
        ++right_reports;
        changed.notify_all();
        // The byte must be read before a thread polls again.
        if (!changed.wait_for(lock, time_limit, [&] { return round >= i; })) ++wrong;
        lock.unlock();
        if (!registration->modify(asks_read)) ++wrong;
      }
    });
  }
  for (int i = 1; i <= rounds; ++i) {
    send_byte(pair.client);
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, 2 * time_limit, [&] { return right_reports == threads_count; }));
    CHECK(receive_all(pair.server) == 1);
    right_reports = 0;
    round = i;
    changed.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  pollers.clear();
}

TEST_CASE_FIXTURE(NothingIsLeft, "ten threads wait on one poller: each event goes to one of them") {
  constexpr std::uint64_t sockets = 20;
  constexpr int rounds = 20;
  Loopback loopback;
  Poller poller = make_poller();
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  for (std::uint64_t i = 0; i < sockets; ++i) {
    pairs.push_back(loopback.connect());
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read, Mode::oneshot)));
  }
  std::array<std::atomic<int>, sockets> times_reported{};
  std::atomic<int> wrong = 0;
  std::atomic<bool> is_done = false;
  std::vector<std::thread> threads;
  threads.reserve(threads_count);
  for (int i = 0; i < threads_count; ++i) {
    threads.emplace_back([&] {
      std::array<Event, 3> buffer;
      while (!is_done) {
        const auto events = poller.wait(buffer, time_limit);
        if (!events) {
          ++wrong;
          return;
        }
        for (const Event& event : *events) {
          const auto index = static_cast<std::size_t>(event.token());
          if (event.readiness() != readable || receive_all(pairs[index].server) != 1) ++wrong;
          if (!registrations[index].modify(asks_read)) ++wrong;
          ++times_reported[index];
        }
      }
    });
  }
  const auto deadline = Clock::now() + 2 * time_limit;
  for (int round = 1; round <= rounds; ++round) {
    for (const Pair& pair : pairs) send_byte(pair.client);
    const auto all_reported = [&] {
      return std::ranges::all_of(times_reported, [&](const auto& times) { return times >= round; });
    };
    while (!all_reported() && Clock::now() < deadline) std::this_thread::yield();
    for (const auto& times : times_reported) CHECK(times == round);
  }
  is_done = true;
  // One wake ends one wait: one for each thread, each after the wake before was received.
  std::thread waking([&] {
    for (const auto end = Clock::now() + time_limit; poller.stats().registrations != 0 && Clock::now() < end;) {
      poller.waker().wake();
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  registrations.clear();
  waking.join();
  CHECK(wrong == 0);
}
