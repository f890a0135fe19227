// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include <reactor/result.hpp>
#include <reactor/socket.hpp>

/// What a system supplies to Signals (reactor/loop/signals.hpp).
namespace reactor::sys {

/// A socket, or a descriptor, that is readable when one of the signals has come; from now on they do nothing else.
[[nodiscard]] Result<Socket> open_signals(std::span<const int> signals);
/// Before it is closed: the signals do again what they did.
void forget_signals(NativeSocket socket) noexcept;
/// One that has come. Error: operation_would_block.
[[nodiscard]] Result<int> take_signal(NativeSocket socket) noexcept;

#ifdef _WIN32
/// What the console handler does with a CTRL_..._EVENT, on whichever thread: false where nothing waits for that.
bool deliver_console_event(unsigned long event) noexcept;
#endif

}  // namespace reactor::sys
