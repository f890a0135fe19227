// SPDX-License-Identifier: MIT
// A library to preload on Linux: counts the calls that a program and its libraries make to the functions below, each of
// which is one kernel call.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
  call_accept,
  call_accept4,
  call_close,
  call_epoll_ctl,
  call_epoll_pwait,
  call_epoll_pwait2,
  call_epoll_wait,
  call_poll,
  call_read,
  call_readv,
  call_recv,
  call_recvmsg,
  call_send,
  call_sendmsg,
  call_write,
  call_writev,
  call_count
};

static const char* const names[call_count] = {
    "accept", "accept4", "close", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "poll",
    "read",   "readv",   "recv",  "recvmsg",   "send",        "sendmsg",      "write",      "writev",
};
static atomic_ullong counts[call_count];
static void* original[call_count];

__attribute__((visibility("default"))) void bench_each_call(void (*report)(const char*, unsigned long long, void*),
                                                            void* context) {
  for (int i = 0; i < call_count; i++) {
    if (counts[i] > 0) report(names[i], counts[i], context);
  }
}

// Some versions of libuv make their epoll calls by syscall(). Those are not counted: the count is then 0.
#define COUNTED(result, name, parameters, arguments)                                          \
  __attribute__((visibility("default"))) result name parameters {                             \
    typedef result(*function) parameters;                                                     \
    if (!original[call_##name]) original[call_##name] = dlsym(RTLD_NEXT, names[call_##name]); \
    atomic_fetch_add_explicit(&counts[call_##name], 1, memory_order_relaxed);                 \
    return ((function)original[call_##name])arguments;                                        \
  }

COUNTED(int, accept, (int socket, struct sockaddr* address, socklen_t* size), (socket, address, size))
COUNTED(int, accept4, (int socket, struct sockaddr* address, socklen_t* size, int flags),
        (socket, address, size, flags))
COUNTED(int, close, (int file), (file))
COUNTED(int, epoll_ctl, (int port, int operation, int file, struct epoll_event* event), (port, operation, file, event))
COUNTED(int, epoll_pwait, (int port, struct epoll_event* events, int count, int timeout, const sigset_t* mask),
        (port, events, count, timeout, mask))
COUNTED(int, epoll_pwait2,
        (int port, struct epoll_event* events, int count, const struct timespec* timeout, const sigset_t* mask),
        (port, events, count, timeout, mask))
COUNTED(int, epoll_wait, (int port, struct epoll_event* events, int count, int timeout), (port, events, count, timeout))
COUNTED(int, poll, (struct pollfd * entries, nfds_t count, int timeout), (entries, count, timeout))
COUNTED(ssize_t, read, (int file, void* into, size_t size), (file, into, size))
COUNTED(ssize_t, readv, (int file, const struct iovec* parts, int count), (file, parts, count))
COUNTED(ssize_t, recv, (int socket, void* into, size_t size, int flags), (socket, into, size, flags))
COUNTED(ssize_t, recvmsg, (int socket, struct msghdr* message, int flags), (socket, message, flags))
COUNTED(ssize_t, send, (int socket, const void* from, size_t size, int flags), (socket, from, size, flags))
COUNTED(ssize_t, sendmsg, (int socket, const struct msghdr* message, int flags), (socket, message, flags))
COUNTED(ssize_t, write, (int file, const void* from, size_t size), (file, from, size))
COUNTED(ssize_t, writev, (int file, const struct iovec* parts, int count), (file, parts, count))
