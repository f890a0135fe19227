/* SPDX-License-Identifier: MIT */
/**
 * @file
 * epoll, in C. On Linux this is the system's own <sys/epoll.h>; on Windows the same five calls on a HANDLE, made of
 * AFD_POLL and a completion port, source- and link-compatible with wepoll 1.5.8.
 *
 * Every function may be called from any thread at any time, also for a port that another thread is closing. On failure
 * each sets errno and, on Windows, GetLastError() too. docs/epoll.md says what differs from Linux and from wepoll.
 */
#ifndef REACTOR_EPOLL_H
#define REACTOR_EPOLL_H

#ifndef _WIN32

#include <sys/epoll.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline int epoll_close(int epfd) { return close(epfd); }

#ifdef __cplusplus
}
#endif

#else /* _WIN32 */

#include <stdint.h>

#ifndef WEPOLL_EXPORT
#define WEPOLL_EXPORT /**< what a program may define for its own build, as with wepoll */
#endif

/* clang-format off */
/** What to report, and what is reported. */
enum EPOLL_EVENTS {
  EPOLLIN      = 1 << 0,          /**< data, a connection to accept, or the end of what the peer sends */
  EPOLLPRI     = 1 << 1,          /**< urgent (out-of-band) data */
  EPOLLOUT     = 1 << 2,          /**< space in the send buffer, or a connect that ended, well or not */
  EPOLLERR     = 1 << 3,          /**< reset, or a connect that failed; reported whether asked for or not */
  EPOLLHUP     = 1 << 4,          /**< both directions are over; reported whether asked for or not */
  EPOLLRDNORM  = 1 << 6,          /**< comes with EPOLLIN */
  EPOLLRDBAND  = 1 << 7,          /**< comes with EPOLLPRI */
  EPOLLWRNORM  = 1 << 8,          /**< comes with EPOLLOUT */
  EPOLLWRBAND  = 1 << 9,          /**< comes with EPOLLOUT, but for a connect that failed */
  EPOLLMSG     = 1 << 10,         /**< never of a socket: a post (reactor/epoll_post.h) */
  EPOLLRDHUP   = 1 << 13,         /**< the peer sent FIN; may be asked for without EPOLLIN */
  EPOLLONESHOT = -2147483647 - 1  /**< bit 31: one event, then disarmed until EPOLL_CTL_MOD */
};

/** @cond the same for the preprocessor */
#define EPOLLIN      (1U << 0)
#define EPOLLPRI     (1U << 1)
#define EPOLLOUT     (1U << 2)
#define EPOLLERR     (1U << 3)
#define EPOLLHUP     (1U << 4)
#define EPOLLRDNORM  (1U << 6)
#define EPOLLRDBAND  (1U << 7)
#define EPOLLWRNORM  (1U << 8)
#define EPOLLWRBAND  (1U << 9)
#define EPOLLMSG     (1U << 10)
#define EPOLLRDHUP   (1U << 13)
#define EPOLLONESHOT (1U << 31)
/** @endcond */

/** EPOLLET is not defined here, as in wepoll, so that "#ifdef EPOLLET" says what there is. The bit that a program may give
 * that name on Windows is this one; it is refused with EINVAL. */
#define REACTOR_EPOLLET (1U << 30)

#define EPOLL_CTL_ADD 1 /**< epoll_ctl: register a socket */
#define EPOLL_CTL_MOD 2 /**< epoll_ctl: change what to report */
#define EPOLL_CTL_DEL 3 /**< epoll_ctl: remove it */
/* clang-format on */

/* What the Windows headers call these, where they were not included before. */
#ifndef _WINNT_
typedef void* HANDLE; /**< as in the Windows headers */
#endif
#ifndef _WINSOCK2API_
typedef uintptr_t SOCKET; /**< as in the Windows headers */
#endif

/** The program's own value, which comes back as it was given: one of these. */
/* NOLINTNEXTLINE(modernize-use-using): this is C */
typedef union epoll_data {
  void* ptr;    /**< a pointer */
  int fd;       /**< a number */
  uint32_t u32; /**< 32 bits */
  uint64_t u64; /**< 64 bits */
  SOCKET sock;  /**< a socket; Windows alone */
  HANDLE hnd;   /**< a handle; Windows alone */
} epoll_data_t;

/** An interest for epoll_ctl, an event from epoll_wait. */
struct epoll_event {
  uint32_t events;   /**< EPOLL_EVENTS */
  epoll_data_t data; /**< the program's own */
};

#ifdef __cplusplus
extern "C" {
#endif

/** A new port: a kernel handle, to be closed with epoll_close alone. NULL on failure. Starts Winsock.
 * EINVAL: `size` is not above 0, `flags` is not 0. ENOMEM, or the system's own reason. */
WEPOLL_EXPORT HANDLE epoll_create(int size);
/** The same; `flags` has to be 0. */
WEPOLL_EXPORT HANDLE epoll_create1(int flags);

/** 0, or -1: EBADF when it is not open, EINVAL when it is something else than a port.
 * Threads that wait on it return from epoll_wait with EBADF. */
WEPOLL_EXPORT int epoll_close(HANDLE ephnd);

/** 0, or -1, with the first of these that applies:
 * EFAULT: no event (EPOLL_CTL_DEL needs none); EBADF: the port or the socket is not open; ENOTSOCK: something else than
 * a socket; EINVAL: something else than a port, REACTOR_EPOLLET, or no such operation; ENOENT: not added;
 * ENOMEM, or the system's own reason. EPOLL_CTL_ADD of a socket that was added replaces what is registered (EEXIST on
 * Linux, and with wepoll). A change reaches threads that wait already. */
WEPOLL_EXPORT int epoll_ctl(HANDLE ephnd, int op, SOCKET sock, struct epoll_event* event);

/** How many events, 0 when `timeout` milliseconds are over (below 0: never), or -1, with the first of these that
 * applies: EINVAL: `maxevents` is not above 0; EBADF: not open, or closed meanwhile; EINVAL: something else than a
 * port; EFAULT: no buffer; ENOMEM. Never returns before its time is over, by a monotonic clock. */
WEPOLL_EXPORT int epoll_wait(HANDLE ephnd, struct epoll_event* events, int maxevents, int timeout);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* _WIN32 */

#endif /* REACTOR_EPOLL_H */
