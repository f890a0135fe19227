/* SPDX-License-Identifier: MIT */
/* The rows of docs/semantics.md in epoll's own bits: exactly these and no others, twice in succession. */
#include "check.h"

#define ALL (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP)
#define READ (EPOLLIN | EPOLLRDHUP)
#define BOTH (EPOLLIN | EPOLLOUT | EPOLLRDHUP)
#define OVER (EPOLLERR | EPOLLHUP)

struct watch {
  port_t port;
  sock_t sock;
};

static struct watch watch_of(sock_t sock) {
  const struct watch watch = {new_port(), sock};
  add(watch.port, sock, 0);
  return watch;
}

static void reports_at(int line, const struct watch* watch, uint32_t asked, uint32_t wanted) {
  check_at(__FILE__, line);
  modify(watch->port, watch->sock, asked);
  expect(watch->port, watch->sock, wanted);
  if (wanted != 0) expect(watch->port, watch->sock, wanted); /* level: reported again */
}
#define REPORTS(watch, asked, wanted) reports_at(__LINE__, (watch), (asked), (wanted))

static void row_data(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  REPORTS(&watch, ALL, EPOLLOUT);
  REPORTS(&watch, READ, 0);
  REPORTS(&watch, EPOLLRDHUP, 0);
  REPORTS(&watch, 0, 0);
  send_bytes(pair[0], 1);
  REPORTS(&watch, ALL, EPOLLIN | EPOLLOUT);
  REPORTS(&watch, READ, EPOLLIN);
  REPORTS(&watch, EPOLLIN, EPOLLIN);
  REPORTS(&watch, EPOLLOUT, EPOLLOUT);
  REPORTS(&watch, EPOLLRDHUP, 0);
  REPORTS(&watch, 0, 0);
  CHECK_INT(receive_all(pair[1]), 1);
  REPORTS(&watch, ALL, EPOLLOUT);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_other_names(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  send_bytes(pair[0], 1);
  REPORTS(&watch, EPOLLIN | EPOLLRDNORM, EPOLLIN | EPOLLRDNORM);
  REPORTS(&watch, EPOLLRDNORM, EPOLLRDNORM);
  REPORTS(&watch, EPOLLOUT | EPOLLWRNORM, EPOLLOUT | EPOLLWRNORM);
  REPORTS(&watch, EPOLLWRNORM, EPOLLWRNORM);
  REPORTS(&watch, EPOLLWRBAND, on(0, EPOLLWRBAND, EPOLLWRBAND)); /* Linux: for datagrams only; here as in wepoll */
  REPORTS(&watch, EPOLLRDBAND, 0);
  REPORTS(&watch, EPOLLMSG, 0);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_data_behind_fin(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  send_bytes(pair[0], 1);
  CHECK_INT(shutdown(pair[0], SHUT_WRITE), 0);
  /* Wine reports DISCONNECT only when all data was read (kernel-facts: fin.behind_data). */
  const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
  REPORTS(&watch, ALL, on(all, all, EPOLLIN | EPOLLOUT));
  REPORTS(&watch, READ, on(READ, READ, EPOLLIN));
  REPORTS(&watch, EPOLLIN, EPOLLIN);
  REPORTS(&watch, EPOLLRDHUP, on(EPOLLRDHUP, EPOLLRDHUP, 0));
  CHECK_INT(receive_all(pair[1]), 1);
  REPORTS(&watch, ALL, all);
  REPORTS(&watch, EPOLLRDHUP, EPOLLRDHUP);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_fin_alone(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  CHECK_INT(shutdown(pair[0], SHUT_WRITE), 0);
  REPORTS(&watch, ALL, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
  REPORTS(&watch, READ, READ);
  REPORTS(&watch, EPOLLIN, EPOLLIN);
  REPORTS(&watch, EPOLLRDHUP, EPOLLRDHUP);
  REPORTS(&watch, EPOLLRDHUP | EPOLLOUT, EPOLLRDHUP | EPOLLOUT);
  REPORTS(&watch, EPOLLOUT, EPOLLOUT);
  REPORTS(&watch, 0, 0);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_own_shutdown(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  const uint32_t ended = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
  CHECK_INT(shutdown(pair[1], SHUT_WRITE), 0);
  REPORTS(&watch, ALL, EPOLLOUT);
  REPORTS(&watch, 0, 0);
  CHECK_INT(shutdown(pair[0], SHUT_WRITE), 0);
  REPORTS(&watch, ALL, on(ended | EPOLLHUP, ended, ended)); /* AFD does not report the shutdown of its own side */
  REPORTS(&watch, 0, on(EPOLLHUP, 0, 0));
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_own_shutdown_of_both(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  CHECK_INT(shutdown(pair[1], SHUT_BOTH), 0);
  REPORTS(&watch, ALL, on(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP, EPOLLOUT, EPOLLOUT));
  REPORTS(&watch, 0, on(EPOLLHUP, 0, 0));
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_reset(void) {
  static const uint32_t asked[] = {ALL, BOTH, READ, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLPRI, 0};
  int i;
  for (i = 0; i < COUNT_OF(asked); i++) {
    sock_t pair[2];
    new_pair(pair);
    const struct watch watch = watch_of(pair[1]);
    reset_sock(pair[0]);
    REPORTS(&watch, asked[i], (asked[i] & BOTH) | OVER);
    close_port(watch.port);
    close_sock(pair[1]);
  }
}

static void row_reset_behind_data(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  send_bytes(pair[0], 1);
  REPORTS(&watch, READ, EPOLLIN);
  reset_sock(pair[0]);
  REPORTS(&watch, BOTH, BOTH | OVER);
  close_port(watch.port);
  close_sock(pair[1]);
}

static void row_refused_connect(void) {
  static const uint32_t asked[] = {ALL, EPOLLOUT, EPOLLIN, EPOLLRDHUP, 0};
  int i;
  for (i = 0; i < COUNT_OF(asked); i++) {
    struct sockaddr_in closed_port;
    close_sock(new_listener(&closed_port));
    const sock_t sock = new_tcp();
    CHECK_INT(begin_connect(sock, &closed_port), 0);
    const struct watch watch = watch_of(sock);
    const uint32_t reported = (asked[i] & BOTH) | EPOLLERR;
    REPORTS(&watch, asked[i], on(reported | EPOLLHUP, reported, reported)); /* as wepoll's users assert it */
#ifdef _WIN32
    CHECK_INT(socket_error(sock), WSAECONNREFUSED);
#else
    CHECK_INT(socket_error(sock), ECONNREFUSED);
#endif
    close_port(watch.port);
    close_sock(sock);
  }
}

static void row_successful_connect(void) {
  struct sockaddr_in address;
  const sock_t listener = new_listener(&address), sock = new_tcp();
  CHECK_INT(begin_connect(sock, &address), 0);
  const struct watch watch = watch_of(sock);
  REPORTS(&watch, EPOLLOUT, EPOLLOUT);
  REPORTS(&watch, ALL, EPOLLOUT);
  REPORTS(&watch, READ, 0);
  CHECK_INT(socket_error(sock), 0);
  close_port(watch.port);
  close_sock(sock);
  close_sock(listener);
}

/* Connects without an answer: those beyond the backlog. Windows refuses them. */
static void row_unanswered_connect(void) {
  struct sockaddr_in address;
  struct epoll_event event;
  sock_t listener = new_tcp(), clients[16];
  socklen_t size = sizeof address;
  int count = 0, found = 0;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_INT(bind(listener, (struct sockaddr*)&address, sizeof address), 0);
  CHECK_INT(getsockname(listener, (struct sockaddr*)&address, &size), 0);
  CHECK_INT(listen(listener, 1), 0);
  while (!found && count < COUNT_OF(clients)) {
    const port_t port = new_port();
    clients[count] = new_tcp();
    CHECK_INT(begin_connect(clients[count], &address), 0);
    add(port, clients[count++], EPOLLOUT);
    const int count_of_events = epoll_wait(port, &event, 1, 250);
    found = count_of_events == 0;
    if (count_of_events == 1 && event.events != EPOLLOUT) count = COUNT_OF(clients);
    close_port(port);
  }
  if (found) {
    const struct watch watch = watch_of(clients[count - 1]);
    REPORTS(&watch, ALL, 0);
    REPORTS(&watch, 0, 0);
    modify(watch.port, watch.sock, ALL);
    CHECK_INT(epoll_wait(watch.port, &event, 1, 0), 0);
    close_sock(clients[--count]);
    EXPECT(watch.port, watch.sock, 0);
    FAILS(control(watch.port, EPOLL_CTL_MOD, watch.sock, ALL, 0), EBADF, ERROR_INVALID_HANDLE);
    close_port(watch.port);
  } else {
    printf("skipped: this system refuses a connect when the listener's backlog is full\n");
  }
  while (count > 0) close_sock(clients[--count]);
  close_sock(listener);
}

static void row_listener(void) {
  struct sockaddr_in address;
  const sock_t listener = new_listener(&address), client = new_tcp();
  const struct watch watch = watch_of(listener);
  REPORTS(&watch, ALL, 0);
  CHECK_INT(begin_connect(client, &address), 0);
  REPORTS(&watch, ALL, EPOLLIN);
  REPORTS(&watch, EPOLLOUT, 0);
  const sock_t server = accept_one(listener);
  REPORTS(&watch, ALL, 0);
  close_port(watch.port);
  close_sock(listener);
  close_sock(client);
  close_sock(server);
}

static void row_full_send_buffer(void) {
  static const char bytes[65536];
  sock_t pair[2];
  long long taken = 0, read = 0;
  new_pair(pair);
  const port_t port = new_port();
  struct epoll_event event;
  add(port, pair[0], EPOLLOUT);
  do {
    int sent;
    while ((sent = (int)send(pair[0], bytes, sizeof bytes, 0)) > 0) taken += sent;
  } while (epoll_wait(port, &event, 1, QUIET_MS) > 0);
  close_port(port);
  const struct watch watch = watch_of(pair[0]);
  REPORTS(&watch, ALL, 0);
  while (read < taken) {
    const int more = receive_all(pair[1]);
    CHECK(more >= 0);
    read += more;
  }
  REPORTS(&watch, ALL, EPOLLOUT);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_urgent_data(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  CHECK_INT(send(pair[0], "!", 1, MSG_OOB), 1);
  REPORTS(&watch, ALL, EPOLLOUT | EPOLLPRI);
  REPORTS(&watch, EPOLLPRI, EPOLLPRI);
  REPORTS(&watch, BOTH, EPOLLOUT);
  REPORTS(&watch, 0, 0);
  close_port(watch.port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

static void row_udp(void) {
  struct sockaddr_in from_address, address;
  const sock_t from = new_udp(&from_address), to = new_udp(&address);
  const struct watch watch = watch_of(to);
  char byte;
  REPORTS(&watch, ALL, EPOLLOUT);
  CHECK_INT(sendto(from, "x", 1, 0, (struct sockaddr*)&address, sizeof address), 1);
  REPORTS(&watch, ALL, EPOLLIN | EPOLLOUT);
  REPORTS(&watch, READ, EPOLLIN);
  REPORTS(&watch, EPOLLRDHUP, 0);
  REPORTS(&watch, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
  REPORTS(&watch, 0, 0);
  CHECK_INT(recv(to, &byte, 1, 0), 1);
  CHECK_INT(sendto(from, "", 0, 0, (struct sockaddr*)&address, sizeof address), 0); /* an empty datagram */
  REPORTS(&watch, ALL, EPOLLIN | EPOLLOUT);
  REPORTS(&watch, READ, EPOLLIN);
  CHECK_INT(recv(to, &byte, 1, 0), 0);
  REPORTS(&watch, ALL, EPOLLOUT);
  close_port(watch.port);
  close_sock(from);
  close_sock(to);
}

static void row_udp_unreachable(void) {
  struct sockaddr_in closed_port, address;
  close_sock(new_udp(&closed_port));
  const sock_t sock = new_udp(&address);
  CHECK_INT(connect(sock, (struct sockaddr*)&closed_port, sizeof closed_port), 0);
  CHECK_INT(send(sock, "x", 1, 0), 1);
  const struct watch watch = watch_of(sock);
  REPORTS(&watch, ALL, on(EPOLLOUT | EPOLLERR, EPOLLIN | EPOLLOUT, EPOLLOUT));
  REPORTS(&watch, 0, on(EPOLLERR, 0, 0));
  close_port(watch.port);
  close_sock(sock);
}

static void row_never_connected(void) {
  const sock_t sock = new_tcp();
  const struct watch watch = watch_of(sock);
  REPORTS(&watch, ALL, on(EPOLLOUT | EPOLLHUP, 0, 0)); /* AFD has no event for it */
  REPORTS(&watch, 0, on(EPOLLHUP, 0, 0));
  close_port(watch.port);
  close_sock(sock);
}

static void row_closed(void) {
  sock_t pair[2];
  new_pair(pair);
  const struct watch watch = watch_of(pair[1]);
  REPORTS(&watch, READ, 0);
  modify(watch.port, watch.sock, ALL);
  close_sock(pair[1]);
  EXPECT(watch.port, watch.sock, 0);
  close_port(watch.port);
  close_sock(pair[0]);
}

static void row_duplicated(void) {
  sock_t pair[2];
  new_pair(pair);
  const sock_t other = duplicate_sock(pair[1]);
  const struct watch watch = watch_of(pair[1]);
  REPORTS(&watch, READ, 0);
  close_sock(pair[1]);
  EXPECT(watch.port, watch.sock, 0); /* still the same connection, on both systems */
  send_bytes(pair[0], 1);
  EXPECT(watch.port, watch.sock, EPOLLIN);
  /* Windows polls again by the closed number, and so finds out; epoll has registered the connection. */
  EXPECT(watch.port, watch.sock, on(EPOLLIN, 0, 0));
  close_port(watch.port);
  close_sock(other);
  close_sock(pair[0]);
}

static const struct test tests[] = {
    T(row_data),
    T(row_other_names),
    T(row_data_behind_fin),
    T(row_fin_alone),
    T(row_own_shutdown),
    T(row_own_shutdown_of_both),
    T(row_reset),
    T(row_reset_behind_data),
    T(row_refused_connect),
    T(row_successful_connect),
    T(row_unanswered_connect),
    T(row_listener),
    T(row_full_send_buffer),
    T(row_urgent_data),
    T(row_udp),
    T(row_udp_unreachable),
    T(row_never_connected),
    T(row_closed),
    T(row_duplicated),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
