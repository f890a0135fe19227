// SPDX-License-Identifier: MIT
#include "allocation_count.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

// ThreadSanitizer has its own operator new, which cannot be replaced: with it, nothing is counted.
#if defined(__SANITIZE_THREAD__)
#define HAS_OWN_OPERATOR_NEW
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_OWN_OPERATOR_NEW
#endif
#endif

namespace {
std::atomic<std::size_t> count = 0;
}

std::size_t allocations() noexcept { return count.load(); }

#ifndef HAS_OWN_OPERATOR_NEW
// The array forms call these.
void* operator new(std::size_t size) {
  count++;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
