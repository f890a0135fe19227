// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/afd/slot.hpp>
#include <reactor/assert.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// One poll of many sockets. It belongs to no socket: it is filled with the hot registrations that are to be armed,
/// completes with the first that are ready, and then its members are marked to be armed again like any others.
struct Group {
  static constexpr std::uint32_t capacity = 256;

  struct Member {
    Slot* slot;
    nt::ULONG events;
    nt::NTSTATUS status;
  };

  // The kernel owns this while state is not idle; only the completion releases it ("kernel owns its memory").
  nt::IO_STATUS_BLOCK iosb{};
  nt::AFD_POLL_INFO poll{};
  std::array<nt::AFD_POLL_HANDLE_INFO, capacity> entries{};

  std::array<Member, capacity> all{};
  std::uint32_t size = 0;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // of the request: one more for each
  PollState state;

  [[nodiscard]] std::span<Member> members() noexcept { return std::span(all).first(size); }

  void add(Slot& slot, nt::ULONG mask) noexcept {
    REACTOR_ASSERT(size < capacity && state == PollState::idle && slot.state == PollState::idle);
    entries[size] = {slot.base, mask, 0};
    all[size++] = {&slot, 0, 0};
  }

  /// Gives each member its part of the answer.
  void read_answer(nt::NTSTATUS status) noexcept {
    const std::uint32_t count = status == nt::STATUS_SUCCESS ? poll.NumberOfHandles : 0;
    std::uint32_t at = 0;
    for (const auto& entry : std::span(entries).first(count < size ? count : size)) {
      // Entries come in the order of the request (kernel fact many.packed), so this is a single pass, but it works for
      // any
      // order.
      for (std::uint32_t tried = 0; tried < size && all[at].slot->base != entry.Handle; tried++) at = (at + 1) % size;
      if (all[at].slot->base != entry.Handle) continue;
      all[at].events = entry.Events;
      all[at].status = entry.Status;
    }
  }
};

static_assert(offsetof(Group, entries) == offsetof(Group, poll) + sizeof(nt::AFD_POLL_INFO));

}  // namespace reactor::afd
