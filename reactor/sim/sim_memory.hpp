// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define REACTOR_SIM_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REACTOR_SIM_HAS_ASAN 1
#endif
#endif

#ifdef REACTOR_SIM_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

// Memory that the simulated kernel holds: under AddressSanitizer a read or write of it meanwhile is reported,
// where it happens.

namespace reactor::sim {

#ifdef REACTOR_SIM_HAS_ASAN
inline constexpr bool guards_memory = true;

inline void guard(const void* begin, std::size_t bytes) noexcept { __asan_poison_memory_region(begin, bytes); }

/// What was freed meanwhile stays forbidden, so that the kernel's own write to it is reported.
inline void unguard(const void* begin, std::size_t bytes) noexcept {
  void* frame = nullptr;
  int thread = 0;
  if (__asan_get_free_stack(const_cast<void*>(begin), &frame, 1, &thread) > 0) return;
  __asan_unpoison_memory_region(begin, bytes);
}

[[nodiscard]] inline bool is_guarded(const void* address) noexcept { return __asan_address_is_poisoned(address) != 0; }
#else
inline constexpr bool guards_memory = false;

inline void guard(const void*, std::size_t) noexcept {}
inline void unguard(const void*, std::size_t) noexcept {}
[[nodiscard]] inline bool is_guarded(const void*) noexcept { return false; }
#endif

}  // namespace reactor::sim
