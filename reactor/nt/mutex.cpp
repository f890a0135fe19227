// SPDX-License-Identifier: MIT
//
// reactor::Mutex on Windows.
#include <reactor/nt/windows.hpp>

#include <reactor/mutex.hpp>

namespace reactor {

namespace {

static_assert(sizeof(SRWLOCK) == sizeof(void*) && alignof(SRWLOCK) == alignof(void*));
SRWLOCK* srwlock_of(void*& state) noexcept { return reinterpret_cast<SRWLOCK*>(&state); }

}  // namespace

void Mutex::lock() noexcept { AcquireSRWLockExclusive(srwlock_of(state_)); }
void Mutex::unlock() noexcept { ReleaseSRWLockExclusive(srwlock_of(state_)); }

}  // namespace reactor
