// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/event.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// The directions that Mode::edge or Mode::oneshot keep silent, beside those of Interest: reset, failure, hang-up.
inline constexpr Interest endings = static_cast<Interest>(8);
/// The peer's FIN without what may be read before it: EPOLLRDHUP without EPOLLIN.
inline constexpr Interest closings = static_cast<Interest>(16);
inline constexpr Interest all_directions = static_cast<Interest>(31);

[[nodiscard]] constexpr bool has(Interest set, Interest direction) noexcept {
  return (set & direction) != Interest::none;
}

/// What to ask AFD for, so that it answers what `directions` want to be told. None: nothing is asked at all.
[[nodiscard]] constexpr nt::ULONG poll_mask(Interest directions) noexcept {
  using namespace nt;
  ULONG mask = 0;
  if (has(directions, Interest::readable)) mask |= AFD_POLL_RECEIVE | AFD_POLL_ACCEPT | AFD_POLL_DISCONNECT;
  if (has(directions, closings)) mask |= AFD_POLL_DISCONNECT;
  if (has(directions, Interest::writable)) mask |= AFD_POLL_SEND;
  if (has(directions, Interest::priority)) mask |= AFD_POLL_RECEIVE_EXPEDITED;
  if (has(directions, endings)) mask |= AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL;
  // LOCAL_CLOSE comes whatever the mask (kernel fact close.pending); asked for all the same, to say that we count on
  // it.
  return mask == 0 ? 0 : mask | AFD_POLL_LOCAL_CLOSE;
}

/// What an answer of AFD means, as Linux says it: a reset and a failed connect are the end of both directions.
[[nodiscard]] constexpr Readiness to_readiness(nt::ULONG events) noexcept {
  using namespace nt;
  Readiness readiness = Readiness::none;
  if ((events & (AFD_POLL_RECEIVE | AFD_POLL_ACCEPT)) != 0) readiness = readiness | Readiness::readable;
  if ((events & AFD_POLL_SEND) != 0) readiness = readiness | Readiness::writable;
  if ((events & AFD_POLL_RECEIVE_EXPEDITED) != 0) readiness = readiness | Readiness::priority;
  if ((events & AFD_POLL_DISCONNECT) != 0) readiness = readiness | Readiness::readable | Readiness::read_closed;
  if ((events & (AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL)) != 0) {
    readiness = readiness | Readiness::readable | Readiness::writable | Readiness::read_closed | Readiness::hung_up |
                Readiness::failed;
  }
  return readiness;
}

/// What of it is told to a registration that listens in these directions. Failure sets readable and writable whatever
/// the interest, so that a caller who looks at nothing else still notices.
[[nodiscard]] constexpr Readiness told(Readiness readiness, Interest directions) noexcept {
  Readiness heard = Readiness::none;
  if (has(directions, Interest::readable)) heard = heard | Readiness::readable | Readiness::read_closed;
  if (has(directions, closings)) heard = heard | Readiness::read_closed;
  if (has(directions, Interest::writable)) heard = heard | Readiness::writable;
  if (has(directions, Interest::priority)) heard = heard | Readiness::priority;
  if (has(directions, endings)) heard = heard | Readiness::hung_up | Readiness::failed;
  const Readiness result = readiness & heard;
  const bool failed = (result & Readiness::failed) != Readiness::none;
  return failed ? result | Readiness::readable | Readiness::writable : result;
}

/// The directions that an event was about: those that Mode::edge silences after it.
[[nodiscard]] constexpr Interest directions_of(Readiness readiness) noexcept {
  Interest directions = Interest::none;
  const auto any = [readiness](Readiness flags) { return (readiness & flags) != Readiness::none; };
  if (any(Readiness::readable | Readiness::read_closed)) directions = directions | Interest::readable;
  if (any(Readiness::writable)) directions = directions | Interest::writable;
  if (any(Readiness::priority)) directions = directions | Interest::priority;
  if (any(Readiness::hung_up | Readiness::failed)) directions = directions | endings;
  return directions;
}

}  // namespace reactor::afd
