// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace reactor::afd {

/// What a slot remembers of how often it fires.
struct Activity {
  std::uint32_t last_fired = 0;  ///< the round
  std::int8_t score = 0;         ///< firings in close succession; below 0 after a group was cancelled for it
  std::uint8_t idle_rounds = 0;  ///< how often in succession its group completed without it
};

/// Which registrations are polled together: those that fire again and again (hot ones).
///
/// A request for n sockets of which k are ready costs about as much as 1 + n/16 calls, and saves k - 1 of them. So a
/// member is worth its place while it fires in more than one of 16 requests, and a group while it brings more than one
/// event. Time is counted in rounds: waits that delivered something. docs/performance/tuning.md has what is behind
/// each constant.
class GroupPolicy {
 public:
  static constexpr std::uint32_t near_rounds = 16;     ///< two firings no further apart are in close succession
  static constexpr std::int8_t hot_score = 2;          ///< this many in a row make a member
  static constexpr std::uint8_t idle_rounds_max = 16;  ///< a member that did not fire so often in a row leaves
  static constexpr std::int8_t toggle_score = -64;     ///< after a group was cancelled for a member
  static constexpr std::size_t members_min = 2;
  static constexpr std::size_t members_per_event = 4;  ///< what does not fit into the buffer was polled in vain
  static constexpr std::uint32_t pause_min = 16, pause_max = 1024;  ///< rounds without groups after refusals

  explicit GroupPolicy(bool is_on) noexcept : is_on_(is_on) {}

  [[nodiscard]] static bool is_hot(const Activity& activity) noexcept { return activity.score >= hot_score; }

  /// How many may be asked for in one request whose events go to a buffer with this many left. Below members_min: none.
  [[nodiscard]] std::size_t members_max(std::size_t events_left) const noexcept {
    const bool is_paused = round_ - paused_at_ < pause_;
    return is_on_ && !is_paused && events_left > 1 ? events_left * members_per_event : 0;
  }

  /// A wait delivered something.
  void end_round() noexcept { round_++; }

  void fired(Activity& activity) const noexcept {
    const bool is_near = round_ - activity.last_fired <= near_rounds;
    if (is_near) {
      activity.score = static_cast<std::int8_t>(std::min<int>(activity.score + 1, hot_score));
    } else if (!is_hot(activity)) {
      activity.score = std::min<std::int8_t>(activity.score, 0);
    }
    activity.last_fired = round_;
    activity.idle_rounds = 0;
  }
  /// Its group completed with events of others only.
  static void did_not_fire(Activity& activity) noexcept {
    if (++activity.idle_rounds >= idle_rounds_max) activity = {.last_fired = activity.last_fired};
  }
  /// Its group had to be cancelled for it.
  static void cancelled_group(Activity& activity) noexcept { activity.score = toggle_score; }

  /// The kernel took a group's request, or refused it: one socket that was closed without being removed is enough. A
  /// program that keeps closing like that gets no groups for longer and longer.
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
