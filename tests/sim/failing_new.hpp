// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// An operator new that fails once, for the fault sweep. It is only in programs that are linked with failing_new.cpp.

namespace reactor::sim {

/// Lets the n-th allocation of this thread fail, counted while a FailsHere is alive and no FailsNot, from 1.
class FailingNew {
 public:
  static void set(std::uint64_t n) noexcept;  ///< 0: none fails
  [[nodiscard]] static bool has_failed() noexcept;
  /// Whether this build lets operator new be replaced: not under ThreadSanitizer.
  [[nodiscard]] static bool is_possible() noexcept;
};

struct FailsHere {
  FailsHere() noexcept;
  ~FailsHere();
  FailsHere(const FailsHere&) = delete;
  FailsHere& operator=(const FailsHere&) = delete;
};

struct FailsNot {
  FailsNot() noexcept;
  ~FailsNot();
  FailsNot(const FailsNot&) = delete;
  FailsNot& operator=(const FailsNot&) = delete;
};

}  // namespace reactor::sim
