// SPDX-License-Identifier: MIT
#pragma once

#include <expected>
#include <system_error>

namespace reactor {

/// What every call that can fail returns: its value, or the std::error_code that says why there is none.
///
/// The library's own codes compare with std::errc on every system, so `result.error() == std::errc::file_exists` is
/// portable; it does not rely on std::system_category for that, which under MinGW knows no Winsock error. Nothing in
/// this library reports an error in any other way, and only construction may throw (std::bad_alloc).
template <class T = void>
using Result = std::expected<T, std::error_code>;

/// The error of a Result: `return failure(std::errc::file_exists);`
[[nodiscard]] inline std::unexpected<std::error_code> failure(std::errc why) noexcept {
  return std::unexpected(std::make_error_code(why));
}

/// The same for a code that came from below: `return failure(opened.error());`
[[nodiscard]] inline std::unexpected<std::error_code> failure(std::error_code why) noexcept {
  return std::unexpected(why);
}

}  // namespace reactor
