// SPDX-License-Identifier: MIT
#include <reactor/epoll/process.hpp>

#include <atomic>

#include <pthread.h>

namespace reactor::epoll {

namespace {

constinit std::atomic<std::uint32_t> forks = 0;
static_assert(decltype(forks)::is_always_lock_free);

void count_fork() noexcept { forks.fetch_add(1, std::memory_order_relaxed); }

// Before main, and not at the first use: the guard of a static within a function may be held at the fork.
const int error = ::pthread_atfork(nullptr, nullptr, count_fork);

}  // namespace

std::uint32_t process_mark() noexcept { return forks.load(std::memory_order_relaxed); }

int process_mark_error() noexcept { return error; }

}  // namespace reactor::epoll
