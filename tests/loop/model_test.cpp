// SPDX-License-Identifier: MIT
// Random trees of tasks, in virtual time, each from one seed, against a model of who may be stopped when. A seed that
// fails is played again by `loop_model_test --seeds FIRST COUNT`.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>

#include "virtual_time.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;
using std::errc;

unsigned current_seed = 0;
unsigned long long resumptions = 0;  // in all seeds: that they do something
unsigned long long cancellations = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  std::printf("seed %u: %s\n", current_seed, what);
  std::fflush(stdout);
  std::abort();
}

/// What the model knows of a scope: when it was stopped, if it was.
struct Scope {
  Scope* parent = nullptr;  // none behind a shield
  Clock::time_point stops_at = Clock::time_point::max();
  bool was_stopped = false;  // by a call, so at once
  int alive = 0;             // tasks in it

  /// At this very time the order decides.
  [[nodiscard]] bool may_be_stopped() const {
    const bool here = was_stopped || stops_at <= Clock::now();
    return here || (parent != nullptr && parent->may_be_stopped());
  }
  [[nodiscard]] bool must_be_stopped() const {
    const bool here = was_stopped || stops_at < Clock::now();
    return here || (parent != nullptr && parent->must_be_stopped());
  }
};

struct SeedRun {
  explicit SeedRun(unsigned seed) : random(seed), loop(loop_test::virtual_loop()) {}

  int below(int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); }
  Clock::duration some_time() { return std::chrono::milliseconds(below(20)); }

  std::mt19937 random;
  Loop loop;
  int alive = 0;
  int posted = 0;
  int posts_run = 0;
  int left = 300;  // tasks that may still be created
};

/// Of one task: in which scope it runs, and that it ends before its parent.
class Guard {
 public:
  Guard(SeedRun& run, Scope& scope) : run_(&run), scope_(&scope) {
    ++run_->alive;
    ++scope_->alive;
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    --run_->alive;
    --scope_->alive;
  }

 private:
  SeedRun* run_;
  Scope* scope_;
};

void judge(const Scope& scope, bool must_before, const Result<>& result) {
  if (result) {
    check(!must_before && !scope.must_be_stopped(), "an operation of a stopped task succeeded");
  } else {
    check(result.error() == errc::operation_canceled, "an operation failed with something else");
    ++cancellations;
    check(scope.may_be_stopped(), "an operation was cancelled, and nothing had stopped its task");
  }
}

Task<Result<>> node(SeedRun& run, Scope& scope, int depth);

Task<Result<>> sleeps(SeedRun& run, Scope& scope) {
  const bool must_before = scope.must_be_stopped();
  const auto deadline = Clock::now() + run.some_time();
  const auto slept = co_await sleep_until(deadline);
  judge(scope, must_before, slept);
  if (slept) check(Clock::now() >= deadline, "a sleep ended early");
  check(!slept || Clock::now() == deadline, "a sleep ended late");
  co_return slept;
}

// An operation with a time-out.
Task<> sleeps_at_most(SeedRun& run, Scope& scope) {
  const auto begin = Clock::now();
  const auto time = run.some_time();
  const auto limit = run.some_time();
  const auto slept = co_await with_timeout(limit, sleep_for(time));
  const auto took = Clock::now() - begin;
  if (slept) {
    check(took == time && time <= limit, "a sleep that outlasted its time-out succeeded");
  } else if (slept.error() == errc::timed_out) {
    check(took == limit && limit <= time, "a time-out at the wrong time");
  } else {
    judge(scope, false, slept);
  }
}

// What a task of a group reports to the model at its end, as the group learns of it.
Task<Result<>> member(SeedRun& run, Scope& group, bool stops_at_failure, int depth) {
  const auto result = co_await node(run, group, depth);
  const bool is_failure = !result && !(result.error() == errc::operation_canceled && group.may_be_stopped());
  if (is_failure && stops_at_failure) group.stops_at = std::min(group.stops_at, Clock::now());
  co_return result;
}

