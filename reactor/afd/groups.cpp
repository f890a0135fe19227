// SPDX-License-Identifier: MIT
#include <reactor/afd/groups.hpp>

#include <algorithm>

namespace reactor::afd {

Groups::Formed Groups::form(SlotList& marked, std::size_t count, std::size_t events_left) noexcept {
  const bool has_place_for_all = events_left >= count;
  const std::size_t members_max = std::min({policy_.members_max(events_left), count, std::size_t{Group::capacity}});
  Group* group = members_max < GroupPolicy::members_min ? nullptr : polls_.empty_group();
  if (group == nullptr) return {nullptr, false};
  for (Slot* slot = &marked.front(); slot != nullptr && count > 0 && group->size < members_max; count--) {
    const nt::ULONG mask = poll_mask(slot->armed());
    if (slot->uses_polls && slot->state == PollState::idle && mask != 0 && GroupPolicy::is_hot(slot->activity)) {
      group->add(*slot, mask);
    } else if (!has_place_for_all) {
      break;
    }
    slot = marked.after(*slot);
  }
  if (group->size < GroupPolicy::members_min) return {nullptr, !has_place_for_all};  // else all were considered
  for (const Group::Member& member : group->members()) marked.erase(*member.slot);
  return {group, true};
}

}  // namespace reactor::afd
