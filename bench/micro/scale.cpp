// SPDX-License-Identifier: MIT
// How the library's own cost grows: bench_scale sockets [...] with the number of registrations, bench_scale pollers
// [...] with the number of Pollers, each in a thread of its own. Measures the AFD backend over a kernel that costs next
// to nothing. Prints a line of JSON for each number.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>
#include <reactor/poller.hpp>

#include "../common/arguments.hpp"
#include "../common/json.hpp"
#include "../common/value_or_fail.hpp"
#include "memory_touches.hpp"
#include "null_kernel.hpp"

namespace bench {

namespace {

using reactor::Event, reactor::Interest, reactor::Token;
using namespace std::chrono_literals;

constexpr std::size_t batch = 256;  // operations between two waits
constexpr std::size_t operations = 20'000;

/// CPU time of this thread: other programs do not count, except that they share the caches.
std::uint64_t cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000) + static_cast<std::uint64_t>(time.tv_nsec);
}

/// The cost of one kind of operation, in one pass.
class Cost {
 public:
  /// Without `each`: times `count` operations together, for the mean. With it: one by one, for the longest; reading the
  /// clock costs more than most of them, so these give no mean.
  template <class Operation>
  void measure(bool each, std::size_t count, Operation&& operation) {
    const std::uint64_t begin = cpu_ns();
    std::uint64_t last = begin;
    for (std::size_t i = 0; i < count; i++) {
      operation(i);
      if (!each) continue;
      const std::uint64_t now = cpu_ns();
      longest_ns_ = std::max(longest_ns_, now - last);
      last = now;
    }
    if (!each) add(cpu_ns() - begin, count);
  }

  /// One call that does the work of `count`.
  template <class Operation>
  void measure_shared(std::size_t count, Operation&& operation) {
    const std::uint64_t begin = cpu_ns();
    operation();
    add(cpu_ns() - begin, count);
  }

  [[nodiscard]] double mean_ns() const {
    return count_ == 0 ? 0 : static_cast<double>(total_ns_) / static_cast<double>(count_);
  }
  [[nodiscard]] std::uint64_t longest_ns() const { return longest_ns_; }

 private:
  void add(std::uint64_t ns, std::size_t count) {
    total_ns_ += ns;
    count_ += count;
  }

  std::uint64_t total_ns_ = 0, count_ = 0, longest_ns_ = 0;
};

constexpr std::array operation_names{
    "add", "arm", "remove", "dequeue_cancelled", "add_again", "arm_again", "modify", "event", "churn", "empty"};

struct Costs {
  Cost add, arm, remove, dequeue_cancelled, add_again, arm_again, modify, event, churn, empty;

  [[nodiscard]] std::array<const Cost*, operation_names.size()> all() const {
    return {&add, &arm, &remove, &dequeue_cancelled, &add_again, &arm_again, &modify, &event, &churn, &empty};
  }
};

/// The smallest value of several passes: other load on the machine can make a pass slower, never faster.
class Least {
 public:
  void take(double value) { value_ = value > 0 && (value_ == 0 || value < value_) ? value : value_; }
  [[nodiscard]] double value() const { return value_; }

 private:
  double value_ = 0;  // 0: none yet
};

/// A Poller with `sockets` registrations, all of them armed and idle.
class Setting {
 public:
  Setting(std::size_t sockets, bool each, Costs& costs) : registrations_(sockets), each_(each), costs_(costs) {
    kernel_.completes = NullKernel::Completes::never;
    // Groups are off: sockets that fire at random, a few hundred in a million, would not form any.
    const reactor::PollerOptions options{.inline_completions = true, .hot_groups = false};
    poller_ = std::make_unique<reactor::Poller>(
        reactor::poller_on(value_or_fail(reactor::afd::AfdBackend::create(kernel_, options), "create")));
    for (std::size_t i = 0; i < sockets; i += batch) {
      const std::size_t count = std::min(batch, sockets - i);
      costs.add.measure(each, count, [&](std::size_t k) { add(i + k); });
      costs.arm.measure_shared(count, [&] { wait_until_pending(i + count); });
    }
  }

  /// Removes random registrations and adds them again.
  void remove_and_add() {
    const auto chosen = choose();
    costs_.remove.measure(each_, batch, [&](std::size_t i) { remove(chosen[i]); });
    costs_.dequeue_cancelled.measure_shared(batch, [&] { wait_until_pending(registrations_.size() - batch); });
    costs_.add_again.measure(each_, batch, [&](std::size_t i) { add(chosen[i]); });
    costs_.arm_again.measure_shared(batch, [&] { wait_until_pending(registrations_.size()); });
  }

