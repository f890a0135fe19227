// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>

namespace reactor {

#ifdef _WIN32

/// An SRWLOCK. Not std::mutex: with MSVC a program of another language may have loaded an older msvcp140.dll, which
/// cannot lock one that was initialized at compile time.
class Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // In nt/mutex.cpp.
  void lock() noexcept;
  void unlock() noexcept;

 private:
  void* state_ = nullptr;  // SRWLOCK_INIT
};

#else

using Mutex = std::mutex;

#endif

}  // namespace reactor
