// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

[[nodiscard]] std::uint64_t now_ns();

/// CPU time that a process has used so far, in all its threads, ended ones too. Ends the program if there is no such
/// process.
[[nodiscard]] std::uint64_t cpu_ns(int pid);
/// Time that a core has been busy since the machine started, for all processes; its resolution is a clock tick.
[[nodiscard]] std::uint64_t core_busy_ns(std::uint64_t core);
/// Resident memory of a process.
[[nodiscard]] std::uint64_t resident_bytes(int pid);

/// The server's control connection: it answers each line with one line of JSON, from a thread of its own.
class Control {
 public:
  explicit Control(std::uint16_t port);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  [[nodiscard]] std::string stats();
  /// The member `name` of stats(), which must be a number.
  [[nodiscard]] std::uint64_t number(std::string_view name);

 private:
  int fd_ = -1;
};

/// All readings of one moment.
struct Reading {
  std::uint64_t time_ns = 0;
  std::vector<std::uint64_t> cpu_ns;  // in the order of the pids
  std::uint64_t core_busy_ns = 0;     // of the server's core
  std::string server;                 // JSON
};

[[nodiscard]] Reading take_reading(Control& control, const std::vector<std::uint64_t>& pids, std::uint64_t core);

}  // namespace bench
