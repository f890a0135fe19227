// SPDX-License-Identifier: MIT
#include <reactor/clock.hpp>

#include <doctest/doctest.h>

TEST_CASE("the clock is the system's steady clock") {
  const auto system_before = std::chrono::steady_clock::now().time_since_epoch();
  const auto now = reactor::Clock::now().time_since_epoch();
  const auto later = reactor::Clock::now().time_since_epoch();
  const auto system_after = std::chrono::steady_clock::now().time_since_epoch();
  CHECK(now >= system_before);
  CHECK(later >= now);
  CHECK(later <= system_after);
}
