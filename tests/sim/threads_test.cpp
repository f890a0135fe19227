// SPDX-License-Identifier: MIT
//
// Real threads over the simulated kernel, for a race detector. The result does not depend on how they are scheduled:
// all data that is sent must be received, each sleeping thread must be woken, and nothing may be left.
#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>
#include <reactor/sim/sim_random.hpp>

using namespace reactor;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kept_pairs = 12, rounds = 150;
constexpr std::size_t no_end = ~std::size_t{0};
constexpr auto limit = 60s;
constexpr Token of_no_interest{1000};

struct Stage {
  sim::SimKernel kernel;
  std::optional<Poller> poller;
  std::vector<std::pair<sim::SocketNumber, sim::SocketNumber>> kept;
  std::vector<Registration> registrations;
  std::size_t modes;  // 1: all kept ones are level; 3: in turn level, oneshot and edge
  std::atomic<std::size_t> sent{0}, received{0}, wakes{0};
  std::atomic<int> serving{0};
  std::atomic<bool> is_over{false};

  Stage(const sim::Options& options, const PollerOptions& poller_options, std::size_t how_many_modes = 1)
      : kernel(options), modes(how_many_modes) {
    poller.emplace(poller_on(*afd::AfdBackend::create(kernel, poller_options)));
    for (std::size_t i = 0; i < kept_pairs; i++) {
      kept.push_back(kernel.net().tcp_pair());
      auto added = poller->add(static_cast<NativeSocket>(kept[i].first), Token{i}, Interest::readable, mode_of(i));
      REQUIRE(added.has_value());
      registrations.push_back(std::move(*added));
    }
  }

  [[nodiscard]] Mode mode_of(std::size_t i) const {
    constexpr std::array all{Mode::level, Mode::oneshot, Mode::edge};
    return all[i % modes];
  }

  void receive(std::size_t i) {
    for (;;) {
      const auto got = kernel.net().recv(kept[i].first, 7);
      if (!got || *got == 0) return;
      received += *got;
      if (mode_of(i) == Mode::level) return;
    }
  }

  void rearm(std::size_t i) {
    if (mode_of(i) == Mode::oneshot) CHECK(registrations[i].modify(Interest::readable).has_value());
    if (mode_of(i) == Mode::edge) CHECK(registrations[i].drained(Interest::readable).has_value());
  }

  // Waits without a time-out and handles its events. After `batches` batches it ends, and leaves the last batch unread.
  void serve_all_modes(std::size_t batches) {
    std::array<Event, 16> buffer;
    while (!is_over && batches > 0) {
      const auto events = poller->wait(buffer);
      if (!events) continue;
      bool is_batch = false;
      for (const Event& event : *events) {
        if (event.token() == of_no_interest) continue;
        if (!std::exchange(is_batch, true)) batches--;
        const auto i = static_cast<std::size_t>(event.token());
        if (batches > 0) receive(i);
        rearm(i);
      }
    }
    serving--;
  }

  // Waits and reads. Other threads read too, so there may be nothing to read any more.
  // Groups are formed by waits while no thread sleeps: for a sleeping thread each socket is polled at once.
  void serve(std::uint64_t seed, std::chrono::nanoseconds timeout) {
    sim::Random random(seed);
    std::array<Event, 16> buffer;
    while (!is_over) {
      const auto events = poller->wait(std::span(buffer).first(2 + random.below(buffer.size() - 1)), timeout);
      if (!events) continue;  // refused
      for (const Event& event : *events) {
        if (event.token() == of_no_interest) continue;
        if (const auto got = kernel.net().recv(kept[static_cast<std::size_t>(event.token())].first, 7))
          received += *got;
      }
    }
  }

