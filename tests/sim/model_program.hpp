// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/sim/sim_faults.hpp>

// A random program for the model check: what several threads do with sockets and a Poller, from one seed or from the
// bytes of a fuzzer. Every step means something in every situation, so any of them can be left out.

namespace reactor::sim::model {

enum class Op : std::uint8_t {
  open,        ///< a: what kind of socket; b: the one to duplicate, to put a layer on, or to connect to
  add,         ///< a: socket, b: interest and mode
  modify,      ///< a: registration, b: interest and mode
  drained,     ///< a: registration, b: directions
  remove,      ///< a: registration
  close,       ///< a: socket, b: how
  send,        ///< a: socket, b: how much
  recv,        ///< a: socket, b: how much
  shutdown,    ///< a: socket
  urgent,      ///< a: socket, b: send or receive it
  connect,     ///< a: socket, b: listener or a closed port
  accept,      ///< a: listener
  wake,        ///<
  wait,        ///< a: size of the buffer, b: time-out, c: how its events are handled
  pass,        ///< a: time that passes; in a wait: until the next thing that is due
  stale,       ///< a: a retired registration, b: the call
  end_poll,    ///< a: socket; its poll completes without a reason, b: how
  burst,       ///< a: first socket, b: how many get something to read
  packet,      ///< a: an unrecognised packet
  checkpoint,  ///< a: size of the buffer; whatever is ready and armed must be delivered
  inherit,     ///< a: socket, b: whether a child gets a handle of it, or the child ends
  object,      ///< a: an object that can be waited for, b: what is done with it
};
inline constexpr std::array<std::string_view, 22> op_names{
    "open",   "add",  "modify", "drained", "remove", "close",    "send",  "recv",   "shutdown",   "urgent",  "connect",
    "accept", "wake", "wait",   "pass",    "stale",  "end_poll", "burst", "packet", "checkpoint", "inherit", "object"};

/// A requirement that can be switched off, to see that the check finds what it is for.
enum class Rule : std::uint8_t {
  replace,     ///< adding never fails because of an old registration
  first_poll,  ///< a first poll that is refused as if the socket were closed: one event that says not_supported
  shortage,    ///< a shortage is never an event
  defer,       ///< what was delivered, and what a thread between two waits has marked, may wait; for so long
  one_thread,  ///< no readiness is delivered to two threads
  none_once,   ///< Interest::none: a failure is reported once
  no_posts,    ///< answers are not posted to the port
  calls,       ///< what a wait may cost beside other threads
};
inline constexpr std::array<std::string_view, 8> rule_names{"replace",    "first_poll", "shortage", "defer",
                                                            "one_thread", "none_once",  "no_posts", "calls"};

struct Step {
  Op op = Op::wait;
  std::uint8_t a = 0, b = 0, c = 0;
  bool during = false;  ///< by another thread, while the wait before it is asleep

  bool operator==(const Step&) const = default;
};

/// Not met by the backend yet.
inline constexpr std::uint32_t rules_to_come = 0;

/// What a program does at its end.
enum class Ending : std::uint8_t { remove_all, close_pending, close_unseen };

struct Program {
  std::uint64_t seed = 0;
  Options options;  ///< of the kernel
  bool inline_completions = true, hot_groups = true;
  bool notifications = false;    ///< the backend is the one on socket notifications
  bool high_resolution = false;  ///< PollerOptions::high_resolution
  bool by_number = false;        ///< as the C API does it: registrations named by their socket's number, epoll's bits
  std::size_t sockets_max = 48;
  std::size_t buffer_max = 64;  ///< for events
  Ending ending = Ending::remove_all;
  std::uint32_t left_out = rules_to_come;  ///< a bit for each Rule that is not checked
  std::vector<Step> steps;

  [[nodiscard]] bool checks(Rule rule) const noexcept { return ((left_out >> std::to_underlying(rule)) & 1) == 0; }

  /// Nothing takes time: then a wait must report at once what is ready, whatever fails.
  [[nodiscard]] bool is_strict() const noexcept;
};

/// The program that belongs to a seed: always the same.
[[nodiscard]] Program make_program(std::uint64_t seed);

/// The same program for the backend on socket notifications, with faults of theirs.
[[nodiscard]] Program with_notifications(Program program);

/// Bytes as a program: eight for the circumstances, then four a step.
[[nodiscard]] Program decode_program(std::span<const std::uint8_t> bytes);

/// "replace,defer" as Program::left_out; none when there is no such rule.
[[nodiscard]] std::optional<std::uint32_t> rules_of(std::string_view names);

[[nodiscard]] std::string describe(const Step& step);
[[nodiscard]] std::string describe(const Program& program);  ///< its circumstances, in a line

}  // namespace reactor::sim::model
