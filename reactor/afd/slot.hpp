// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/afd/directions.hpp>
#include <reactor/afd/group_policy.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// Where a poll is. Only Polls changes it:
///
///               submit: the kernel keeps it            cancel
///     idle ------------------------------> pending -------------> cancelling
///      ^                                      |                        |
///      '------------- completed --------------+------------------------'
///
/// In pending and cancelling the kernel owns the status block and the request, and only the completion ends that
/// ("kernel owns its memory").
class PollState {
 public:
  enum Value : std::uint8_t { idle, pending, cancelling };

  [[nodiscard]] constexpr operator Value() const noexcept { return value_; }  // NOLINT(*-explicit-*)

 private:
  friend class Polls;
  Value value_ = idle;
};

/// What a registration wants reported, and how.
struct Watch {
  Token token;
  Directions directions;
  Mode mode;
  std::uint16_t detail = 0;  // for the translator (EventSink) alone
};

/// The list that a slot is in, of those in ArmQueue.
enum class ListName : std::uint8_t { none, marked, delivered, modified, suspected, changing };

/// What the kernel holds of a slot for socket notifications (only reactor/notify changes it):
///
///     none       nothing; always so where there are none
///     disabled   a registration that reports nothing until it is enabled again
///     enabled    a registration that will report once
///     removing   a registration that was removed, whose last notification is yet to come
enum class Notice : std::uint8_t { none, disabled, enabled, removing };

/// A registration and its one poll. Lives in the arena and never moves. A base socket has one slot at a time, so a
/// handle is never in two polls of ours at once ("one poll per socket").
///
/// Which combinations exist:
///
///     generation   asked_for         state      what it is
///     g > 0        0, or not g       idle       a registration that has not been polled yet
///     g            not g             not idle   the poll is an earlier registration's: cancelled, its answer ignored
///     g            g                 any        a registration and its own poll, or the last one that it had
///     0            any               not idle   retired: only waits for its completion
///     0            any               idle       never seen: it is released at once, unless it has a Notice
///
///     A slot in the list `marked`, `delivered` or `modified` is to be armed; in no list it is pending, cancelling,
///     disarmed in all its directions, or retired.
struct Slot {
  // The kernel owns these while state is not idle.
  nt::IO_STATUS_BLOCK iosb{};
  nt::AfdPollOne poll{};

  nt::HANDLE base = nullptr;
  nt::SocketNumber socket = 0;
  Token token{};
  std::uint64_t generation = 0;  // of the registration; 0 when there is none
  std::uint64_t asked_for = 0;   // the generation that the last poll the kernel took was submitted for
  std::uint32_t index = 0;
  std::uint32_t helper = 0;              // the helper handle that carries its polls
  std::uint32_t notice_key = 0;          // which registration's the kernel's notice is
  std::uint32_t previous = 0, next = 0;  // in its list
  Activity activity;
  std::uint16_t asked = 0;  // the mask of the poll that is out
  std::uint16_t detail = 0;
  Directions wanted = Directions::none;
  Directions disarmed = Directions::none;  // what Mode::oneshot or Mode::edge has reported and reports no more
  Mode mode = Mode::level;
  PollState state;
  std::uint8_t group = 0;  // while it is out with a group: 1 + the group's index
  ListName list = ListName::none;
  Notice notice = Notice::none;
  std::uint8_t batch = 0;       // in the list `delivered`: whose (WaitingThreads)
  bool is_foreign : 1 = false;  // an open socket that AFD does not know: never polled again
  bool uses_polls : 1 = true;   // and not notifications

  [[nodiscard]] bool is_live() const noexcept { return generation != 0; }
  [[nodiscard]] bool is_held_by_kernel() const noexcept { return state != PollState::idle; }
  /// Nothing of it is the kernel's: once it is retired, it may be released.
  [[nodiscard]] bool is_free() const noexcept { return state == PollState::idle && notice == Notice::none; }
  /// A poll was submitted for this registration, so what the last poll says is about it.
  [[nodiscard]] bool was_asked_for() const noexcept { return asked_for == generation; }
  [[nodiscard]] Directions armed() const noexcept { return wanted & ~disarmed; }
  void watch(const Watch& how) noexcept {
    token = how.token;
    wanted = how.directions;
    mode = how.mode;
    detail = how.detail;
    disarmed = Directions::none;
  }
};

}  // namespace reactor::afd
