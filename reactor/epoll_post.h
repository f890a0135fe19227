/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A wake for epoll_wait on Windows, beyond what wepoll has: an event that a thread sends to a port. It is declared
 * here and not in epoll.h, so that epoll.h declares exactly what wepoll.h does.
 *
 * The header may be included on Linux too. It declares nothing there: the kernel has no such call, and an eventfd does
 * it. REACTOR_EPOLL_POST says which; docs/epoll.md shows a wake for both systems.
 */
#ifndef REACTOR_EPOLL_POST_H
#define REACTOR_EPOLL_POST_H

#include <reactor/epoll.h>

#ifdef _WIN32

/** epoll_post is there. */
#define REACTOR_EPOLL_POST 1

#ifdef __cplusplus
extern "C" {
#endif

/** One wait on the port, of any thread, returns an event with `events` EPOLLMSG and this `data`: the one under way, or
 * else a later one. No socket's event has EPOLLMSG. What the caller wrote before is visible to that thread.
 *
 * Every post is an event of its own, once; many are not merged. They come in the order in which they were posted; a
 * wait has them beside the events of sockets, and neither keeps the other out of a small buffer for long. Without limit
 * but memory: 8 bytes for each that waits, kept for the next until the port is closed. No post allocates as long as no
 * more wait than did before.
 *
 * From any thread, also from a console control handler; it takes a lock, so not from an APC or an exception filter that
 * may have interrupted another call. Costs a kernel call only if a thread sleeps in epoll_wait.
 *
 * 0, or -1: EBADF when the port is not open or was closed; EINVAL when it is something else; ENOMEM, and nothing was
 * posted. What no wait has had when the port is closed is dropped. */
WEPOLL_EXPORT int epoll_post(HANDLE ephnd, uint64_t data);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* _WIN32 */

#endif /* REACTOR_EPOLL_POST_H */
