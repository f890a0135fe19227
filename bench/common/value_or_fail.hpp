// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <reactor/result.hpp>

#include "arguments.hpp"

namespace bench {

/// Ends the program with what failed and why.
[[noreturn]] inline void fail(const std::string& what, const std::error_code& error) {
  fail(what + ": " + error.message());
}

template <class T>
[[nodiscard]] T value_or_fail(reactor::Result<T> result, const char* what) {
  if (!result) fail(what, result.error());
  return std::move(*result);
}
inline void value_or_fail(const reactor::Result<>& result, const char* what) {
  if (!result) fail(what, result.error());
}

}  // namespace bench
