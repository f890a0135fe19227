// SPDX-License-Identifier: MIT
#pragma once

#include <expected>
#include <system_error>

#include <reactor/export.hpp>

// Clang 16 to 18 have what libstdc++'s <expected> needs and do not define it: with them -D__cpp_concepts=202002L helps.
#ifndef __cpp_lib_expected
#error "no std::expected: compile as C++23 by GCC 12, clang 16 with libc++, clang 19 with libstdc++, or MSVC 19.33"
#endif

namespace reactor {

/// What every call that can fail returns: its value, or the std::error_code that says why there is none.
///
/// Nothing in this library reports an error in any other way, and only construction may throw (std::bad_alloc).
/// Without exceptions (-fno-exceptions, also with -fno-rtti) it works the same, but where memory runs out the process
/// ends, while otherwise the call returns not_enough_memory.
template <class T = void>
using Result = std::expected<T, std::error_code>;

/// The category of the library's errors. Each is equal to the std::errc of its meaning on every system, so
/// `result.error() == std::errc::file_exists` is portable, and its message is the same text everywhere with the
/// system's number behind it: "connection refused (errno 111)", "connection refused (Winsock 10061)". Neither
/// std::system_category nor std::generic_category gives that: MinGW's know neither Winsock's errors nor most of
/// POSIX's.
///
/// value() is the system's number: an errno, a number of Winsock (from 10000 on), or a negative NTSTATUS.
[[nodiscard]] REACTOR_API const std::error_category& error_category() noexcept;

/// The error of a Result: `return failure(std::errc::file_exists);`
[[nodiscard]] inline std::unexpected<std::error_code> failure(std::errc why) noexcept {
  return std::unexpected(std::error_code(static_cast<int>(why), error_category()));
}

/// The same for a code that came from below: `return failure(opened.error());`
[[nodiscard]] inline std::unexpected<std::error_code> failure(std::error_code why) noexcept {
  return std::unexpected(why);
}

}  // namespace reactor
