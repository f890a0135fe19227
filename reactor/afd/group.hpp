// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/afd/slot.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// One poll of many sockets. It belongs to no socket: it is filled with whoever is hot and to be armed, comes back with
/// the first that are ready, and then its members are marked to be armed again like any others.
struct Group {
  static constexpr std::uint32_t capacity = 256;

  struct Member {
    Slot* slot;
    nt::HANDLE base;  // the slot may be given another socket while this poll is out
    nt::ULONG events;
    nt::NTSTATUS why;
  };

  // The kernel's while state is not idle; given back by the packet alone (rule 2).
  nt::IO_STATUS_BLOCK iosb{};
  nt::AFD_POLL_INFO poll{};
  std::array<nt::AFD_POLL_HANDLE_INFO, capacity> entries{};

  std::array<Member, capacity> room{};
  std::uint32_t size = 0;
  PollState state = PollState::idle;

  [[nodiscard]] std::span<Member> members() noexcept { return std::span(room).first(size); }

  void add(Slot& slot, nt::ULONG mask) noexcept {
    entries[size] = {slot.base, mask, 0};
    room[size++] = {&slot, slot.base, 0, 0};
  }

  /// Gives each member what the answer says of it.
  void read_answer(nt::NTSTATUS status) noexcept {
    const std::uint32_t count = status == nt::STATUS_SUCCESS ? poll.NumberOfHandles : 0;
    std::uint32_t at = 0;
    for (const auto& entry : std::span(entries).first(count < size ? count : size)) {
      // They come in the order asked (kernel fact many.packed), so this is a single pass; but nothing hangs on it.
      for (std::uint32_t tried = 0; tried < size && room[at].base != entry.Handle; tried++) at = (at + 1) % size;
      if (room[at].base != entry.Handle) continue;
      room[at].events = entry.Events;
      room[at].why = entry.Status;
    }
  }
};

static_assert(offsetof(Group, entries) == offsetof(Group, poll) + sizeof(nt::AFD_POLL_INFO));

}  // namespace reactor::afd
