// SPDX-License-Identifier: MIT
// Four threads wait on one Poller. They count their errors, and the test's thread checks the count.
#include "support.hpp"

#include <array>
#include <atomic>
#include <chrono>

#include <reactor/clock.hpp>

using namespace parity;

namespace {

using Clock = reactor::Clock;

constexpr int waiting_count = 4;

/// Four threads wait on one Poller until the end. 64 clients send a byte each, in rounds. The thread that gets the
/// event of a socket receives the byte.
struct Crowd {
  static constexpr std::size_t sockets = 64;
  static constexpr std::size_t rounds = 25;
  static constexpr std::size_t messages = sockets * rounds;

  Mode mode;
  Loopback loopback;
  Poller poller = make_poller();
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t received = 0;
  std::atomic<std::size_t> events = 0, wrong = 0;
  std::atomic<int> waiting = 0;
  std::atomic<bool> is_done = false;

  explicit Crowd(Mode how) : mode(how) {
    for (std::uint64_t i = 0; i < sockets; ++i) {
      pairs.push_back(loopback.connect());
      registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read, mode)));
    }
  }

  void handle(const Event& event) {
    const auto index = static_cast<std::size_t>(event.token());
    ++events;
    const std::size_t bytes = receive_all(pairs[index].server);
    if (event.readiness() != readable || bytes > 1) ++wrong;
    if (mode == Mode::oneshot && (bytes != 1 || !registrations[index].modify(asks_read))) ++wrong;
    if (bytes == 0) return;
    const std::scoped_lock lock(mutex);
    ++received;
    if (received % sockets == 0) changed.notify_all();
  }

  void wait_and_handle() {
    std::array<Event, sockets> buffer;
    while (!is_done) {
      const auto given = poller.wait(buffer, time_limit);
      if (!given || (given->empty() && !given->woken())) {
        ++wrong;
        break;
      }
      for (const Event& event : *given) handle(event);
    }
    --waiting;
  }

  void run() {
    waiting = waiting_count;
    std::vector<std::thread> threads;
    threads.reserve(waiting_count);
    for (int i = 0; i < waiting_count; ++i) threads.emplace_back([this] { wait_and_handle(); });
    bool is_late = false;
    for (std::size_t round = 1; round <= rounds && !is_late; ++round) {
      for (const Pair& pair : pairs) send_byte(pair.client);
      std::unique_lock lock(mutex);
      is_late = !changed.wait_for(lock, time_limit, [&] { return received >= round * sockets; });
    }
    is_done = true;
    for (const auto end = Clock::now() + 2 * time_limit; waiting > 0 && Clock::now() < end;) {
      poller.waker().wake();
      std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_FALSE(is_late);
    CHECK(wrong == 0);
    CHECK(received == messages);
    for (const Pair& pair : pairs) CHECK(available(pair.server) == 0);
  }
};

/// The most calls on a slow machine. An event that comes alone costs a dequeue, a poll of its group and one of its own,
/// sometimes one more when it leaves a group, a nudge (a post and a dequeue), a dequeue without a packet, and a poll
/// without an event. Wakes and the polls of add are counted apart.
void check_calls(const Crowd& crowd) {
  if (!is_windows()) return;
  const auto stats = crowd.poller.stats();
  CHECK(stats.events == crowd.events);
  const std::uint64_t for_wakes = 3 * (stats.wakes + waiting_count);
  const std::uint64_t for_add = 8 * Crowd::sockets;
  MESSAGE("kernel calls: ", stats.kernel_calls(), " for ", Crowd::messages, " messages in ", stats.events, " events");
  CHECK(stats.kernel_calls() <= 8 * stats.events + for_wakes + for_add);
}

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "four threads wait on one poller, level: each byte of 64 sockets is received once") {
  Crowd crowd(Mode::level);
  crowd.run();
  CHECK(crowd.events >= Crowd::messages);
  // Until a byte is received, each thread can get its event once. In addition, a thread can get an event whose byte
  // another thread has just received.
  CHECK(crowd.events <= (waiting_count + 1) * Crowd::messages);
  check_calls(crowd);
}

TEST_CASE_FIXTURE(NothingIsLeft, "four threads wait on one poller, oneshot: each byte of 64 sockets is one event") {
  Crowd crowd(Mode::oneshot);
  crowd.run();
  CHECK(crowd.events == Crowd::messages);
  check_calls(crowd);
}

TEST_CASE_FIXTURE(NothingIsLeft, "no lost wake: wakes from eight threads to four waiting ones are never lost") {
  constexpr std::size_t wakers_count = 8;
  constexpr int rounds = 100;
  Poller poller = make_poller();
  const Waker waker = poller.waker();
  std::array<std::atomic<int>, wakers_count> asked{}, seen{};
  std::atomic<bool> is_late = false, is_done = false;
  std::atomic<int> waiting = waiting_count;
  std::atomic<std::uint64_t> woken = 0;
  const auto wait = [&] {
    std::array<Event, 4> buffer;
    while (!is_done) {
      const auto events = poller.wait(buffer, time_limit);
      if (!events || !events->empty() || !events->woken()) {
        is_late = true;
        break;
      }
      ++woken;
      // What was stored before a wake is visible to the thread whose wait it has ended.
      for (std::size_t i = 0; i < wakers_count; ++i) {
        const int value = asked[i];
        for (int old = seen[i]; old < value && !seen[i].compare_exchange_weak(old, value);) {
        }
      }
    }
    --waiting;
  };
  std::vector<std::thread> threads;
  threads.reserve(waiting_count);
  for (int i = 0; i < waiting_count; ++i) threads.emplace_back(wait);
  const auto storm = [&](std::size_t self) {
    for (int round = 1; round <= rounds && !is_late; ++round) {
      asked[self] = round;
      waker.wake();
      while (seen[self] < round && !is_late) std::this_thread::yield();
    }
  };
  std::vector<std::thread> wakers;
  wakers.reserve(wakers_count);
  for (std::size_t i = 0; i < wakers_count; ++i) wakers.emplace_back(storm, i);
  for (std::thread& thread : wakers) thread.join();
  is_done = true;
  for (const auto end = Clock::now() + 2 * time_limit; waiting > 0 && Clock::now() < end;) {
    waker.wake();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(is_late);
  const auto stats = poller.stats();
  CHECK(stats.wakes == woken);
  CHECK(stats.post_calls <= stats.wakes + 1);  // the last may have come after the last wait
}
