// SPDX-License-Identifier: MIT
#include <reactor/afd/polls.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <reactor/allocation.hpp>
#include <reactor/assert.hpp>

namespace reactor::afd {

using namespace nt;

namespace {

// The context of a poll's packet: an index, and low bits of a generation above it. Any program can post such a packet,
// so it is checked like any other input ("packets are checked").
constexpr int index_bits = std::numeric_limits<std::uintptr_t>::digits == 64 ? 32 : 20;
constexpr std::uintptr_t index_mask = (std::uintptr_t{1} << index_bits) - 1;

void* pack(std::uint32_t index, std::uint64_t generation) noexcept {
  const std::uintptr_t low = static_cast<std::uintptr_t>(generation) << index_bits;
  // Never null: without a context no packet comes (kernel fact accept.null_context_packet).
  return reinterpret_cast<void*>(low | ((index + std::uintptr_t{1}) & index_mask));
}

std::uint32_t index_in(const void* context) noexcept {
  return static_cast<std::uint32_t>((reinterpret_cast<std::uintptr_t>(context) & index_mask) - 1);
}

}  // namespace

Polls::Polls(Kernel& kernel, HANDLE port, Arena& arena, bool inline_completions, Stats& stats) noexcept
    : kernel_(kernel), arena_(arena), stats_(stats), helpers_(kernel, port, inline_completions, stats) {}

Result<> Polls::attach(Slot& slot) {
  if (slot.index >= index_mask - 1) return failure(std::errc::not_enough_memory);
  const auto helper = helpers_.attach(slot.base);
  if (!helper) return failure(helper.error());
  slot.helper = *helper;
  return {};
}

void Polls::detach(Slot& slot) noexcept { helpers_.detach(slot.helper); }

void Polls::set(Slot& slot, PollState::Value from, PollState::Value to) noexcept {
  REACTOR_ASSERT(slot.state == from);
  if (from == PollState::idle) held_++;
  if (to == PollState::idle) {
    REACTOR_ASSERT(held_ > 0);
    held_--;
    slot.group = 0;
  }
  slot.state.value_ = to;
}

void Polls::set(Group& group, PollState::Value from, PollState::Value to) noexcept {
  REACTOR_ASSERT(group.state == from);
  group.state.value_ = to;
  for (const Group::Member& member : group.members()) {
    if (from == PollState::idle) member.slot->group = static_cast<std::uint8_t>(group.index + 1);
    REACTOR_ASSERT(member.slot->group == group.index + 1);
    set(*member.slot, from, to);
  }
}

void* Polls::context_of(const Slot& slot) noexcept { return pack(slot.index, slot.asked_for); }
void* Polls::context_of(const Group& group) noexcept { return pack(group.index, group.generation); }

Polls::Submitted Polls::submit(Slot& slot, ULONG mask) {
  REACTOR_ASSERT(slot.state == PollState::idle && slot.is_live() && mask != 0);
  slot.poll = {{poll_never_times_out, 1, 0}, {slot.base, mask, 0}};
  slot.iosb.Status = STATUS_PENDING;
  const std::uint64_t last_asked_for = std::exchange(slot.asked_for, slot.generation);
  const Submitted submitted = submit(helpers_[slot.helper], helpers_.skips_packets(slot.helper), slot.iosb,
                                     slot.poll.info, 1, context_of(slot));
  if (submitted.outcome == Outcome::refused) slot.asked_for = last_asked_for;
  if (submitted.outcome == Outcome::pending) {
    slot.asked = static_cast<std::uint16_t>(mask);
    set(slot, PollState::idle, PollState::pending);
    requests_++;
  }
  return submitted;
}

Group* Polls::empty_group() noexcept {
  if (helpers_.for_groups() == nullptr) return nullptr;
  const auto found = std::ranges::find_if(groups_, [](const auto& group) { return group->state == PollState::idle; });
  if (found == groups_.end()) return groups_.size() < groups_max ? new_group() : nullptr;
  (*found)->size = 0;
  return found->get();
}

Group* Polls::new_group() noexcept {
  const auto make = [this] {
    Group* group = groups_.emplace_back(std::make_unique<Group>()).get();
    group->index = static_cast<std::uint32_t>(groups_.size() - 1);
    return group;
  };
  return catch_bad_alloc(make, nullptr);
}

Polls::Submitted Polls::submit(Group& group) {
  REACTOR_ASSERT(group.state == PollState::idle && group.size > 0);
  group.generation++;
  group.poll = {poll_never_times_out, group.size, 0};
  group.iosb.Status = STATUS_PENDING;
  stats_.group_arms++;
  stats_.group_members += group.size;
  for (std::size_t i = 0; i < group.size; i++) {  // now, since the kernel owns the request once it is submitted
    group.all[i].slot->asked = static_cast<std::uint16_t>(group.entries[i].Events);
  }
  const Submitted submitted =
      submit(helpers_.for_groups(), true, group.iosb, group.poll, group.size, context_of(group));
  if (submitted.outcome == Outcome::refused) return submitted;
  for (const Group::Member& member : group.members()) member.slot->asked_for = member.slot->generation;
  if (submitted.outcome == Outcome::pending) {
    set(group, PollState::idle, PollState::pending);
    requests_++;
  }
  return submitted;
}

Polls::Submitted Polls::submit(HANDLE helper, bool skips_packets, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll,
                               std::size_t sockets, void* context) {
  stats_.arm_calls++;
  const NTSTATUS status = kernel_.poll(helper, iosb, poll, poll_size_bytes(sockets), context);
  if (NT_ERROR(status)) return {Outcome::refused, status};
  // After a warning the kernel queues a packet like after a success that it does not skip.
  if (status == STATUS_PENDING || !NT_SUCCESS(status) || !skips_packets) return {Outcome::pending, status};
  stats_.inline_completions++;
  return {Outcome::ready, status};
}

bool Polls::cancel(Slot& slot) {
  REACTOR_ASSERT(slot.state == PollState::pending);
  Group* group = slot.group == 0 ? nullptr : groups_[slot.group - 1u].get();
  IO_STATUS_BLOCK& iosb = group == nullptr ? slot.iosb : group->iosb;
  stats_.cancel_calls++;
  const NTSTATUS status = kernel_.cancel(group == nullptr ? helpers_[slot.helper] : helpers_.for_groups(), &iosb);
  if (!NT_SUCCESS(status) && status != STATUS_NOT_FOUND) return false;
  if (group == nullptr) {
    set(slot, PollState::pending, PollState::cancelling);
  } else {
    set(*group, PollState::pending, PollState::cancelling);
  }
  return true;
}

Polls::Completed Polls::complete(const FILE_IO_COMPLETION_INFORMATION& packet) noexcept {
  const auto key = PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)};
  if (key == PacketKey::group) {
    Group* group = group_of(packet.ApcContext);
    if (group != nullptr) {
      set(*group, group->state, PollState::idle);
      requests_--;
    }
    return {.group = group};
  }
  Slot* slot = key == PacketKey::poll ? slot_of(packet.ApcContext) : nullptr;
  if (slot != nullptr) {
    set(*slot, slot->state, PollState::idle);
    requests_--;
  }
  return {.slot = slot};
}

// The slot whose own poll is pending with that context, else null.
Slot* Polls::slot_of(const void* context) noexcept {
  Slot* slot = arena_.at(index_in(context));
  const bool is_out = slot != nullptr && slot->is_held_by_kernel() && slot->group == 0;
  return is_out && context_of(*slot) == context ? slot : nullptr;
}

Group* Polls::group_of(const void* context) noexcept {
  const std::uint32_t index = index_in(context);
  Group* group = index < groups_.size() ? groups_[index].get() : nullptr;
  const bool is_out = group != nullptr && group->state != PollState::idle;
  return is_out && context_of(*group) == context ? group : nullptr;
}

void Polls::cancel_all() {
  helpers_.for_each([this](HANDLE helper) {
    stats_.cancel_calls++;
    kernel_.cancel(helper, nullptr);
  });
}

void Polls::close_all() noexcept {
  helpers_.close_all();
  groups_.clear();
}

void Polls::abandon_groups() noexcept {
  for (auto& group : groups_) static_cast<void>(group.release());
  groups_.clear();
}

}  // namespace reactor::afd
