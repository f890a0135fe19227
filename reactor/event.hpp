// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include <reactor/export.hpp>

namespace reactor {

/// By what a program knows a registration: best a number that it looks up. The library only hands it back.
enum class Token : std::uint64_t {};

/// What to report. Reset, hang-up and failure are reported whatever the interest; with Interest::none once, and then
/// nothing until Registration::modify, so that a paused connection costs nothing.
enum class Interest : std::uint8_t {
  none = 0,      ///< nothing but a hang-up or failure, once
  readable = 1,  ///< data, a connection to accept, or the peer's FIN
  writable = 2,  ///< space in the send buffer, or a connect that ended, well or not
  priority = 4,  ///< urgent (out-of-band) data
};

/// In any of both.
[[nodiscard]] constexpr Interest operator|(Interest a, Interest b) noexcept {
  return static_cast<Interest>(std::to_underlying(a) | std::to_underlying(b));
}
/// In both.
[[nodiscard]] constexpr Interest operator&(Interest a, Interest b) noexcept {
  return static_cast<Interest>(std::to_underlying(a) & std::to_underlying(b));
}
/// All but these.
[[nodiscard]] constexpr Interest operator~(Interest a) noexcept {
  return static_cast<Interest>(~std::to_underlying(a) & 0x07);
}
/// Adds these.
constexpr Interest& operator|=(Interest& a, Interest b) noexcept { return a = a | b; }
/// Keeps these alone.
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
  none = 0,         ///< nothing
  readable = 1,     ///< receive or accept would not block, or says that the peer has ended
  writable = 2,     ///< send would not block, or says why the connection failed
  priority = 4,     ///< urgent (out-of-band) data
  read_closed = 8,  ///< the peer sent FIN: it will send no more, but may still receive
  hung_up = 16,     ///< both directions have ended
  failed = 32,      ///< the connection was reset, or could not be made; then readable and writable are set too
};

/// In any of both.
[[nodiscard]] constexpr Readiness operator|(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(std::to_underlying(a) | std::to_underlying(b));
}
/// In both.
[[nodiscard]] constexpr Readiness operator&(Readiness a, Readiness b) noexcept {
  return static_cast<Readiness>(std::to_underlying(a) & std::to_underlying(b));
}
/// All but these.
[[nodiscard]] constexpr Readiness operator~(Readiness a) noexcept {
  return static_cast<Readiness>(~std::to_underlying(a) & 0x3F);
}
/// Adds these.
constexpr Readiness& operator|=(Readiness& a, Readiness b) noexcept { return a = a | b; }
/// Keeps these alone.
constexpr Readiness& operator&=(Readiness& a, Readiness b) noexcept { return a = a & b; }

/// An operation of the program's own that has ended (Poller::associate), or a packet that was posted
/// (Poller::completion_key). Windows alone.
struct Completion {
  void* overlapped = nullptr;  ///< the operation's OVERLAPPED; of a posted packet what was posted
  std::uintptr_t bytes = 0;    ///< that were transferred; of a posted packet what was posted
};

/// One thing that wait() reports: a registration, by its token, and what its socket is ready for; or a completion. A
/// plain value.
class Event {
 public:
  /// No event: token 0 and no readiness. For buffers.
  constexpr Event() noexcept = default;
  /// For tests of a program. `error_value`: an NTSTATUS, 0 when there is none.
  constexpr Event(Token token, Readiness readiness, std::int32_t error_value = 0) noexcept
      : token_(token), error_value_(error_value), readiness_(readiness) {}
#ifdef _WIN32
  /// For tests of a program: a completion.
  constexpr Event(Token token, const Completion& completion, std::int32_t error_value = 0) noexcept
      : token_(token), completion_(completion), error_value_(error_value), is_completion_(true) {}
#endif

  /// What the program gave to Poller::add, add_handle, associate or completion_key.
  [[nodiscard]] constexpr Token token() const noexcept { return token_; }
  /// All flags; the functions below ask for one each.
  [[nodiscard]] constexpr Readiness readiness() const noexcept { return readiness_; }

  /// Has Readiness::readable.
  [[nodiscard]] constexpr bool readable() const noexcept { return has(Readiness::readable); }
  /// Has Readiness::writable.
  [[nodiscard]] constexpr bool writable() const noexcept { return has(Readiness::writable); }
  /// Has Readiness::priority.
  [[nodiscard]] constexpr bool priority() const noexcept { return has(Readiness::priority); }
  /// Has Readiness::read_closed.
  [[nodiscard]] constexpr bool read_closed() const noexcept { return has(Readiness::read_closed); }
  /// Has Readiness::hung_up.
  [[nodiscard]] constexpr bool hung_up() const noexcept { return has(Readiness::hung_up); }
  /// Has Readiness::failed.
  [[nodiscard]] constexpr bool failed() const noexcept { return has(Readiness::failed); }

  /// Why it failed, if the system reports that with the event: Windows does for a connect that failed, and for an
  /// operation (`completion`). Otherwise empty; then Socket::take_error() asks.
  [[nodiscard]] REACTOR_API std::error_code error() const noexcept;

  /// What has ended, or was posted; such an event has no Readiness, and `error` says whether the operation has failed.
  /// None of any other event, and always none on Linux.
  [[nodiscard]] constexpr std::optional<Completion> completion() const noexcept {
#ifdef _WIN32
    if (is_completion_) return completion_;
#endif
    return std::nullopt;
  }

 private:
  [[nodiscard]] constexpr bool has(Readiness flag) const noexcept { return (readiness_ & flag) != Readiness::none; }

  Token token_{};
#ifdef _WIN32
  Completion completion_;
#endif
  std::int32_t error_value_ = 0;  // an NTSTATUS, 0 when not known
  Readiness readiness_ = Readiness::none;
#ifdef _WIN32
  bool is_completion_ = false;
#endif
};

}  // namespace reactor
