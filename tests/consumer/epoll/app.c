/* SPDX-License-Identifier: MIT */
/* A user's program in C, for both systems, with an installed library. */
#ifdef WITH_WEPOLL_H
#include "wepoll.h"
#else
#include <reactor/epoll.h>
#endif

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>
/* winsock2.h first */
#include <windows.h>
typedef HANDLE port_type;
#else
#include <netinet/in.h>
#include <sys/socket.h>
#define closesocket close
typedef int SOCKET;
typedef int port_type;
#endif

static int fail(const char* expected) {
  printf("FAIL consumer: expected %s\n", expected);
  return 1;
}

int main(void) {
  struct sockaddr_in address;
  struct epoll_event event;
  port_type port = epoll_create1(0);
  SOCKET sock;
#ifdef _WIN32
  if (port == NULL) return fail("a port");
#else
  if (port < 0) return fail("a port");
#endif
  sock = socket(AF_INET, SOCK_DGRAM, 0); /* epoll_create1 has started Winsock */
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(sock, (struct sockaddr*)&address, sizeof address) != 0) return fail("an address");
  memset(&event, 0, sizeof event);
  event.events = EPOLLOUT;
  event.data.u32 = 42;
  if (epoll_ctl(port, EPOLL_CTL_MOD, sock, &event) != -1 || errno != ENOENT) return fail("ENOENT");
#ifdef _WIN32
  if (GetLastError() != ERROR_NOT_FOUND) return fail("ERROR_NOT_FOUND");
#endif
  if (epoll_ctl(port, EPOLL_CTL_ADD, sock, &event) != 0) return fail("a registration");
  memset(&event, 0, sizeof event);
  if (epoll_wait(port, &event, 1, 10000) != 1) return fail("an event");
  if (event.events != EPOLLOUT || event.data.u32 != 42) return fail("that event");
  if (epoll_close(port) != 0) return fail("0 of epoll_close");
  if (epoll_close(port) != -1 || errno != EBADF) return fail("EBADF");
  closesocket(sock);
  puts("PASS consumer");
  return 0;
}
