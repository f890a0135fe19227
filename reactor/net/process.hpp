// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <reactor/poller.hpp>
#include <reactor/result.hpp>

/// What a system supplies to ChildWatch (reactor/loop/handles.hpp).
namespace reactor::sys {

/// A handle of ours, for Poller::add_handle, of a process: a HANDLE on Windows, the number of a process on Linux.
[[nodiscard]] Result<NativeHandle> open_process(NativeHandle process) noexcept;
void close_process(NativeHandle handle) noexcept;
/// How the process has ended; none: it has not. On Linux this takes it, as wait does.
[[nodiscard]] Result<std::optional<int>> take_exit_code(NativeHandle handle) noexcept;

}  // namespace reactor::sys
