// SPDX-License-Identifier: MIT
//
// The same with Catch2, of version 2 or 3.
#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_test_macros.hpp>
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

#include "scenario.hpp"

using namespace replicated_log;
namespace sim = reactor::sim;

TEST_CASE("every entry is in two logs, and in none twice") {
  sim::CheckOptions options;
  options.world = busy_network(sim::Rules::of_linux);
  const auto outcome = sim::check(
      {1, 1000},
      [](sim::World& world) {
        append_twenty(world, Mistake::none);
        REQUIRE(world.elapsed() < std::chrono::minutes(1));
      },
      options);
  INFO(outcome.message);
  CHECK(outcome.passed);
}

TEST_CASE("what REQUIRE finds in a simulated program fails its seed") {
  sim::CheckOptions options;
  options.trace_folder = "";
  const auto outcome = sim::check(
      {1, 20}, [](sim::World& world) { world.host("a").run([] { REQUIRE(sim::World::current()->seed() != 7); }); },
      options);
  CHECK_FALSE(outcome.passed);
  CHECK(outcome.seed == 7);
}