  /// Random registrations get an interest that their polls do not cover, and then the old one again.
  void modify() {
    const auto chosen = choose();
    constexpr auto wide = Interest::readable | Interest::writable;
    costs_.modify.measure(each_, batch,
                          [&](std::size_t i) { value_or_fail(registrations_[chosen[i]].modify(wide), "modify"); });
    rearm();
    for (const std::size_t i : chosen) value_or_fail(registrations_[i].modify(Interest::readable), "modify");
    rearm();
  }

  /// Random registrations fire: the wait that delivers the events, and the wait that arms them again.
  void fire() {
    std::size_t fired = 0;
    while (fired < batch) fired += kernel_.fire(random_() % kernel_.requests()) ? 1U : 0U;
    costs_.event.measure_shared(batch, [&] {
      std::size_t delivered = 0;
      while (const std::size_t events = wait()) delivered += events;
      if (delivered != batch) fail("not all events were delivered");
    });
  }

  /// All slots are in use; a registration on the first helper handle is removed and added, again and again.
  void churn() {
    costs_.churn.measure(each_, batch, [&](std::size_t) {
      remove(0);
      wait();
      add(0);
      wait();
    });
  }

  /// Removes all, in random order.
  void empty() {
    std::vector<std::size_t> order(registrations_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, random_);
    for (std::size_t i = 0; i < order.size(); i += batch) {
      costs_.empty.measure(each_, std::min(batch, order.size() - i), [&](std::size_t k) { remove(order[i + k]); });
      wait_until_pending(order.size() - std::min(order.size(), i + batch));
    }
  }

  [[nodiscard]] std::uint64_t memory_bytes() const { return poller_->stats().memory_bytes; }

 private:
  void add(std::size_t i) {
    const auto socket = static_cast<reactor::NativeSocket>(0x1000 + (i * 4));
    registrations_[i] = value_or_fail(poller_->add(socket, Token{i}, Interest::readable), "add");
  }
  void remove(std::size_t i) { value_or_fail(registrations_[i].remove(), "remove"); }

  std::size_t wait() { return value_or_fail(poller_->wait(buffer_, 0ms), "wait").size(); }

  /// Waits until the kernel holds that many polls. One wait is enough, as nothing is ready: it arms what is marked and
  /// dequeues what was cancelled.
  void wait_until_pending(std::size_t count) {
    for (int waits = 0; waits < 1000; waits++) {
      wait();
      if (poller_->stats().pending_polls == count) return;
    }
    fail("the kernel holds " + std::to_string(poller_->stats().pending_polls) + " polls, not " + std::to_string(count));
  }

  // The first wait cancels the polls that do not cover the interest; the next dequeues those and submits new ones.
  void rearm() {
    wait();
    wait();
    wait_until_pending(registrations_.size());
  }

  std::vector<std::size_t> choose() {
    std::vector<std::size_t> chosen;
    chosen.reserve(batch);
    while (chosen.size() < batch) {
      while (chosen.size() < batch) chosen.push_back(random_() % registrations_.size());
      std::ranges::sort(chosen);
      chosen.erase(std::ranges::unique(chosen).begin(), chosen.end());
    }
    std::ranges::shuffle(chosen, random_);
    return chosen;
  }

  NullKernel kernel_;
  std::unique_ptr<reactor::Poller> poller_;
  std::vector<reactor::Registration> registrations_;
  std::array<Event, batch> buffer_;
  std::mt19937_64 random_{1};
  bool each_;
  Costs& costs_;
};

void run_all(Setting& setting) {
  for (std::size_t i = 0; i < operations; i += batch) setting.remove_and_add();
  for (std::size_t i = 0; i < operations; i += batch) setting.modify();
  for (std::size_t i = 0; i < operations; i += batch) setting.fire();
  for (std::size_t i = 0; i < operations / 4; i += batch) setting.churn();
  setting.empty();
}

