// SPDX-License-Identifier: MIT
//
// The same with GoogleTest. Its assertions throw nothing, so the runner asks whether one has failed.
#include <gtest/gtest.h>

#include "scenario.hpp"

using namespace replicated_log;
namespace sim = reactor::sim;

TEST(ReplicatedLog, EveryEntryIsInTwoLogsAndInNoneTwice) {
  sim::CheckOptions options;
  options.world = busy_network(sim::Rules::of_linux);
  options.has_failed = [] { return HasFailure(); };
  const auto outcome = sim::check(
      {1, 1000},
      [](sim::World& world) {
        EXPECT_NO_THROW(append_twenty(world, Mistake::none));
        EXPECT_LT(world.elapsed(), std::chrono::minutes(1));
      },
      options);
  EXPECT_TRUE(outcome) << outcome.message;
}
