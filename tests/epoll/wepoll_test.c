/* SPDX-License-Identifier: MIT */
/* The behaviour that the tests of wepoll 1.5.8 require, in tests of our own, through its own #include. */
#include "wepoll.h"
#include "check.h"

#define EVERYTHING                                                                                               \
  (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND | \
   EPOLLMSG | EPOLLRDHUP)

static void drops_what_is_closed(void) {
  static const uint32_t asks[] = {EPOLLIN, EPOLLIN, EPOLLOUT, EPOLLOUT | EPOLLONESHOT, 0};
  struct sockaddr_in address;
  struct epoll_event events[8];
  sock_t socks[5];
  int i;
  const port_t port = new_port();
  for (i = 0; i < 5; i++) {
    socks[i] = new_udp(&address);
    add(port, socks[i], asks[i]);
  }
  close_sock(socks[0]);
  CHECK_INT(epoll_wait(port, events, 8, -1), 2);
  FAILS_CLOSED(control(port, EPOLL_CTL_MOD, socks[0], EPOLLERR | EPOLLHUP, 0), socks[0]);
  FAILS_CLOSED(control(port, EPOLL_CTL_DEL, socks[0], 0, 0), socks[0]);
  close_sock(socks[1]);
  close_sock(socks[2]);
  CHECK_INT(epoll_wait(port, events, 8, 0), 0);
  close_sock(socks[3]);
  close_sock(socks[4]);
  CHECK_INT(epoll_wait(port, events, 8, 0), 0);
  for (i = 1; i < 5; i++) {
    FAILS_CLOSED(control(port, EPOLL_CTL_MOD, socks[i], EPOLLERR | EPOLLHUP, 0), socks[i]);
    FAILS_CLOSED(control(port, EPOLL_CTL_DEL, socks[i], 0, 0), socks[i]);
  }
  close_port(port);
}

/* Added before the connect, with all bits. Linux has EPOLLHUP too. */
static void failed_connect(void) {
  struct sockaddr_in closed_port;
  struct epoll_event event;
  const port_t port = new_port();
  const sock_t sock = new_tcp();
  const uint32_t mask = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDHUP;
  close_sock(new_listener(&closed_port));
  add(port, sock, EVERYTHING);
  CHECK_INT(begin_connect(sock, &closed_port), 0);
  CHECK_INT(epoll_wait(port, &event, 1, -1), 1);
  CHECK_MASK(event.events, on(mask | EPOLLHUP, mask, mask));
  CHECK_INT(event.data.u64, sock);
#ifdef _WIN32
  CHECK(event.data.sock == sock && event.data.hnd == (HANDLE)sock);
#endif
  close_sock(sock);
  close_port(port);
}

/* Connected sockets are writable until their send buffer is full. */
static void connected_and_full(void) {
  enum { chunk = 1 << 20 };
  static char bytes[chunk];
  struct sockaddr_in address;
  struct epoll_event events[8];
  const sock_t listener = new_listener(&address), client = new_tcp();
  const port_t port = new_port();
  int round;
  add(port, client, EPOLLOUT);
  /* Linux reports a socket that never connected as hung up, so there is no wait before the connect. */
  CHECK_INT(begin_connect(client, &address), 0);
  const sock_t server = accept_one(listener);
  for (round = 0; round < 5; round++) {
    long long sent = 0, received = 0;
    int size;
    CHECK_INT(epoll_wait(port, events, 8, -1), 1);
    CHECK_MASK(events[0].events, EPOLLOUT);
    do {
      while ((size = (int)send(client, bytes, chunk, 0)) > 0) sent += size;
    } while (epoll_wait(port, events, 8, QUIET_MS) > 0); /* until what is on its way has arrived */
    CHECK_INT(epoll_wait(port, events, 8, 0), 0);
    while (received < sent) {
      size = receive_all(server);
      CHECK(size >= 0);
      received += size;
    }
    CHECK_INT(received, sent);
  }
  del(port, client);
  close_port(port);
  close_sock(listener);
  close_sock(client);
  close_sock(server);
}

/* A thousand sockets, each with a random interest, repeatedly. */
static void random_interest(void) {
  enum { many = 1000, rounds = 4 };
  static sock_t socks[many];
  static uint32_t asked[many];
  static int seen[many];
  struct sockaddr_in address;
  uint32_t random = random_seed();
  const port_t port = new_port();
  int i, round;
  for (i = 0; i < many; i++) {
    socks[i] = new_udp(&address);
    CHECK_INT(control(port, EPOLL_CTL_ADD, socks[i], 0, (uint64_t)i), 0);
  }
  for (round = 0; round < rounds; round++) {
    int count, total = 0, wanted = 0;
    for (i = 0; i < many; i++) {
      asked[i] = next_random(&random) & 0xFF; /* with unknown bits */
      wanted += (asked[i] & EPOLLOUT) != 0;
      seen[i] = 0;
      CHECK_INT(control(port, EPOLL_CTL_MOD, socks[i], asked[i] | EPOLLONESHOT, (uint64_t)i), 0);
    }
    do {
      struct epoll_event events[64];
      count = epoll_wait(port, events, 64, total > 0 ? 0 : -1);
      CHECK(count >= 0);
      total += count;
      for (i = 0; i < count; i++) {
        CHECK_MASK(events[i].events, EPOLLOUT);
        seen[events[i].data.u64]++;
      }
    } while (count > 0);
    CHECK_INT(total, wanted);
    for (i = 0; i < many; i++) CHECK_INT(seen[i], (asked[i] & EPOLLOUT) != 0);
  }
  close_port(port);
  for (i = 0; i < many; i++) close_sock(socks[i]);
}

