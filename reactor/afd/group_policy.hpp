// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace reactor::afd {

/// What a slot remembers of how often it fires.
struct Heat {
  std::uint32_t last_fired = 0;  ///< the round
  std::int8_t score = 0;         ///< firings in close succession; below 0 after it made a group come back early
  std::uint8_t silences = 0;     ///< how often in a row its group came back without it
};

/// Who is polled together with others: those that fire again and again.
///
/// A request for n sockets of which k are ready costs about as much as 1 + n/entries_per_call calls, and saves k - 1 of
/// them. So a member is worth its place while it fires in more than one of entries_per_call requests, and a group while
/// it brings more than one event. Time is counted in rounds: waits that told of something. docs/performance.md has the
/// measurements behind each constant.
class GroupPolicy {
 public:
  static constexpr std::uint32_t near_rounds = 16;  ///< two firings no further apart are in close succession
  static constexpr std::int8_t hot_score = 2;       ///< this many in a row make a member
  static constexpr std::uint8_t patience = 16;      ///< a member that is silent so often in a row leaves
  static constexpr std::int8_t toggle_score = -64;  ///< who makes a group come back early has to earn it anew
  static constexpr std::size_t members_min = 2;
  static constexpr std::size_t members_per_room = 4;  ///< what does not fit into the room was asked for nothing
  static constexpr std::uint32_t pause_min = 16, pause_max = 1024;  ///< rounds without groups after refusals

  explicit GroupPolicy(bool is_on) noexcept : is_on_(is_on) {}

  [[nodiscard]] static bool is_hot(const Heat& heat) noexcept { return heat.score >= hot_score; }

  /// How many may be asked for in one request, now that there is room for so many events. Below members_min: none.
  [[nodiscard]] std::size_t members_max(std::size_t room) const noexcept {
    const bool is_paused = round_ - paused_at_ < pause_;
    return is_on_ && !is_paused && room > 1 ? room * members_per_room : 0;
  }

  /// A wait told of something.
  void end_round() noexcept { round_++; }

  void fired(Heat& heat) const noexcept {
    const bool is_near = round_ - heat.last_fired <= near_rounds;
    if (is_near) {
      heat.score = static_cast<std::int8_t>(std::min<int>(heat.score + 1, hot_score));
    } else if (!is_hot(heat)) {
      heat.score = std::min<std::int8_t>(heat.score, 0);
    }
    heat.last_fired = round_;
    heat.silences = 0;
  }
  /// Its group came back without it.
  static void was_silent(Heat& heat) noexcept {
    if (++heat.silences >= patience) heat = {.last_fired = heat.last_fired};
  }
  /// Its group had to be cancelled for it.
  static void cancelled_group(Heat& heat) noexcept { heat.score = toggle_score; }

  /// The kernel took a group's request, or refused it: one socket that was closed without being removed is enough. A
  /// program that keeps closing like that is served without groups for longer and longer.
  void was_taken() noexcept {
    if (++taken_ < pause_) return;
    taken_ = 0;
    pause_ /= 2;
  }
  void was_refused() noexcept {
    taken_ = 0;
    paused_at_ = round_;
    pause_ = std::clamp(pause_ * 2, pause_min, pause_max);
  }

 private:
  std::uint32_t round_ = near_rounds + 1;  // so that nothing has fired lately
  std::uint32_t paused_at_ = 0, pause_ = 0, taken_ = 0;
  bool is_on_;
};

}  // namespace reactor::afd
