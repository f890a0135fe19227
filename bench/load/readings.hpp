// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

[[nodiscard]] std::uint64_t now_ns();

/// CPU time that a process has used so far, all its threads, ended ones too. Fails the program if there is no such
/// process.
[[nodiscard]] std::uint64_t cpu_ns(int pid);
/// Time that a core has been busy since the machine started, whoever used it; in steps of a clock tick.
[[nodiscard]] std::uint64_t core_busy_ns(std::uint64_t core);
/// Memory of a process that is in RAM now.
[[nodiscard]] std::uint64_t resident_bytes(int pid);

/// The server's second door: it answers each line with one line of JSON, from a thread of its own.
class Control {
 public:
  explicit Control(std::uint16_t port);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  [[nodiscard]] std::string stats();
  /// A number out of stats().
  [[nodiscard]] std::uint64_t number(std::string_view name);

 private:
  int fd_ = -1;
};

/// All that is read at one moment.
struct Reading {
  std::uint64_t time_ns = 0;
  std::vector<std::uint64_t> cpu_ns;  // in the order of the pids
  std::uint64_t core_busy_ns = 0;     // of the core that the server has
  std::string server;                 // JSON
};

[[nodiscard]] Reading take_reading(Control& control, const std::vector<std::uint64_t>& pids, std::uint64_t core);

}  // namespace bench
