// SPDX-License-Identifier: MIT
//
// The model check on every system that the tests run on; sim_check does the same for as many seeds as one likes.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model_world.hpp"

using namespace reactor::sim::model;

TEST_CASE("model: 400 seeds") {
  Totals totals;
  for (std::uint64_t seed = 0; seed < 400; seed++) {
    CAPTURE(seed);  // sim_replay shows it
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
  }
  MESSAGE(describe(totals));
  // It is no check when nothing happens.
  CHECK(totals.events > 400 * 20);
  CHECK(totals.group_arms > 400);
  CHECK(totals.wakes > 400);
  CHECK(totals.denied > 10);
  CHECK(totals.replaced > 400);
  CHECK(totals.not_afd > 10);
  CHECK(totals.deferred > 5);
}

TEST_CASE("model: more hot sockets than a group has room for") {
  for (const std::uint64_t seed : {499U, 999U, 1499U}) {
    CAPTURE(seed);
    Totals totals;
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
    CHECK(totals.group_members_max == 256);
  }
}

TEST_CASE("model: more packets, and a larger buffer, than one dequeue takes") {
  for (const std::uint64_t seed : {249U, 1249U, 2249U}) {
    CAPTURE(seed);
    Totals totals;
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
    CHECK(totals.packets_max == 256);
  }
}

TEST_CASE("model: a seed is the same run each time") {
  const auto run_of = [](std::uint64_t seed) {
    std::string text;
    Program program = make_program(seed);
    program.options.trace = [&](std::string_view line) { (text += line) += '\n'; };
    const World::Log log = [&](std::string_view line) { (text += line) += '\n'; };
    CHECK(run(program, &log).value_or("") == "");
    return text;
  };
  for (const std::uint64_t seed : {1U, 2U, 3U}) CHECK(run_of(seed) == run_of(seed));
  CHECK(run_of(4) != run_of(5));
}

TEST_CASE("model: any bytes are a program") {
  reactor::sim::Random random(1);
  for (int i = 0; i < 100; i++) {
    std::vector<std::uint8_t> bytes(random.below(300));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    CHECK(run(decode_program(bytes)).value_or("") == "");
  }
}
