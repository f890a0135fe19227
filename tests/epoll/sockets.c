/* SPDX-License-Identifier: MIT */
/* The sockets of the tests, for both systems. */
#include "check.h"

#ifndef _WIN32
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>
#endif

static void set_non_blocking(sock_t sock) {
#ifdef _WIN32
  u_long one = 1;
  CHECK_INT(ioctlsocket(sock, (long)FIONBIO, &one), 0);
#else
  CHECK(fcntl(sock, F_SETFL, O_NONBLOCK) == 0);
#endif
}

static int would_block(void) {
#ifdef _WIN32
  return WSAGetLastError() == WSAEWOULDBLOCK;
#else
  return errno == EAGAIN || errno == EINPROGRESS;
#endif
}

static sock_t new_sock(int type) {
  const sock_t sock = socket(AF_INET, type, 0);
  CHECK(sock != NO_SOCK);
  set_non_blocking(sock);
  return sock;
}

static void bind_to_loopback(sock_t sock, struct sockaddr_in* address) {
  socklen_t size = sizeof *address;
  memset(address, 0, sizeof *address);
  address->sin_family = AF_INET;
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_INT(bind(sock, (struct sockaddr*)address, sizeof *address), 0);
  CHECK_INT(getsockname(sock, (struct sockaddr*)address, &size), 0);
}

sock_t new_tcp(void) { return new_sock(SOCK_STREAM); }

sock_t new_listener(struct sockaddr_in* address) {
  const sock_t sock = new_tcp();
  bind_to_loopback(sock, address);
  CHECK_INT(listen(sock, 16), 0);
  return sock;
}

sock_t new_udp(struct sockaddr_in* address) {
  const sock_t sock = new_sock(SOCK_DGRAM);
  bind_to_loopback(sock, address);
  return sock;
}

int begin_connect(sock_t sock, const struct sockaddr_in* address) {
  if (connect(sock, (const struct sockaddr*)address, sizeof *address) == 0) return 0;
  return would_block() ? 0 : -1;
}

static void wait_for(sock_t sock, uint32_t mask) {
  struct epoll_event event;
  const port_t port = new_port();
  add(port, sock, mask);
  CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
  close_port(port);
}

sock_t accept_one(sock_t listener) {
  wait_for(listener, EPOLLIN);
  const sock_t sock = accept(listener, NULL, NULL);
  CHECK(sock != NO_SOCK);
  set_non_blocking(sock);
  return sock;
}

void new_pair(sock_t pair[2]) {
  struct sockaddr_in address;
  const sock_t listener = new_listener(&address);
  pair[0] = new_tcp();
  CHECK_INT(begin_connect(pair[0], &address), 0);
  pair[1] = accept_one(listener);
  wait_for(pair[0], EPOLLOUT);
  {
    const int one = 1;
    setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, (const char*)&one, sizeof one);
  }
  close_sock(listener);
}

void close_sock(sock_t sock) {
#ifdef _WIN32
  CHECK_INT(closesocket(sock), 0);
#else
  CHECK_INT(close(sock), 0);
#endif
}

void reset_sock(sock_t sock) {
  struct linger how;
  how.l_onoff = 1;
  how.l_linger = 0;
  CHECK_INT(setsockopt(sock, SOL_SOCKET, SO_LINGER, (const char*)&how, sizeof how), 0);
  close_sock(sock);
}

void send_bytes(sock_t sock, int count) {
  static const char bytes[4096];
  while (count > 0) {
    const int part = count < (int)sizeof bytes ? count : (int)sizeof bytes;
    const int sent = (int)send(sock, bytes, (io_size_t)part, 0);
    if (sent < 0 && would_block()) {
      wait_for(sock, EPOLLOUT);
      continue;
    }
    CHECK(sent > 0);
    count -= sent;
  }
}

int receive_all(sock_t sock) {
  char bytes[4096];
  int total = 0;
  for (;;) {
    const int size = (int)recv(sock, bytes, sizeof bytes, 0);
    if (size == 0 || (size < 0 && would_block())) return total;
    if (size < 0) return -1;
    total += size;
  }
}

int socket_error(sock_t sock) {
  int error = 0;
  socklen_t size = sizeof error;
  CHECK_INT(getsockopt(sock, SOL_SOCKET, SO_ERROR, (char*)&error, &size), 0);
  return error;
}

sock_t duplicate_sock(sock_t sock) {
#ifdef _WIN32
  WSAPROTOCOL_INFOW info;
  CHECK_INT(WSADuplicateSocketW(sock, GetCurrentProcessId(), &info), 0);
  const SOCKET made = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                                 WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
#else
  const int made = fcntl(sock, F_DUPFD_CLOEXEC, 0);
#endif
  CHECK(made != NO_SOCK);
  return made;
}
