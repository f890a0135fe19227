// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <reactor/export.hpp>

namespace reactor {

/// The time that programs of this library measure with: steady, and in the same steps as Poller::wait. In the library
/// it is std::chrono::steady_clock; in a simulated program (reactor::sim) it is the simulated time of the current
/// World. Any thread may ask.
struct REACTOR_API Clock {
  /// Nanoseconds, as of Poller::wait.
  using duration = std::chrono::nanoseconds;
  /// As std::chrono asks of a clock.
  using rep = duration::rep;
  /// As std::chrono asks of a clock.
  using period = duration::period;
  /// A moment by this clock.
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;  ///< never set back

  /// The time now.
  [[nodiscard]] static time_point now() noexcept;
};

}  // namespace reactor
