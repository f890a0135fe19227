// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>

/// The calls in which a thread sleeps. They are cancellation points (pthread_cancel), so they are not noexcept and must
/// not be made while anything is held.
namespace reactor::epoll {

/// epoll_wait or epoll_pwait2, whichever the time needs: `reports` is memory for epoll_events, `left` a time-out (none:
/// no end). `has_nanoseconds` is cleared where the kernel lacks epoll_pwait2; a time-out is rounded up then.
[[nodiscard]] int kernel_wait(int epoll, std::span<std::byte> reports, std::optional<std::chrono::nanoseconds> left,
                              std::atomic<bool>& has_nanoseconds);

/// Sleeps for less than a second. Returns an errno where a signal ended that.
[[nodiscard]] int pause_for(std::chrono::nanoseconds time);

}  // namespace reactor::epoll
