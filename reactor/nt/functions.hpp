// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>

#include <reactor/result.hpp>

namespace reactor::nt {

/// What is called of ntdll, in the order of resolve's answer.
inline constexpr std::array function_names{"NtCreateIoCompletion", "NtRemoveIoCompletionEx", "NtSetIoCompletion",
                                           "NtCreateFile",         "NtDeviceIoControlFile",  "NtCancelIoFileEx"};

/// Their addresses, as `find` returns them. A function that is missing is an error that compares equal to
/// std::errc::function_not_supported and whose message names it.
[[nodiscard]] Result<std::array<void*, function_names.size()>> resolve(void* (*find)(const char* name));

}  // namespace reactor::nt
