// SPDX-License-Identifier: MIT
#include <reactor/loop/memory.hpp>

#include <array>
#include <new>

// AddressSanitizer shall see every use of a frame that was destroyed.
#if defined(__SANITIZE_ADDRESS__)
#define REACTOR_LOOP_KEEPS_NOTHING
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REACTOR_LOOP_KEEPS_NOTHING
#endif
#endif

namespace reactor::detail {

namespace {

constexpr std::size_t grain_bytes = 64;
constexpr std::size_t size_max_bytes = 4096;
#ifdef REACTOR_LOOP_KEEPS_NOTHING
constexpr std::size_t kept_max_bytes = 0;
#else
constexpr std::size_t kept_max_bytes = 262'144;
#endif

struct Free {
  Free* next;
};

struct Size {
  Free* first = nullptr;
  std::size_t count = 0;
};

struct Cache {
  std::array<Size, size_max_bytes / grain_bytes + 1> sizes{};
  bool is_over = false;  // the thread ends: nothing is kept any more

  void clear() noexcept {
    for (Size& size : sizes) {
      while (size.first != nullptr) {
        Free* const memory = size.first;
        size.first = memory->next;
        ::operator delete(memory);
      }
      size.count = 0;
    }
  }

// MinGW destroys a thread's variables after it has released their memory. There, what a thread keeps is released by the
// end of its loops alone (release_kept).
#ifndef __MINGW32__
  ~Cache() {
    is_over = true;
    clear();
  }
#endif
};

Cache& cache() noexcept {
  static thread_local Cache of_this_thread;
  return of_this_thread;
}

constexpr std::size_t grains(std::size_t size_bytes) noexcept { return (size_bytes + grain_bytes - 1) / grain_bytes; }

}  // namespace

void* allocate(std::size_t size_bytes) {
  if (size_bytes <= size_max_bytes) {
    Size& size = cache().sizes[grains(size_bytes)];
    if (size.first != nullptr) {
      Free* const memory = size.first;
      size.first = memory->next;
      --size.count;
      return memory;
    }
    return ::operator new(grains(size_bytes) * grain_bytes);
  }
  return ::operator new(size_bytes);
}

void release(void* memory, std::size_t size_bytes) noexcept {
  if (size_bytes <= size_max_bytes) {
    Cache& kept = cache();
    Size& size = kept.sizes[grains(size_bytes)];
    if (!kept.is_over && (size.count + 1) * grains(size_bytes) * grain_bytes <= kept_max_bytes) {
      size.first = ::new (memory) Free{size.first};
      ++size.count;
      return;
    }
  }
  ::operator delete(memory);
}

void release_kept() noexcept { cache().clear(); }

}  // namespace reactor::detail
