// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include <reactor/event.hpp>

/// How EPOLL* bits and this library's flags translate.
namespace reactor::epoll {

/// The EPOLL* bits that ask for this interest, without those of a mode.
[[nodiscard]] std::uint32_t bits_of(Interest interest) noexcept;

/// What these EPOLL* bits report. EPOLLERR is taken for a failure.
[[nodiscard]] Readiness readiness_of(std::uint32_t bits) noexcept;

/// What EPOLLERR means for this descriptor: nothing for a failure, else what an entry of its error queue is reported
/// as.
///
/// The kernel sets EPOLLERR for a pending error and for an error queue that is not empty (timestamps, completions of
/// MSG_ZEROCOPY, ICMP errors with IP_RECVERR), and they cannot be distinguished without consuming one of them. But a
/// TCP connection that failed is in state CLOSE, and the queue of other sockets stays empty until an option is set.
[[nodiscard]] std::optional<Readiness> error_queue_of(int descriptor) noexcept;

}  // namespace reactor::epoll
