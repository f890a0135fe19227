/* SPDX-License-Identifier: MIT */
/* The errors and their order: the table of docs/epoll.md. */
#include "check.h"

#ifdef _WIN32
#define E_OTHER_KIND ENOTSOCK
#define INVALID_PORT INVALID_HANDLE_VALUE
#else
#define E_OTHER_KIND EPERM
#define INVALID_PORT (-1)
#endif

static struct epoll_event event; /* no events */

/* Volatile, as glibc declares that it must not be NULL. */
static struct epoll_event* volatile no_buffer = NULL;

static void create_errors(void) {
  set_no_error();
  CHECK(epoll_create(0) == NO_PORT);
  check_error(__FILE__, __LINE__, "epoll_create(0)", 1, EINVAL, ERROR_INVALID_PARAMETER);
  set_no_error();
  CHECK(epoll_create(-1) == NO_PORT);
  check_error(__FILE__, __LINE__, "epoll_create(-1)", 1, EINVAL, ERROR_INVALID_PARAMETER);
  set_no_error();
  CHECK(epoll_create1(-1) == NO_PORT);
  check_error(__FILE__, __LINE__, "epoll_create1(-1)", 1, EINVAL, ERROR_INVALID_PARAMETER);
  set_no_error();
  CHECK(epoll_create1(19) == NO_PORT);
  check_error(__FILE__, __LINE__, "epoll_create1(19)", 1, EINVAL, ERROR_INVALID_PARAMETER);
  {
    const port_t port = epoll_create(1);
    CHECK(port != NO_PORT);
    close_port(port);
  }
}

static void close_errors(void) {
  FAILS(epoll_close(INVALID_PORT), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_close(port_without_object()), EBADF, ERROR_INVALID_HANDLE);
#ifdef _WIN32 /* on Linux close() closes whatever it is, and descriptor 0 may well be open */
  FAILS(epoll_close(NULL), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_close(port_of_another_kind()), EINVAL, ERROR_INVALID_PARAMETER);
#endif
  {
    const port_t port = new_port();
    close_port(port);
    FAILS(epoll_close(port), EBADF, ERROR_INVALID_HANDLE);
    FAILS(epoll_wait(port, &event, 1, 0), EBADF, ERROR_INVALID_HANDLE);
    FAILS(epoll_ctl(port, EPOLL_CTL_ADD, sock_of_another_kind(), &event), EBADF, ERROR_INVALID_HANDLE);
  }
}

/* Every combination of a good and a bad port, socket, operation and event: the first of EFAULT, EBADF, ENOTSOCK (Linux:
 * EPERM), EINVAL, EEXIST (Linux only: on Windows ADD replaces the registration) and ENOENT. */
static void control_precedence(void) {
  struct sockaddr_in address;
  const port_t port = new_port(), port_of_two = new_port();
  const sock_t added = new_udp(&address), other = new_udp(&address);
  const port_t ports[] = {port, port_without_object(), INVALID_PORT, port_of_another_kind()};
  const sock_t socks[] = {added, other, sock_without_object(), NO_SOCK, sock_of_another_kind()};
  const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, 0, 4, -1};
  int p, s, o, has_event, checked = 0;
  add(port, added, 0);
  for (p = 0; p < COUNT_OF(ports); p++) {
    for (s = 0; s < COUNT_OF(socks); s++) {
      for (o = 0; o < COUNT_OF(ops); o++) {
        for (has_event = 0; has_event < 2; has_event++) {
          int error = 0;
          unsigned long system = 0;
          if (!has_event && ops[o] != EPOLL_CTL_DEL) {
            error = EFAULT, system = ERROR_NOACCESS;
          } else if (p == 1 || p == 2 || s == 2 || s == 3) {
            error = EBADF, system = ERROR_INVALID_HANDLE;
          } else if (s == 4) {
            error = E_OTHER_KIND, system = WSAENOTSOCK;
          } else if (p == 3 || o > 2) {
            error = EINVAL, system = ERROR_INVALID_PARAMETER;
          } else if (s == 0 && ops[o] == EPOLL_CTL_ADD && !is_windows()) {
            error = EEXIST, system = ERROR_ALREADY_EXISTS;
          } else if (s == 1 && ops[o] != EPOLL_CTL_ADD) {
            error = ENOENT, system = ERROR_NOT_FOUND;
          } else {
            continue; /* succeeds: below */
          }
          set_no_error();
          const int result = epoll_ctl(ports[p], ops[o], socks[s], has_event ? &event : NULL);
          char call[96];
          sprintf(call, "epoll_ctl(port %d, op %d, socket %d, %s)", p, ops[o], s, has_event ? "event" : "NULL");
          check_error(__FILE__, __LINE__, call, result == -1, error, system);
          checked++;
        }
      }
    }
  }
  /* Those that succeed: MOD and both DELs of one, ADD of the other; on Windows ADD of the one as well. */
  CHECK_INT(checked, 4 * 5 * 6 * 2 - (is_windows() ? 5 : 4));
  modify(port, added, 0);
  del(port, added);
  add(port, added, 0);
  add(port_of_two, added, 0);
  close_port(port_of_two);
  close_port(port);
  close_sock(added);
  close_sock(other);
}

