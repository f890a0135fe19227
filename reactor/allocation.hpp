// SPDX-License-Identifier: MIT
#pragma once

#include <new>
#include <system_error>
#include <utility>

#include <reactor/result.hpp>

namespace reactor {

/// What `action` returns, or `otherwise` if memory runs out in it. The library's only way to catch: built with
/// -fno-exceptions there is nothing to catch, and operator new ends the process.
template <class Action>
[[nodiscard]] auto catch_bad_alloc(Action&& action, decltype(action()) otherwise) -> decltype(action()) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
  try {
    return std::forward<Action>(action)();
  } catch (const std::bad_alloc&) {
    return otherwise;
  }
#else
  static_cast<void>(otherwise);
  return std::forward<Action>(action)();
#endif
}

inline std::unexpected<std::error_code> out_of_memory() noexcept { return failure(std::errc::not_enough_memory); }

}  // namespace reactor
