// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/event.hpp>

namespace reactor::epoll {

/// One registration, and how the kernel has it armed.
///
/// EPOLLERR cannot be masked, and an error queue that is never read keeps it set for ever. An entry with such a queue
/// is edge-triggered in the kernel, which then reports only what is new; Mode::level is made of that by arming the
/// entry again with each event.
struct Entry {
  std::uint64_t generation = 0;  // 0: no registration
  Token token{};
  std::uint32_t tag = 0;
  Interest interest = Interest::none;
  Mode mode = Mode::level;
  bool is_handle = false;                   // of Poller::add_handle
  bool is_disarmed = false;                 // reports_once() and has been reported: nothing until it is armed again
  Readiness error_queue = Readiness::none;  // what EPOLLERR is reported as; none: it is a failure

  struct Outcome {
    Readiness readiness = Readiness::none;  ///< to deliver; none: nothing
    bool must_arm = false;                  ///< kernel_bits() are not what the kernel has
  };

  [[nodiscard]] bool reports_once() const noexcept;
  [[nodiscard]] std::uint32_t kernel_bits() const noexcept;
  /// `bits` is what the kernel reported of `descriptor`.
  [[nodiscard]] Outcome on_report(int descriptor, std::uint32_t bits) noexcept;

 private:
  [[nodiscard]] bool must_arm(bool had_queue, bool is_delivered, bool has_lasting) const noexcept;
};

}  // namespace reactor::epoll
