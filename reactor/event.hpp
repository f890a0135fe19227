// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <system_error>
#include <utility>

#include <reactor/export.hpp>

namespace reactor {

/// What a program gives a registration to know it by: an index, or a pointer of its own. The reactor only hands it
/// back.
enum class Token : std::uint64_t {};

/// What to report. Reset, hang-up and failure are reported whatever the interest; with Interest::none once, and then
/// nothing until Registration::modify, so that a paused connection costs nothing.
enum class Interest : std::uint8_t {
  none = 0,
  readable = 1,  ///< data, a connection to accept, or the peer's FIN
  writable = 2,  ///< space in the send buffer, or a connect that ended, well or not
  priority = 4,  ///< urgent (out-of-band) data
};

[[nodiscard]] constexpr Interest operator|(Interest a, Interest b) noexcept {
  return static_cast<Interest>(std::to_underlying(a) | std::to_underlying(b));
}
[[nodiscard]] constexpr Interest operator&(Interest a, Interest b) noexcept {
  return static_cast<Interest>(std::to_underlying(a) & std::to_underlying(b));
}
[[nodiscard]] constexpr Interest operator~(Interest a) noexcept {
  return static_cast<Interest>(~std::to_underlying(a) & 0x07);
}
constexpr Interest& operator|=(Interest& a, Interest b) noexcept { return a = a | b; }
constexpr Interest& operator&=(Interest& a, Interest b) noexcept { return a = a & b; }

/// How often to report.
enum class Mode : std::uint8_t {
  level,    ///< in every wait while it is so
  oneshot,  ///< once; then disarmed until Registration::modify
  edge,     ///< once a direction; then that direction may stay disarmed until Registration::drained (on Linux new data
            ///< is reported before that too)
};

/// What a socket is ready for. docs/semantics.md says for each situation which of these are set on which system.
enum class Readiness : std::uint8_t {
  none = 0,
  readable = 1,
  writable = 2,
  priority = 4,
  read_closed = 8,  ///< the peer sent FIN: it will send no more, but may still receive
  hung_up = 16,     ///< both directions have ended
  failed = 32,      ///< the connection was reset, or could not be made; then readable and writable are set too
};

[[nodiscard]] constexpr Readiness operator|(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(std::to_underlying(a) | std::to_underlying(b));
}
[[nodiscard]] constexpr Readiness operator&(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(std::to_underlying(a) & std::to_underlying(b));
}
[[nodiscard]] constexpr Readiness operator~(Readiness a) noexcept {
  return static_cast<Readiness>(~std::to_underlying(a) & 0x3F);
}
constexpr Readiness& operator|=(Readiness& a, Readiness b) noexcept { return a = a | b; }
constexpr Readiness& operator&=(Readiness& a, Readiness b) noexcept { return a = a & b; }

/// One thing that wait() reports: a registration, by its token, and what its socket is ready for. A plain value.
class Event {
 public:
  constexpr Event() noexcept = default;
  constexpr Event(Token token, Readiness readiness, std::int32_t error_value = 0) noexcept
      : token_(token), error_value_(error_value), readiness_(readiness) {}

  [[nodiscard]] constexpr Token token() const noexcept { return token_; }
  [[nodiscard]] constexpr Readiness readiness() const noexcept { return readiness_; }

  [[nodiscard]] constexpr bool readable() const noexcept { return has(Readiness::readable); }
  [[nodiscard]] constexpr bool writable() const noexcept { return has(Readiness::writable); }
  [[nodiscard]] constexpr bool priority() const noexcept { return has(Readiness::priority); }
  [[nodiscard]] constexpr bool read_closed() const noexcept { return has(Readiness::read_closed); }
  [[nodiscard]] constexpr bool hung_up() const noexcept { return has(Readiness::hung_up); }
  [[nodiscard]] constexpr bool failed() const noexcept { return has(Readiness::failed); }

  /// Why it failed, when the system says so with the event: Windows does for a connect that failed. Otherwise empty;
  /// then Socket::take_error() asks.
  [[nodiscard]] REACTOR_API std::error_code error() const noexcept;

 private:
  [[nodiscard]] constexpr bool has(Readiness flag) const noexcept { return (readiness_ & flag) != Readiness::none; }

  Token token_{};
  std::int32_t error_value_ = 0;  // an NTSTATUS, 0 when not known
  Readiness readiness_ = Readiness::none;
};

}  // namespace reactor
