// SPDX-License-Identifier: MIT
//
// The log in a simulation, tested with doctest.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "scenario.hpp"

using namespace replicated_log;
namespace sim = reactor::sim;

TEST_CASE("every entry is in two logs, and in none twice") {
  for (const auto rules : {sim::Rules::of_linux, sim::Rules::of_windows}) {
    sim::CheckOptions options;
    options.world = busy_network(rules);
    const auto outcome = sim::check({1, 1000}, [](sim::World& world) { append_twenty(world, Mistake::none); }, options);
    CHECK_MESSAGE(outcome.passed, outcome.message);
  }
}

TEST_CASE("the mistake is found") {
  sim::CheckOptions options;
  options.world = busy_network(sim::Rules::of_linux);
  const auto outcome =
      sim::check({1, 1000}, [](sim::World& world) { append_twenty(world, Mistake::appends_again); }, options);
  REQUIRE_FALSE(outcome.passed);
  CHECK(outcome.message.find("is in one log twice") != std::string::npos);
}
