// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <reactor/sim/sim_time.hpp>

namespace reactor::sim {

struct HostState;

/// A second stack on one thread. enter and leave switch to and fro; what `entry` throws must not leave it.
class StackSwitch {
 public:
  StackSwitch(std::size_t stack_bytes, std::function<void()> entry);
  StackSwitch(const StackSwitch&) = delete;
  StackSwitch& operator=(const StackSwitch&) = delete;
  ~StackSwitch();

  void enter();  ///< until it leaves or has ended
  void leave();  ///< from within

  struct System;

 private:
  std::unique_ptr<System> system_;
};

/// A simulated program.
class Fiber {
 public:
  enum class State : std::uint8_t { runnable, running, asleep, ended };

  HostState* host = nullptr;
  std::string name;
  std::uint32_t id = 0;  // the number of its simulated thread
  bool may_wait_for_ever = false;
  State state = State::runnable;
  bool is_killed = false;      // its host crashed, or the World ends
  bool is_stuck = false;       // it spun where it cannot be unwound: never entered again
  WaitQueue* queue = nullptr;  // asleep: that it waits on
  std::optional<std::chrono::nanoseconds> until;
  const char* why = "";          // asleep
  std::uint64_t calls = 0;       // since it last slept
  std::uint64_t busy_waits = 0;  // that did not sleep, since time last passed for it
  const char* last_call = "";
  std::exception_ptr thrown;
  std::unique_ptr<StackSwitch> stack;
};

}  // namespace reactor::sim
