// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>

#include <reactor/nt/types.hpp>

namespace reactor::nt {

/// The category of NTSTATUS values. They compare with std::errc through one explicit table; a value that is not in it
/// is equal to no std::errc. Messages give the name where it is known and the number always.
[[nodiscard]] const std::error_category& status_category() noexcept;

[[nodiscard]] inline std::error_code make_error(NTSTATUS status) noexcept { return {status, status_category()}; }

}  // namespace reactor::nt
