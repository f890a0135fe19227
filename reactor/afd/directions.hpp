// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <utility>

#include <reactor/event.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// What a registration wants reported: those of Interest, and what Interest cannot express. A type of its own, so that
/// no value of a public Interest means one of the latter.
enum class Directions : std::uint8_t {
  none = 0,
  readable = 1,
  writable = 2,
  priority = 4,
  endings = 8,            ///< reset, failed connect: wanted by every registration
  closings = 16,          ///< the peer's FIN without the data before it: EPOLLRDHUP without EPOLLIN
  repeated_endings = 32,  ///< report endings in every wait, though nothing else is wanted: reactor/epoll.h
  all = 63,
};

[[nodiscard]] constexpr Directions operator|(Directions a, Directions b) noexcept {
  return static_cast<Directions>(std::to_underlying(a) | std::to_underlying(b));
}
[[nodiscard]] constexpr Directions operator&(Directions a, Directions b) noexcept {
  return static_cast<Directions>(std::to_underlying(a) & std::to_underlying(b));
}
[[nodiscard]] constexpr Directions operator~(Directions a) noexcept {
  return static_cast<Directions>(std::to_underlying(Directions::all) & ~std::to_underlying(a));
}
[[nodiscard]] constexpr bool has(Directions set, Directions direction) noexcept {
  return (set & direction) != Directions::none;
}

/// Endings are always wanted. Bits that are no Interest are ignored.
[[nodiscard]] constexpr Directions directions_of(Interest interest) noexcept {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  Directions directions = Directions::endings;
  if (wants(Interest::readable)) directions = directions | Directions::readable;
  if (wants(Interest::writable)) directions = directions | Directions::writable;
  if (wants(Interest::priority)) directions = directions | Directions::priority;
  return directions;
}

/// The AFD events to poll for these directions. 0: no poll.
[[nodiscard]] constexpr nt::ULONG poll_mask(Directions directions) noexcept {
  using namespace nt;
  ULONG mask = 0;
  if (has(directions, Directions::readable)) mask |= AFD_POLL_RECEIVE | AFD_POLL_ACCEPT | AFD_POLL_DISCONNECT;
  if (has(directions, Directions::closings)) mask |= AFD_POLL_DISCONNECT;
  if (has(directions, Directions::writable)) mask |= AFD_POLL_SEND;
  if (has(directions, Directions::priority)) mask |= AFD_POLL_RECEIVE_EXPEDITED;
  if (has(directions, Directions::endings)) mask |= AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL;
  // AFD_POLL_LOCAL_CLOSE comes whatever the mask (kernel fact close.pending); asked for to say that we count on it.
  return mask == 0 ? 0 : mask | AFD_POLL_LOCAL_CLOSE;
}

/// The readiness that AFD's events mean, as on Linux: a reset and a failed connect end both directions.
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

/// What of it is reported to a registration that wants these directions. A failure sets readable and writable whatever
/// is wanted, so that a caller that checks nothing else still notices.
[[nodiscard]] constexpr Readiness filter_readiness(Readiness readiness, Directions directions) noexcept {
  Readiness wanted = Readiness::none;
  if (has(directions, Directions::readable)) wanted = wanted | Readiness::readable | Readiness::read_closed;
  if (has(directions, Directions::closings)) wanted = wanted | Readiness::read_closed;
  if (has(directions, Directions::writable)) wanted = wanted | Readiness::writable;
  if (has(directions, Directions::priority)) wanted = wanted | Readiness::priority;
  if (has(directions, Directions::endings)) wanted = wanted | Readiness::hung_up | Readiness::failed;
  const Readiness result = readiness & wanted;
  const bool failed = (result & Readiness::failed) != Readiness::none;
  return failed ? result | Readiness::readable | Readiness::writable : result;
}

/// The directions that an event was about: those that Mode::edge disarms after it.
[[nodiscard]] constexpr Directions directions_of(Readiness readiness) noexcept {
  Directions directions = Directions::none;
  const auto any = [readiness](Readiness flags) { return (readiness & flags) != Readiness::none; };
  if (any(Readiness::readable | Readiness::read_closed)) directions = directions | Directions::readable;
  if (any(Readiness::writable)) directions = directions | Directions::writable;
  if (any(Readiness::priority)) directions = directions | Directions::priority;
  if (any(Readiness::hung_up | Readiness::failed)) directions = directions | Directions::endings;
  return directions;
}

}  // namespace reactor::afd