static void wait_precedence(void) {
  struct epoll_event events[1];
  const port_t port = new_port();
  /* From Linux 6.14 on, a bad port is reported before a bad count. Earlier, and here, it is the other way round. */
  const int counts[] = {0, -1, INT32_MIN};
  int i;
  for (i = 0; i < COUNT_OF(counts); i++) {
    FAILS(epoll_wait(port, events, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
    FAILS(epoll_wait(port, no_buffer, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
    FAILS(epoll_wait(port_of_another_kind(), events, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
#ifdef _WIN32
    FAILS(epoll_wait(NULL, events, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
    FAILS(epoll_wait(INVALID_PORT, events, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
    FAILS(epoll_wait(port_without_object(), events, counts[i], 0), EINVAL, ERROR_INVALID_PARAMETER);
#else
    set_no_error();
    CHECK_INT(epoll_wait(INVALID_PORT, events, counts[i], 0), -1);
    CHECK(errno == EINVAL || errno == EBADF);
#endif
  }
  FAILS(epoll_wait(INVALID_PORT, events, 1, 0), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_wait(port_without_object(), events, 1, 0), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_wait(port_without_object(), no_buffer, 1, 0), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_wait(port_of_another_kind(), events, 1, 0), EINVAL, ERROR_INVALID_PARAMETER);
  FAILS(epoll_wait(port_of_another_kind(), no_buffer, 1, 0), EINVAL, ERROR_INVALID_PARAMETER);
  {
    struct sockaddr_in address; /* Linux uses the buffer only when there is an event */
    const sock_t sock = new_udp(&address);
    add(port, sock, EPOLLOUT);
    FAILS(epoll_wait(port, no_buffer, 1, 0), EFAULT, ERROR_NOACCESS);
    CHECK_INT(epoll_wait(port, events, 1, LIMIT_MS), 1); /* and it is not lost */
    close_sock(sock);
  }
  CHECK_INT(epoll_wait(port, events, 1, 0), 0);
  close_port(port);
}

static void socket_of_another_port(void) {
  struct sockaddr_in address;
  const sock_t sock = new_udp(&address);
  const port_t first = new_port(), second = new_port();
  add(first, sock, 0);
  FAILS(epoll_ctl(second, EPOLL_CTL_DEL, sock, NULL), ENOENT, ERROR_NOT_FOUND);
  FAILS(control(second, EPOLL_CTL_MOD, sock, 0, 0), ENOENT, ERROR_NOT_FOUND);
  add(second, sock, 0);
  del(first, sock);
  FAILS(control(first, EPOLL_CTL_MOD, sock, 0, 0), ENOENT, ERROR_NOT_FOUND);
  modify(second, sock, EPOLLOUT);
  EXPECT(second, sock, EPOLLOUT);
  close_port(first);
  close_port(second);
  close_sock(sock);
}

/* Closed before any wait, after one, and after its event: EBADF at once, and later. */
static void closed_socket(void) {
  static const uint32_t asks[] = {EPOLLIN, EPOLLOUT, EPOLLOUT | EPOLLONESHOT, 0, EPOLLRDHUP};
  int i, looks;
  for (i = 0; i < COUNT_OF(asks); i++) {
    for (looks = 0; looks < 3; looks++) {
      struct epoll_event events[4];
      struct sockaddr_in address;
      const port_t port = new_port();
      const sock_t sock = new_udp(&address);
      add(port, sock, asks[i]);
      if (looks > 0) CHECK_INT(epoll_wait(port, events, 4, 0), (asks[i] & EPOLLOUT) != 0);
      if (looks > 1) CHECK_INT(epoll_wait(port, events, 4, 0), (asks[i] & EPOLLOUT) != 0 && !(asks[i] & EPOLLONESHOT));
      close_sock(sock);
      FAILS_CLOSED(control(port, EPOLL_CTL_MOD, sock, EPOLLIN, 0), sock);
      FAILS_CLOSED(epoll_ctl(port, EPOLL_CTL_DEL, sock, NULL), sock);
      CHECK_INT(epoll_wait(port, events, 4, QUIET_MS), 0);
      FAILS_CLOSED(control(port, EPOLL_CTL_MOD, sock, EPOLLIN, 0), sock);
      FAILS_CLOSED(control(port, EPOLL_CTL_ADD, sock, EPOLLIN, 0), sock);
      close_port(port);
    }
  }
}

static void edge_triggered(void) {
#ifdef _WIN32
  struct sockaddr_in address;
  const port_t port = new_port();
  const sock_t sock = new_udp(&address);
  FAILS(control(port, EPOLL_CTL_ADD, sock, EPOLLIN | REACTOR_EPOLLET, 0), EINVAL, ERROR_INVALID_PARAMETER);
  FAILS(control(port, EPOLL_CTL_MOD, sock, EPOLLIN | REACTOR_EPOLLET, 0), EINVAL, ERROR_INVALID_PARAMETER);
  FAILS(control(port, EPOLL_CTL_DEL, sock, EPOLLIN | REACTOR_EPOLLET, 0), ENOENT, ERROR_NOT_FOUND);
  FAILS(control(port, EPOLL_CTL_ADD, NO_SOCK, EPOLLIN | REACTOR_EPOLLET, 0), EBADF, ERROR_INVALID_HANDLE);
  add(port, sock, EPOLLIN);
  FAILS(control(port, EPOLL_CTL_MOD, sock, EPOLLIN | REACTOR_EPOLLET, 0), EINVAL, ERROR_INVALID_PARAMETER);
  close_port(port);
  close_sock(sock);
#ifdef EPOLLET
#error "EPOLLET is defined: a program that asks by #ifdef is misled"
#endif
#else
  printf("skipped: Linux has EPOLLET\n");
#endif
}

/* Each unknown bit is ignored, except EPOLLET's. */
static void unknown_bits(void) {
  struct sockaddr_in address;
  const port_t port = new_port();
  const sock_t sock = new_udp(&address);
  add(port, sock, EPOLLOUT | (1U << 5) | (1U << 11) | (1U << 12) | (1U << 16) | (1U << 29));
  EXPECT(port, sock, EPOLLOUT);
  modify(port, sock, (1U << 5) | (1U << 11) | (1U << 29));
  EXPECT(port, sock, 0);
  close_port(port);
  close_sock(sock);
}

static void port_in_a_port(void) {
  const port_t port = new_port(), other = new_port();
  struct epoll_event events[1];
#ifdef _WIN32
  FAILS(control(port, EPOLL_CTL_ADD, (SOCKET)other, EPOLLIN, 0), ENOTSOCK, WSAENOTSOCK);
  FAILS(control(port, EPOLL_CTL_ADD, (SOCKET)port, EPOLLIN, 0), ENOTSOCK, WSAENOTSOCK);
#else
  FAILS(control(port, EPOLL_CTL_ADD, port, EPOLLIN, 0), EINVAL, ERROR_INVALID_PARAMETER);
#endif
  CHECK_INT(epoll_wait(port, events, 1, 0), 0);
  close_port(port);
  close_port(other);
}

static void handle_survives_an_int(void) {
  const port_t port = new_port();
#ifdef _WIN32
  const int number = (int)(intptr_t)port;
  DWORD flags;
  CHECK((HANDLE)(intptr_t)number == port);
  CHECK(GetHandleInformation(port, &flags)); /* the port's own kernel handle */
  CHECK_INT(epoll_close((HANDLE)(intptr_t)number), 0);
  CHECK(!GetHandleInformation(port, &flags));
#else
  close_port(port);
#endif
}

static const struct test tests[] = {
    T(create_errors), T(close_errors),   T(control_precedence), T(wait_precedence), T(socket_of_another_port),
    T(closed_socket), T(edge_triggered), T(unknown_bits),       T(port_in_a_port),  T(handle_survives_an_int),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