static void mixed_kinds(void) {
  const int families[] = {AF_INET, AF_INET6};
  const port_t port = new_port();
  int i;
  for (i = 0; i < 2; i++) {
    const sock_t sock = socket(families[i], SOCK_DGRAM, IPPROTO_UDP);
    if (sock == NO_SOCK) {
      printf("skipped: no sockets of family %d here\n", families[i]);
      continue;
    }
    add(port, sock, EPOLLOUT | EPOLLONESHOT);
    EXPECT(port, sock, EPOLLOUT);
    del(port, sock);
    close_sock(sock);
  }
  close_port(port);
}

static void oneshot_and_hang_up(void) {
  sock_t pair[2];
  struct epoll_event event;
  const port_t port = epoll_create(1);
  CHECK(port != NO_PORT);
  new_pair(pair);
  send_bytes(pair[0], 14);
  add(port, pair[1], EPOLLIN | EPOLLONESHOT);
  CHECK_INT(epoll_wait(port, &event, 1, -1), 1);
  CHECK_MASK(event.events, EPOLLIN);
  CHECK_INT(receive_all(pair[1]), 14);
  CHECK_INT(epoll_wait(port, &event, 1, 250), 0);
  /* wepoll returns EEXIST on Windows too; here ADD replaces the registration (docs/epoll.md). */
  if (!is_windows()) {
    FAILS(control(port, EPOLL_CTL_ADD, pair[1], EPOLLIN | EPOLLONESHOT, 0), EEXIST, ERROR_ALREADY_EXISTS);
  }
  modify(port, pair[1], EPOLLRDHUP | EPOLLONESHOT);
  if (!is_wine()) send_bytes(pair[0], 14); /* Wine reports the FIN only when all data was read */
  CHECK_INT(shutdown(pair[0], SHUT_WRITE), 0);
  CHECK_INT(epoll_wait(port, &event, 1, -1), 1);
  CHECK_MASK(event.events, EPOLLRDHUP);
  send_bytes(pair[1],
             1); /* unread at the other end, whose close is a reset then; wepoll has it by the unread data here */
  reset_sock(pair[1]);
  add(port, pair[0], 0);
  CHECK_INT(epoll_wait(port, &event, 1, -1), 1);
  CHECK_MASK(event.events, EPOLLERR | EPOLLHUP); /* wepoll: EPOLLHUP alone */
  CHECK_INT(event.data.u64, pair[0]);
  close_sock(pair[0]);
  close_port(port);
}

/* Many clients, oneshot, that send to one server whenever they are writable. */
static void udp_pings(void) {
  enum { clients = 500, wanted = 3000 };
  static sock_t socks[clients];
  struct sockaddr_in address;
  int i, sent = 0, received = 0;
  const sock_t server = new_udp(&address);
  const port_t port = new_port();
  add(port, server, EPOLLIN | EPOLLERR);
  for (i = 0; i < clients; i++) {
    struct sockaddr_in own;
    socks[i] = new_udp(&own);
    CHECK_INT(connect(socks[i], (struct sockaddr*)&address, sizeof address), 0);
    add(port, socks[i], EPOLLOUT | EPOLLERR | EPOLLONESHOT);
  }
  const double end = now_ms() + LIMIT_MS;
  while (received < wanted) {
    struct epoll_event events[16];
    const int count = epoll_wait(port, events, 15, 1000);
    CHECK(count > 0 && now_ms() < end);
    for (i = 0; i < count; i++) {
      const sock_t sock = (sock_t)events[i].data.u64;
      if (sock == server) {
        char bytes[64];
        int size;
        CHECK_MASK(events[i].events, EPOLLIN);
        while ((size = (int)recv(sock, bytes, sizeof bytes, 0)) > 0) {
          CHECK_INT(size, 5);
          received++;
        }
      } else {
        CHECK_MASK(events[i].events, EPOLLOUT);
        CHECK_INT(send(sock, "PING", 5, 0), 5);
        sent++;
        modify(port, sock, EPOLLOUT | EPOLLONESHOT);
      }
    }
  }
  CHECK(sent >= received);
  close_port(port);
  close_sock(server);
  for (i = 0; i < clients; i++) close_sock(socks[i]);
}

static void nothing_but_come_and_go(void) {
  struct sockaddr_in address;
  struct epoll_event event;
  const port_t port = new_port();
  const sock_t sock = new_udp(&address);
  add(port, sock, 0);
  CHECK_INT(epoll_wait(port, &event, 1, 0), 0);
  del(port, sock);
  close_port(port);
  close_sock(sock);
}

static const struct test tests[] = {
    T(drops_what_is_closed), T(failed_connect),      T(connected_and_full), T(random_interest),
    T(mixed_kinds),          T(oneshot_and_hang_up), T(udp_pings),          T(nothing_but_come_and_go),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