Json measure_sockets(std::size_t sockets, std::size_t passes) {
  std::array<std::array<Least, 2>, operation_names.size()> least;  // of the means, and of the longest operations
  std::uint64_t memory_bytes = 0;
  for (std::size_t pass = 0; pass < passes * 2; pass++) {
    Costs costs;
    Setting setting(sockets, pass % 2 == 1, costs);
    memory_bytes = setting.memory_bytes();
    run_all(setting);
    for (std::size_t i = 0; const Cost* cost : costs.all()) {
      // A wait does the work of many, so it has a mean in both kinds of pass.
      least[i][0].take(cost->mean_ns());
      least[i++][1].take(static_cast<double>(cost->longest_ns()));
    }
  }
  MemoryTouches touches(sockets, static_cast<std::size_t>(memory_bytes / sockets));
  Least baseline;
  for (std::size_t pass = 0; pass < passes + 1; pass++) {  // the first begins with cold caches
    Cost cost;
    cost.measure(false, operations * 2, [&](std::size_t) { touches.touch(); });
    baseline.take(cost.mean_ns());
  }
  Json json, costs;
  for (std::size_t i = 0; i < operation_names.size(); i++) {
    Json cost;
    cost.add("ns", least[i][0].value());
    if (least[i][1].value() > 0) cost.add("longest_ns", least[i][1].value());
    costs.add(operation_names[i], cost);
  }
  json.add("sockets", sockets).add("memory_bytes", memory_bytes).add("baseline_ns", baseline.value());
  return json.add("costs", costs);
}

/// One Poller with 64 sockets that are always ready, in a thread of its own.
struct Loop {
  std::uint64_t events = 0, used_ns = 0;

  void run(NullKernel& kernel, std::size_t first, std::chrono::milliseconds time) {
    reactor::Poller poller = reactor::poller_on(value_or_fail(reactor::afd::AfdBackend::create(kernel, {}), "create"));
    std::vector<reactor::Registration> registrations;
    for (std::size_t i = 0; i < 64; i++) {
      const auto socket = static_cast<reactor::NativeSocket>((first + i) * 4);
      registrations.push_back(value_or_fail(poller.add(socket, Token{i}, Interest::readable), "add"));
    }
    std::array<Event, 256> buffer;
    const auto end = std::chrono::steady_clock::now() + time;
    const std::uint64_t begin_ns = cpu_ns();
    std::uint64_t count = 0;  // a local: the objects of two threads may share a cache line
    while (std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 64; i++) count += value_or_fail(poller.wait(buffer, 0ms), "wait").size();
    }
    used_ns = cpu_ns() - begin_ns;
    events = count;
  }
};

/// CPU time per event, and events a second in all.
struct Throughput {
  double ns_per_event, events_per_second;
};

Throughput run_pollers(std::size_t pollers, std::chrono::milliseconds time) {
  NullKernel kernel;
  std::vector<Loop> loops(pollers);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < pollers; i++) {
    threads.emplace_back([&, i] { loops[i].run(kernel, 1024 * (i + 1), time); });
  }
  threads.clear();  // joins
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::uint64_t events = 0, used_ns = 0;
  for (const Loop& loop : loops) {
    events += loop.events;
    used_ns += loop.used_ns;
  }
  return {static_cast<double>(used_ns) / static_cast<double>(events), static_cast<double>(events) / took.count()};
}

/// In each pass all numbers in turn, so that other load on the machine affects all of them alike.
void measure_pollers(const std::vector<std::uint64_t>& counts, std::chrono::milliseconds time, std::size_t passes) {
  std::vector<Least> ns_per_event(counts.size());
  std::vector<double> events_per_second(counts.size());
  for (std::size_t pass = 0; pass < passes; pass++) {
    for (std::size_t i = 0; i < counts.size(); i++) {
      const Throughput one = run_pollers(counts[i], time);
      ns_per_event[i].take(one.ns_per_event);
      events_per_second[i] = std::max(events_per_second[i], one.events_per_second);
    }
  }
  for (std::size_t i = 0; i < counts.size(); i++) {
    Json json;
    json.add("pollers", counts[i]).add("cpu_ns_per_event", ns_per_event[i].value());
    std::printf("%s\n", json.add("events_per_second", events_per_second[i]).text().c_str());
  }
}

}  // namespace

}  // namespace bench

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  bench::Arguments arguments(argc - (argc > 1 ? 1 : 0), argv + (argc > 1 ? 1 : 0));
  const std::vector<std::uint64_t> counts = arguments.numbers("--counts");
  const std::chrono::milliseconds time(arguments.number("--ms", 100, 1, 60'000));
  const std::size_t passes = arguments.number("--passes", 2, 1, 100);
  arguments.finish();
  if (what == "pollers") {
    bench::measure_pollers(counts, time, passes);
  } else if (what == "sockets") {
    for (const std::uint64_t count : counts) {
      std::printf("%s\n", bench::measure_sockets(count, passes).text().c_str());
      std::fflush(stdout);
    }
  } else {
    bench::fail("the first argument must be sockets or pollers, not '" + what + "'");
  }
}
