// SPDX-License-Identifier: MIT
//
// reactor::Mutex on Windows.
#define WIN32_NO_STATUS  // the names are constants in nt/types.hpp
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <reactor/mutex.hpp>

namespace reactor {

namespace {

static_assert(sizeof(SRWLOCK) == sizeof(void*) && alignof(SRWLOCK) == alignof(void*));
SRWLOCK* srwlock_of(void*& state) noexcept { return reinterpret_cast<SRWLOCK*>(&state); }

}  // namespace

void Mutex::lock() noexcept { AcquireSRWLockExclusive(srwlock_of(state_)); }
void Mutex::unlock() noexcept { ReleaseSRWLockExclusive(srwlock_of(state_)); }

}  // namespace reactor
