// SPDX-License-Identifier: MIT
#pragma once

// REACTOR_ASSERT(condition) checks an invariant of the library itself, never a caller's mistake. It is compiled in
// debug builds and where REACTOR_ASSERTIONS is defined (the tests, sanitizers and fuzzers); elsewhere it is nothing.
#if defined(REACTOR_ASSERTIONS) || !defined(NDEBUG)
#include <cstdio>
#include <cstdlib>

namespace reactor {

[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: the invariant does not hold: %s\n", file, line, condition);
  std::abort();
}

}  // namespace reactor

#define REACTOR_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : reactor::assertion_failed(#condition, __FILE__, __LINE__))
#else
#define REACTOR_ASSERT(condition) static_cast<void>(0)
#endif
