// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <reactor/export.hpp>

namespace reactor {

/// The time that programs of this library measure with: steady, and in the same steps as Poller::wait. In the library
/// it is std::chrono::steady_clock; in a simulated program (reactor::sim) it is the simulated time of the current
/// World. Any thread may ask.
struct REACTOR_API Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;

  [[nodiscard]] static time_point now() noexcept;
};

}  // namespace reactor
