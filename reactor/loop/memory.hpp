// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <reactor/loop/export.hpp>

namespace reactor::detail {

/// Memory for coroutine frames and what lives as long as one. Each thread keeps what was released, by size, and uses it
/// again: so a server that is in a steady state allocates nothing. At most 256 KiB of each size are kept; what is
/// larger than 4 KiB is not. May be released on another thread. Throws std::bad_alloc.
[[nodiscard]] REACTOR_LOOP_API void* allocate(std::size_t size_bytes);
REACTOR_LOOP_API void release(void* memory, std::size_t size_bytes) noexcept;

/// Releases what this thread keeps: at the end of a loop.
REACTOR_LOOP_API void release_kept() noexcept;

/// A base class: what derives from it is created in that memory.
struct Recycled {
  static void* operator new(std::size_t size_bytes) { return allocate(size_bytes); }
  static void operator delete(void* memory, std::size_t size_bytes) noexcept { release(memory, size_bytes); }
};

}  // namespace reactor::detail
