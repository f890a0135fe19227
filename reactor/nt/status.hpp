// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <system_error>

#include <reactor/nt/types.hpp>
#include <reactor/result.hpp>

/// NTSTATUS values and Win32 errors as values of error_category(): types of their own, with one explicit mapping.
namespace reactor::nt {

/// What Winsock reports by a number of its own gets that number, so that a refused connect is the same error whether an
/// event or a call on the socket reports it. Only failures and STATUS_TIMEOUT are errors.
[[nodiscard]] std::error_code make_error(NTSTATUS status) noexcept;

/// For the value of GetLastError(), which may also come from Winsock.
[[nodiscard]] std::error_code make_win32_error(ULONG error) noexcept;

/// Whether the value of a code is a Win32 error: those stand in the HRESULT that Windows has for them, 0x8007xxxx,
/// apart from errno's numbers. No NTSTATUS that a call used here returns looks like that.
[[nodiscard]] constexpr bool is_win32(int value) noexcept {
  return (static_cast<ULONG>(value) & 0xFFFF0000) == 0x80070000;
}

/// Of an NTSTATUS or such a Win32 error; none when it is not in the table.
[[nodiscard]] std::optional<std::errc> meaning_of(int value) noexcept;

}  // namespace reactor::nt
