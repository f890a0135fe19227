// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/afd/group_policy.hpp>
#include <reactor/afd/masks.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// Where a slot's one poll is, its own or its group's.
enum class PollState : std::uint8_t {
  idle,        ///< not asked: status block and poll are ours
  pending,     ///< asked: they are the kernel's until the packet is taken
  cancelling,  ///< asked and then cancelled: still the kernel's until the packet is taken
};

struct HelperHandle;

/// What a registration is to be told of.
struct Watch {
  Token token;
  Interest interest;
  Mode mode;
  std::uint32_t filter = 0;  // for reactor/epoll.h: those of epoll's own bits to be told; 0 for a Poller
};

/// A socket's registration and its one poll. Lives in the arena and never moves. There is one slot for a base socket
/// at a time, so a socket cannot be in two polls of ours at once (design.md, rule 1).
struct Slot {
  // The kernel's while state is not idle; given back by the packet alone (rule 2).
  nt::IO_STATUS_BLOCK iosb{};
  nt::AfdPollOne poll{};

  nt::SocketNumber socket = 0;
  nt::HANDLE base = nullptr;
  HelperHandle* helper = nullptr;
  Token token{};
  std::uint64_t generation = 0;  // of the registration; 0 when there is none
  std::uint32_t filter = 0;      // of Watch
  std::uint32_t index = 0;
  std::uint32_t previous = 0, next = 0;  // in the queue of those to be armed
  Heat heat;
  std::uint16_t asked = 0;  // the mask of the poll that is out
  std::uint8_t group = 0;   // while it is out with a group: that group's number
  Interest interest = Interest::none;
  Interest silent = Interest::none;  // directions that Mode::oneshot or Mode::edge have told and tell no more
  Mode mode = Mode::level;
  PollState state = PollState::idle;
  bool queued = false;
  bool was_armed = false;  // since its socket was last known to be open: once that poll is over, a close goes unseen
  bool stale =
      false;  // the poll that is out belongs to a registration that is over: its answer says nothing of this one

  [[nodiscard]] bool is_live() const noexcept { return generation != 0; }
  [[nodiscard]] bool is_held_by_kernel() const noexcept { return state != PollState::idle; }
  [[nodiscard]] Interest directions() const noexcept {
    return (interest | endings) & static_cast<Interest>(~std::to_underlying(silent));
  }
  [[nodiscard]] bool is_silent() const noexcept { return directions() == Interest::none; }
  /// One of epoll's that Mode::oneshot silenced is still watched for its end: the number added again is EEXIST while
  /// the socket is open, and another socket's once it was closed.
  [[nodiscard]] nt::ULONG wanted_mask() const noexcept {
    return is_silent() && filter != 0 ? nt::AFD_POLL_LOCAL_CLOSE : poll_mask(directions());
  }
  void watch(const Watch& how) noexcept {
    token = how.token;
    interest = how.interest;
    mode = how.mode;
    filter = how.filter;
    silent = Interest::none;
  }
};

}  // namespace reactor::afd
