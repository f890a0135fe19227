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

constexpr std::size_t grains(std::size_t size_bytes) noexcept { return (size_bytes + grain_bytes - 1) / grain_bytes; }

struct Size {
  Free* first = nullptr;
  std::size_t space = 0;  // so many more are kept
};

struct Cache {
  std::array<Size, size_max_bytes / grain_bytes + 1> sizes{};
  bool is_open = false;  // it has space
  bool is_over = false;  // the thread ends: nothing is kept any more

  void open() noexcept {
    is_open = true;
    for (std::size_t i = 1; i != sizes.size(); ++i) sizes[i].space = kept_max_bytes / (i * grain_bytes);
  }
  void clear() noexcept {
    is_open = false;
    for (Size& size : sizes) {
      while (size.first != nullptr) {
        Free* const memory = size.first;
        size.first = memory->next;
        ::operator delete(memory);
      }
      size.space = 0;
    }
  }
};

// Without a constructor and a destructor, so that no use has to find out whether it was constructed.
constinit thread_local Cache cache;

// At the thread's end what it keeps is released. Not with MinGW, which destroys a thread's variables after it has
// released their memory: there the end of its loops alone does that (release_kept).
void open_cache() noexcept {
#ifndef __MINGW32__
  struct Owner {
    ~Owner() {
      cache.clear();
      cache.is_over = true;
    }
  };
  static thread_local const Owner owner;
  static_cast<void>(owner);
#endif
  cache.open();
}

void release_without_space(void* memory, std::size_t size_bytes) noexcept {
  if (cache.is_open || cache.is_over || kept_max_bytes == 0) return ::operator delete(memory);
  open_cache();
  release(memory, size_bytes);
}

}  // namespace

void* allocate(std::size_t size_bytes) {
  if (size_bytes > size_max_bytes) return ::operator new(size_bytes);
  Size& size = cache.sizes[grains(size_bytes)];
  if (size.first == nullptr) return ::operator new(grains(size_bytes) * grain_bytes);
  Free* const memory = size.first;
  size.first = memory->next;
  ++size.space;
  return memory;
}

void release(void* memory, std::size_t size_bytes) noexcept {
  if (size_bytes > size_max_bytes) return ::operator delete(memory);
  Size& size = cache.sizes[grains(size_bytes)];
  if (size.space == 0) return release_without_space(memory, size_bytes);
  --size.space;
  size.first = ::new (memory) Free{size.first};
}

void release_kept() noexcept { cache.clear(); }

}  // namespace reactor::detail
