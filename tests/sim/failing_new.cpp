// SPDX-License-Identifier: MIT
#include "failing_new.hpp"

#include <cstdlib>
#include <new>

// ThreadSanitizer has its own operator new, which cannot be replaced.
#if defined(__SANITIZE_THREAD__)
#define HAS_OWN_OPERATOR_NEW
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_OWN_OPERATOR_NEW
#endif
#endif

namespace {

thread_local std::uint64_t nth = 0, seen = 0;
thread_local int here = 0, paused = 0;

}  // namespace

namespace reactor::sim {

void FailingNew::set(std::uint64_t n) noexcept {
  nth = n;
  seen = 0;
}
bool FailingNew::has_failed() noexcept { return nth != 0 && seen >= nth; }

FailsHere::FailsHere() noexcept { here++; }
FailsHere::~FailsHere() { here--; }
FailsNot::FailsNot() noexcept { paused++; }
FailsNot::~FailsNot() { paused--; }

#ifdef HAS_OWN_OPERATOR_NEW
bool FailingNew::is_possible() noexcept { return false; }
#else
bool FailingNew::is_possible() noexcept { return true; }
#endif

}  // namespace reactor::sim

#ifndef HAS_OWN_OPERATOR_NEW
// The array forms call these.
void* operator new(std::size_t size) {
  if (here > 0 && paused == 0 && nth != 0 && ++seen == nth) throw std::bad_alloc();
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
