// SPDX-License-Identifier: MIT
// What a timer of reactor::loop costs when so many are armed already: bench_timers. Nanoseconds for each operation.
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include <reactor/loop/context.hpp>
#include <reactor/loop/timers.hpp>

namespace {

using reactor::Clock;
using reactor::detail::Timers;
using namespace std::chrono_literals;

class Owner final : public reactor::detail::Operation {
 public:
  void cancel() noexcept override {}
  const char* what() const noexcept override { return "nothing"; }
};

template <class Work>
double ns_each(std::size_t count, Work work) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i != count; ++i) work(i);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count() /
         static_cast<double>(count);
}

void measure(std::size_t armed) {
  constexpr std::size_t count = 1'000'000;
  std::mt19937_64 random(1);
  Timers timers;
  Owner owner;
  std::vector<Timers::Slot*> slots(armed);
  std::vector<Clock::duration> times(armed);
  std::vector<std::size_t> order(count);
  for (auto& time : times) time = Clock::duration(random() % 60'000'000'000);
  for (auto& at : order) at = random() % armed;
  const double arm = ns_each(armed, [&](std::size_t i) { slots[i] = timers.arm(Clock::time_point(times[i]), owner); });
  // As connections do: cancel one of many, and arm it again later.
  const double rearm = ns_each(count, [&](std::size_t i) {
    Timers::Slot*& slot = slots[order[i]];
    timers.cancel(*slot);
    slot = timers.arm(Clock::time_point(60s + Clock::duration(i)), owner);
  });
  const double move = ns_each(
      count, [&](std::size_t i) { timers.move(slots[order[i]], Clock::time_point(120s + Clock::duration(i))); });
  // To earlier times, at random: the worst that can be asked.
  const double random_again = ns_each(count, [&](std::size_t i) {
    Timers::Slot*& slot = slots[order[i]];
    timers.cancel(*slot);
    slot = timers.arm(Clock::time_point(times[i % armed]), owner);
  });
  std::size_t expired = 0;
  const double expire = ns_each(1, [&](std::size_t) {
    while (timers.armed() != 0) expired += timers.expire(Clock::time_point(1h)).owner != nullptr ? 1 : 0;
  });
  std::printf(
      "%8zu armed: arm %.0f, cancel and arm later %.0f, move later %.0f, cancel and arm at random %.0f, expire %.0f\n",
      armed, arm, rearm, move, random_again, expire / static_cast<double>(expired));
}

}  // namespace

int main() {
  for (const std::size_t armed : {1'000UL, 100'000UL, 1'000'000UL}) measure(armed);
}
