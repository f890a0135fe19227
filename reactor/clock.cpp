// SPDX-License-Identifier: MIT
#include <reactor/clock.hpp>

namespace reactor {

Clock::time_point Clock::now() noexcept {
  return time_point(std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace reactor