  void send(std::size_t offset) {
    for (std::size_t round = 0; round < rounds; round++) {
      for (std::size_t i = 0; i < kept_pairs; i++) {
        if (const auto taken = kernel.net().send(kept[(i + offset) % kept_pairs].second, 1)) sent += *taken;
      }
      const auto end = std::chrono::steady_clock::now() + 5ms;  // rather a ping-pong than a flood
      while (received < sent && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }
  }

  // Sockets are added, modified, removed, and closed while registered. Their numbers are used again.
  void churn(std::uint64_t seed) {
    sim::Random random(seed);
    auto& net = kernel.net();
    while (!is_over) {
      const auto [a, b] = net.tcp_pair();
      auto added = poller->add(static_cast<NativeSocket>(a), of_no_interest, Interest::readable, Mode::oneshot);
      static_cast<void>(net.send(b, 1));
      if (added && random.chance(500)) static_cast<void>(added->modify(Interest::readable | Interest::writable));
      if (added && random.chance(300)) static_cast<void>(added->modify(Interest::readable, Mode::edge));
      if (added && random.chance(300)) static_cast<void>(added->drained(Interest::readable));
      if (added && random.chance(700)) static_cast<void>(added->remove());
      static_cast<void>(random.chance(300) ? net.reset(a) : net.close(a));
      static_cast<void>(net.close(b));
      std::this_thread::yield();
      static_cast<void>(poller->stats());
    }
  }

  // Kept ones change while they are polled, alone and in groups. One thread may use a registration at a time.
  void wake_and_modify(std::uint64_t seed) {
    sim::Random random(seed);
    const Waker waker = poller->waker();
    while (!is_over) {
      waker.wake();
      wakes++;
      const bool is_wide = random.chance(500);
      CHECK(registrations[modes * random.below(kept_pairs / modes)].modify(
          is_wide ? Interest::readable | Interest::priority : Interest::readable));
      std::this_thread::yield();
    }
  }
};

void run(const sim::Options& options, const PollerOptions& poller_options, std::chrono::nanoseconds timeout) {
  Stage stage(options, poller_options);
  std::deque<std::thread> senders, others;
  for (std::uint64_t i = 0; i < 3; i++) others.emplace_back([&stage, timeout, i] { stage.serve(i, timeout); });
  for (std::uint64_t i = 0; i < 2; i++) others.emplace_back([&stage, i] { stage.churn(10 + i); });
  others.emplace_back([&stage] { stage.wake_and_modify(20); });
  for (std::size_t i = 0; i < 2; i++) senders.emplace_back([&stage, i] { stage.send(5 * i); });
  for (auto& thread : senders) thread.join();
  const auto end = std::chrono::steady_clock::now() + limit;
  while (stage.received < stage.sent && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  stage.is_over = true;
  for (auto& thread : others) thread.join();
  CHECK(stage.received == stage.sent);
  CHECK(stage.sent == 2 * rounds * kept_pairs);
  const Stats stats = stage.poller->stats();
  CHECK(stats.wakes > 0);
  CHECK(stats.wakes <= stage.wakes);
  if (timeout == 0ns) CHECK(stats.group_arms > 0);
  stage.registrations.clear();
  stage.poller.reset();
  CHECK(stage.kernel.complaint() == "");
  CHECK(stage.kernel.held_requests() == 0);
  CHECK(stage.kernel.open_handles() == 0);
}

sim::Options options_of(std::uint64_t seed) {
  sim::Options options{.seed = seed};
  options.real_threads = true;
  options.flavour = seed % 2 == 0 ? sim::Flavour::windows : sim::Flavour::wine;
  return options;
}

}  // namespace

TEST_CASE("threads: eight threads with hot groups") { run(options_of(1), {}, 0ns); }

TEST_CASE("threads: eight threads, three of which sleep") { run(options_of(5), {.high_resolution = true}, 20ms); }

TEST_CASE("threads: eight threads without inline completions") {
  run(options_of(2), {.inline_completions = false}, 20ms);
}

TEST_CASE("threads: eight threads with delays and faults") {
  sim::Options options = options_of(3);
  options.flight = options.completion = options.packet = {0us, 200us};
  options.faults = {.spurious = 50,
                    .unasked_cancel = 50,
                    .cancel_late = 100,
                    .cancel_refused = 50,
                    .poll_refused = 20,
                    .post_refused = 50,
                    .dequeue_refused = 10,
                    .early_time_out = 300,
                    .shuffled_packet = 200};
  run(options, {.high_resolution = true}, 20ms);
}

// Without a time-out: what a thread has left must be armed by another one, or it is never received.
TEST_CASE("threads: four wait, others add, modify, drain, remove and wake, and one of the four ends") {
  for (const std::uint64_t seed : {6U, 7U}) {
    Stage stage(options_of(seed), {}, 3);
    std::deque<std::thread> senders, others;
    stage.serving = 4;
    for (const std::size_t batches : {no_end, no_end, no_end, std::size_t{20}}) {
      others.emplace_back([&stage, batches] { stage.serve_all_modes(batches); });
    }
    others.emplace_back([&stage] { stage.churn(10); });
    others.emplace_back([&stage] { stage.wake_and_modify(20); });
    for (std::size_t i = 0; i < 2; i++) senders.emplace_back([&stage, i] { stage.send(5 * i); });
    for (auto& thread : senders) thread.join();
    const auto end = std::chrono::steady_clock::now() + limit;
    while (stage.received < stage.sent && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    stage.is_over = true;
    while (stage.serving > 0 && std::chrono::steady_clock::now() < end + limit) {
      stage.poller->waker().wake();
      std::this_thread::yield();
    }
    for (auto& thread : others) thread.join();
    CHECK(stage.received == stage.sent);
    CHECK(stage.sent == 2 * rounds * kept_pairs);
    stage.registrations.clear();
    stage.poller.reset();
    CHECK(stage.kernel.complaint() == "");
    CHECK(stage.kernel.held_requests() == 0);
    CHECK(stage.kernel.open_handles() == 0);
  }
}

// Nothing else wakes the other three: after the grace period one of them has to arm what the fourth has left.
TEST_CASE("threads: the events of a thread that ended are reported to sleeping threads") {
  Stage stage(options_of(8), {});
  std::deque<std::thread> serving;
  stage.serving = 4;
  for (const std::size_t batches : {no_end, no_end, no_end, std::size_t{1}}) {
    serving.emplace_back([&stage, batches] { stage.serve_all_modes(batches); });
  }
  const auto end = std::chrono::steady_clock::now() + limit;
  const auto is_late = [end] { return std::chrono::steady_clock::now() >= end; };
  // One at a time, so that the others sleep when the fourth gets its event.
  for (std::size_t i = 0; stage.serving == 4 && !is_late(); i++) {
    CHECK(stage.kernel.net().send(stage.kept[i % kept_pairs].second, 1) == 1);
    stage.sent++;
    while (stage.received < stage.sent && stage.serving == 4 && !is_late()) std::this_thread::yield();
  }
  CHECK(stage.serving == 3);
  while (stage.received < stage.sent && !is_late()) std::this_thread::yield();
  CHECK(stage.received == stage.sent);
  stage.is_over = true;
  while (stage.serving > 0) {
    stage.poller->waker().wake();
    std::this_thread::yield();
  }
  for (auto& thread : serving) thread.join();
}

// Each wake ends a wait: all of three that sleep without a time-out.
TEST_CASE("threads: each sleeping thread is woken") {
  sim::SimKernel kernel(options_of(4));
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  for (int round = 0; round < 50; round++) {
    std::atomic<int> awake{0};
    std::deque<std::thread> sleepers;
    for (int i = 0; i < 3; i++) {
      sleepers.emplace_back([&] {
        std::array<Event, 4> buffer;
        CHECK(poller.wait(buffer).has_value());
        awake++;
      });
    }
    for (int woken = 0; woken < 3; woken++) {
      poller.waker().wake();
      while (awake <= woken) std::this_thread::yield();  // another wake before that would be the same wake
    }
    for (auto& thread : sleepers) thread.join();
  }
  CHECK(poller.stats().wakes == 150);
}
