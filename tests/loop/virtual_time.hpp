// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <reactor/clock.hpp>
#include <reactor/loop/loop.hpp>

namespace loop_test {

/// With AddressSanitizer frames are not used again, so that it sees what is used after its end.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool keeps_frames = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool keeps_frames = false;
#else
inline constexpr bool keeps_frames = true;
#endif
#else
inline constexpr bool keeps_frames = true;
#endif

/// A Loop in virtual time: its Poller knows no sockets, and a wait moves the clock on to its time-out at once. A wait
/// without an end, which nothing can end, aborts: a task waits for what will never come.
[[nodiscard]] reactor::Loop virtual_loop(const reactor::LoopOptions& options = {});

/// Moves the clock on, as if something took long.
void pass(std::chrono::nanoseconds time) noexcept;

}  // namespace loop_test
