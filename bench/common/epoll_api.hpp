// SPDX-License-Identifier: MIT
#pragma once

// The epoll API: the system's own on Linux, ours on Windows. Sources that include it are compiled once more on Windows,
// for wepoll.
#ifdef BENCH_WEPOLL
#include <wepoll.h>

#include <winsock2.h>
#elif defined(_WIN32)
#include <reactor/epoll.h>

#include <winsock2.h>
#else
#include <sys/epoll.h>
#endif

namespace bench {

using EpollPort = decltype(epoll_create1(0));

}  // namespace bench
