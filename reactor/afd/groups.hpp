// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/group.hpp>
#include <reactor/afd/group_policy.hpp>
#include <reactor/afd/polls.hpp>

namespace reactor::afd {

/// Forms groups: which of the registrations that are to be armed are polled in one request.
class Groups {
 public:
  struct Formed {
    Group* group = nullptr;     ///< its members are in no list any more
    bool may_try_again = true;  ///< in this pass over the queue: false when nothing more can come of it
  };

  Groups(Polls& polls, bool is_on) noexcept : polls_(polls), policy_(is_on) {}

  [[nodiscard]] GroupPolicy& policy() noexcept { return policy_; }

  /// From the first `count` of `marked`, for a buffer that has so many events left. No registration is passed over:
  /// when there may not be a place for all that are marked, only those at the very front are taken.
  [[nodiscard]] Formed form(SlotList& marked, std::size_t count, std::size_t events_left) noexcept;

 private:
  Polls& polls_;
  GroupPolicy policy_;
};

}  // namespace reactor::afd
