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
// All forms: those of AddressSanitizer do not call one another.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  if (here > 0 && paused == 0 && nth != 0 && ++seen == nth) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new(std::size_t size) {
  if (void* memory = ::operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return ::operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return ::operator new(size, tag); }

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
#endif