Task<Result<>> joins(SeedRun& run, Scope& scope, int depth) {
  Scope within{.parent = &scope};
  const bool stops = run.below(2) == 0;
  {
    TaskGroup group(co_await this_task(), stops ? OnFailure::stop : OnFailure::keep_going);
    for (int i = run.below(4); i >= 0; --i) group.spawn(member(run, within, stops, depth + 1));
    if (run.below(3) == 0) {
      static_cast<void>(co_await sleeps(run, scope));
      group.stop();
      within.was_stopped = true;
    }
    if (run.below(4) != 0) {  // else its tasks are destroyed where they stand
      const auto joined = co_await group.join();
      check(within.alive == 0 && group.size() == 0, "a task outlived the join of its group");
      if (!joined && joined.error() == errc::operation_canceled) check(within.may_be_stopped(), "a join was cancelled");
    }
  }
  check(within.alive == 0, "a task outlived its group");
  co_return Result<>();
}

Task<> limited(SeedRun& run, Scope& scope, int depth) {
  const auto begin = Clock::now();
  const auto deadline = begin + run.some_time();
  Scope within{.parent = &scope, .stops_at = deadline};
  const auto result = co_await with_deadline(deadline, node(run, within, depth + 1));
  check(within.alive == 0, "a task outlived its time-out");
  if (!result && result.error() == errc::timed_out) check(Clock::now() >= deadline, "a time-out came early");
}

Task<> behind_shield(SeedRun& run, int depth) {
  Scope within;
  static_cast<void>(co_await shielded(node(run, within, depth + 1)));
  check(within.alive == 0, "a task outlived its shield");
}

Task<Result<>> node(SeedRun& run, Scope& scope, int depth) {
  const Guard guard(run, scope);
  if (--run.left < 0 || depth > 6) co_return co_await sleeps(run, scope);
  for (int steps = run.below(6); steps >= 0; --steps) {
    switch (run.below(10)) {
      case 0:
      case 1: static_cast<void>(co_await sleeps(run, scope)); break;
      case 2: co_await sleeps_at_most(run, scope); break;
      case 3: {
        const bool must_before = scope.must_be_stopped();
        const auto yielded = co_await yield();
        judge(scope, must_before, yielded);
        break;
      }
      case 4:
      case 5: static_cast<void>(co_await joins(run, scope, depth)); break;
      case 6: co_await limited(run, scope, depth); break;
      case 7: co_await behind_shield(run, depth); break;
      case 8:
        ++run.posted;
        run.loop.post([&run] { ++run.posts_run; });
        break;
      default:
        if (run.below(12) == 0) co_return failure(errc::address_in_use);
    }
  }
  co_return Result<>();
}

void play(unsigned seed) {
  current_seed = seed;
  SeedRun run(seed);
  Scope top;
  const auto result = run.loop.run(node(run, top, 0));
  if (!result) check(result.error() != errc::timed_out, "a time-out that was not set");
  check(run.alive == 0 && top.alive == 0, "a task is left");
  const auto stats = run.loop.stats();
  check(stats.tasks == 0 && stats.armed_timers == 0, "a task or a timer is left in the loop");
  check(!run.loop.next_deadline(), "something is still to be done");
  while (run.posts_run != run.posted) {
    if (!run.loop.run_once(0s)) check(false, "run_once failed");
    check(stats.turns + 10 > run.loop.stats().turns, "a posted function was lost");
  }
  resumptions += stats.resumptions;
  check(run.loop.stats().posts == static_cast<unsigned>(run.posted), "a posted function ran twice");
}

}  // namespace

int main(int argc, char** argv) {
  unsigned first = 0;
  unsigned count = 10'000;
  if (argc == 4 && std::strcmp(argv[1], "--seeds") == 0) {
    first = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10));
    count = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
  }
  for (unsigned seed = first; seed != first + count; ++seed) play(seed);
  std::printf("%u seeds from %u: %llu resumptions, %llu operations cancelled, no difference from the model\n", count,
              first, resumptions, cancellations);
  // A failure at once ends many a tree, so this is not much for each; but it is not to become nothing.
  return count < 1000 || (resumptions > count * 10ULL && cancellations > count) ? 0 : 1;
}
