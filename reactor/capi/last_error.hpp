// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>

/// How a call of the C API says why it failed: errno and GetLastError().
namespace reactor::capi {

void set_error(std::error_code why) noexcept;

/// The same, and -1.
int fail(std::error_code why) noexcept;
int fail(std::errc why) noexcept;

}  // namespace reactor::capi
