/* SPDX-License-Identifier: MIT */
/* Preloaded into a server on Linux: epoll refuses every third connection, as it does where the user's watches
 * (fs.epoll.max_user_watches) have run out. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int epoll_ctl(int epoll, int op, int file, struct epoll_event* event) {
  static int (*real)(int, int, int, struct epoll_event*) = NULL;
  static int connections = 0;
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "epoll_ctl");
  if (op == EPOLL_CTL_ADD && getpeername(file, (struct sockaddr*)&peer, &size) == 0 && ++connections % 3 == 0) {
    errno = ENOSPC;
    return -1;
  }
  return real(epoll, op, file, event);
}
