// SPDX-License-Identifier: MIT
//
// The state machine of registrations that are polled together. A member is in the same states as any other slot; only
// the poll that it is out with, and the packet that gives it back, are its group's.
#include <algorithm>
#include <cstddef>
#include <ranges>
#include <utility>

#include <reactor/afd/afd_backend.hpp>

namespace reactor::afd {

using namespace nt;

// Arms those that are hot among the first `count` of the queue in one request, and returns how many it has taken off
// the queue: none when those at its front are too few for a group, and nothing when there is none to be had in this
// wait. Nobody is passed over: when there may not be room for all that are marked, only those at the very front are
// taken.
std::optional<std::size_t> AfdBackend::arm_group(std::size_t count, Room& room) {
  const bool has_room_for_all = room.left() >= count;
  const std::size_t members_max = std::min({policy_.members_max(room.left()), count, std::size_t{Group::capacity}});
  Group* group = members_max < GroupPolicy::members_min ? nullptr : arming_.empty_group();
  if (group == nullptr) return std::nullopt;
  for (std::uint32_t index = queue_head_; count > 0 && group->size < members_max; count--) {
    Slot& slot = *arena_.at(index);
    index = slot.next;
    const ULONG wanted = slot.wanted_mask();
    // Who is only watched for its end is likely to be changed soon: alone, it cancels nobody else's poll then.
    const bool asks = wanted != 0 && !slot.is_silent();
    if (slot.state == PollState::idle && asks && GroupPolicy::is_hot(slot.heat)) {
      group->add(slot, wanted);
    } else if (!has_room_for_all) {
      break;
    }
  }
  const std::size_t taken = group->size;
  if (taken < GroupPolicy::members_min && has_room_for_all) return std::nullopt;  // they were all looked at
  if (taken < GroupPolicy::members_min) return 0;
  for (const Group::Member& member : group->members()) dequeue(*member.slot);

  const auto [answer, status] = arming_.arm(*group);
  if (answer == Arming::Answer::refused) {
    group_refused(*group);
    return std::nullopt;
  }
  policy_.was_taken();
  const bool is_out = answer == Arming::Answer::pending;
  if (is_out) {
    group->state = PollState::pending;
    held_ += taken;
  }
  for (const Group::Member& member : group->members()) {
    member.slot->was_armed = true;
    if (is_out) member.slot->state = PollState::pending;
  }
  if (!is_out) {
    for (const Group::Member& member : group->members()) member.slot->group = 0;
    group_answered(*group, status, room);
  }
  return taken;
}

// One handle that is no socket any more is enough to refuse them all (kernel fact many.closed). They are asked alone,
// where each has its own trouble (rule 8), and nobody loses its turn.
void AfdBackend::group_refused(Group& group) noexcept {
  policy_.was_refused();
  for (const Group::Member& member : group.members() | std::views::reverse) {
    member.slot->group = 0;
    enqueue_first(*member.slot);
  }
}

// The kernel has given the group and all its members back.
void AfdBackend::group_came_back(Group& group) noexcept {
  group.state = PollState::idle;
  held_ -= group.size;
  for (const Group::Member& member : group.members()) {
    member.slot->state = PollState::idle;
    member.slot->group = 0;
  }
}

// Tells of as many as there is room for. Those told of are the last to be armed again, those left out the first.
void AfdBackend::group_answered(Group& group, NTSTATUS status, Room& room) {
  group.read_answer(status);
  for (Group::Member& member : group.members()) {
    Slot& slot = *member.slot;
    const bool is_heard = slot.is_live() && !slot.stale;
    if (is_heard && member.events != 0) continue;
    member.slot = nullptr;
    if (!is_heard) {
      complete(slot, status, room);  // whatever it is, it was for a registration that is over
      continue;
    }
    if (status == STATUS_SUCCESS) GroupPolicy::was_silent(slot.heat);
    if (!NT_SUCCESS(status) && status != STATUS_CANCELLED) slot.heat = {};  // alone the next time, with its own trouble
    enqueue(slot);
  }
  for (Group::Member& member : group.members()) {
    const bool is_closed = (member.events & AFD_POLL_LOCAL_CLOSE) != 0;  // nothing to tell
    if (member.slot == nullptr || (room.is_full() && !is_closed)) continue;
    answered(*std::exchange(member.slot, nullptr), member.events, member.why, room);
  }
  for (const Group::Member& member : group.members() | std::views::reverse) {
    if (member.slot == nullptr) continue;
    policy_.fired(member.slot->heat);
    enqueue_first(*member.slot);
  }
}

}  // namespace reactor::afd
