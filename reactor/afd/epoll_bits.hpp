// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/afd/masks.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// The EPOLL* values of reactor/epoll.h on Windows, which asserts that they are these.
struct Epoll {
  static constexpr std::uint32_t in = 1U << 0, pri = 1U << 1, out = 1U << 2, err = 1U << 3, hup = 1U << 4;
  static constexpr std::uint32_t rdnorm = 1U << 6, rdband = 1U << 7, wrnorm = 1U << 8, wrband = 1U << 9;
  static constexpr std::uint32_t rdhup = 1U << 13, et = 1U << 30, oneshot = 1U << 31;
  static constexpr std::uint32_t always = err | hup;
  static constexpr std::uint32_t reported = in | pri | out | always | rdnorm | rdband | wrnorm | wrband | rdhup;
};

/// What of an answer of AFD is what for epoll, before the filter. A reset is what Linux makes of it. A failed connect
/// is what wepoll makes of it, and its users' tests assert: on Linux it has EPOLLHUP too.
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

/// What epoll_event::events asks for. Bits that nobody knows are ignored, as on Linux.
[[nodiscard]] constexpr Interest epoll_interest(std::uint32_t events) noexcept {
  Interest interest = Interest::none;
  if ((events & (Epoll::in | Epoll::rdnorm)) != 0) interest = interest | Interest::readable;
  if ((events & (Epoll::out | Epoll::wrnorm | Epoll::wrband)) != 0) interest = interest | Interest::writable;
  if ((events & (Epoll::pri | Epoll::rdband)) != 0) interest = interest | Interest::priority;
  if ((events & Epoll::rdhup) != 0) interest = interest | closings;
  return interest;
}

[[nodiscard]] constexpr Watch epoll_watch(std::uint32_t events, std::uint64_t data) noexcept {
  const Mode mode = (events & Epoll::oneshot) != 0 ? Mode::oneshot : Mode::level;
  return {Token{data}, epoll_interest(events), mode, (events & Epoll::reported) | Epoll::always};
}

}  // namespace reactor::afd
