// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/afd/directions.hpp>
#include <reactor/afd/event_sink.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// The EPOLL* values of reactor/epoll.h on Windows, which asserts that they are these.
struct Epoll {
  static constexpr std::uint32_t in = 1U << 0, pri = 1U << 1, out = 1U << 2, err = 1U << 3, hup = 1U << 4;
  static constexpr std::uint32_t rdnorm = 1U << 6, rdband = 1U << 7, wrnorm = 1U << 8, wrband = 1U << 9;
  static constexpr std::uint32_t msg = 1U << 10, rdhup = 1U << 13, et = 1U << 30, oneshot = 1U << 31;
  static constexpr std::uint32_t always = err | hup;
  static constexpr std::uint32_t reported = in | pri | out | always | rdnorm | rdband | wrnorm | wrband | rdhup;
};

/// The epoll bits of AFD's events, before the filter. A reset has the bits that it has on Linux. A failed connect has
/// those of wepoll, which its users' tests assert: on Linux it has EPOLLHUP too.
[[nodiscard]] constexpr std::uint32_t epoll_bits(nt::ULONG events) noexcept {
  using namespace nt;
  constexpr std::uint32_t failure = Epoll::in | Epoll::rdnorm | Epoll::out | Epoll::wrnorm | Epoll::rdhup | Epoll::err;
  std::uint32_t bits = 0;
  if ((events & (AFD_POLL_RECEIVE | AFD_POLL_ACCEPT)) != 0) bits |= Epoll::in | Epoll::rdnorm;
  if ((events & AFD_POLL_RECEIVE_EXPEDITED) != 0) bits |= Epoll::pri | Epoll::rdband;
  if ((events & AFD_POLL_SEND) != 0) bits |= Epoll::out | Epoll::wrnorm | Epoll::wrband;
  if ((events & AFD_POLL_DISCONNECT) != 0) bits |= Epoll::in | Epoll::rdnorm | Epoll::rdhup;
  if ((events & AFD_POLL_ABORT) != 0) bits |= failure | Epoll::hup;
  if ((events & AFD_POLL_CONNECT_FAIL) != 0) bits |= failure;
  return bits;
}

/// The directions that epoll_event::events asks for. Bits that are not known are ignored, as on Linux.
[[nodiscard]] constexpr Directions epoll_directions(std::uint32_t events) noexcept {
  Directions directions = Directions::endings | Directions::repeated_endings;
  if ((events & (Epoll::in | Epoll::rdnorm)) != 0) directions = directions | Directions::readable;
  if ((events & (Epoll::out | Epoll::wrnorm | Epoll::wrband)) != 0) directions = directions | Directions::writable;
  if ((events & (Epoll::pri | Epoll::rdband)) != 0) directions = directions | Directions::priority;
  if ((events & Epoll::rdhup) != 0) directions = directions | Directions::closings;
  return directions;
}

/// The detail of a Watch is which of epoll's own bits may be reported.
[[nodiscard]] constexpr Watch epoll_watch(std::uint32_t events, std::uint64_t data) noexcept {
  const Mode mode = (events & Epoll::oneshot) != 0 ? Mode::oneshot : Mode::level;
  const auto detail = static_cast<std::uint16_t>((events & Epoll::reported) | Epoll::always);
  return {Token{data}, epoll_directions(events), mode, detail};
}
static_assert(Epoll::reported <= 0xFFFF);

/// The epoll_event::events of an answer. 0: no event.
[[nodiscard]] constexpr std::uint32_t epoll_events(const Answer& answer) noexcept {
  const nt::ULONG events = answer.events == 0 ? nt::AFD_POLL_CONNECT_FAIL : answer.events;
  return epoll_bits(events) & answer.detail;
}

}  // namespace reactor::afd
