/* SPDX-License-Identifier: MIT */
/* Modes, data, time-outs, buffer sizes, and changes while a thread waits. */
#include "check.h"

static void level(void) {
  sock_t pair[2];
  int i;
  new_pair(pair);
  const port_t port = new_port();
  add(port, pair[1], EPOLLIN);
  send_bytes(pair[0], 10);
  for (i = 0; i < 20; i++) EXPECT(port, pair[1], EPOLLIN);
  CHECK_INT(receive_all(pair[1]), 10);
  EXPECT(port, pair[1], 0);
  modify(port, pair[1], EPOLLIN | EPOLLOUT);
  EXPECT(port, pair[1], EPOLLOUT);
  modify(port, pair[1], EPOLLIN);
  EXPECT(port, pair[1], 0);
  del(port, pair[1]);
  send_bytes(pair[0], 1);
  {
    struct epoll_event event;
    CHECK_INT(epoll_wait(port, &event, 1, QUIET_MS), 0);
  }
  close_port(port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

/* One event of whatever kind, then nothing more, a reset included, until MOD; on Linux it is EEXIST until then. */
static void oneshot(void) {
  sock_t pair[2];
  int i;
  new_pair(pair);
  const port_t port = new_port();
  add(port, pair[1], EPOLLIN | EPOLLOUT | EPOLLONESHOT);
  for (i = 0; i < 3; i++) {
    EXPECT(port, pair[1], EPOLLOUT);
    EXPECT(port, pair[1], 0);
    if (!is_windows()) FAILS(control(port, EPOLL_CTL_ADD, pair[1], EPOLLIN, 0), EEXIST, ERROR_ALREADY_EXISTS);
    modify(port, pair[1], EPOLLIN | EPOLLOUT | EPOLLONESHOT);
  }
  modify(port, pair[1], EPOLLIN | EPOLLONESHOT);
  send_bytes(pair[0], 1);
  EXPECT(port, pair[1], EPOLLIN);
  EXPECT(port, pair[1], 0);
  CHECK_INT(receive_all(pair[1]), 1);
  reset_sock(pair[0]);
  EXPECT(port, pair[1], 0);
  modify(port, pair[1], EPOLLONESHOT);
  EXPECT(port, pair[1], EPOLLERR | EPOLLHUP);
  EXPECT(port, pair[1], 0);
  modify(port, pair[1], EPOLLIN);
  EXPECT(port, pair[1], EPOLLIN | EPOLLERR | EPOLLHUP);
  EXPECT(port, pair[1], EPOLLIN | EPOLLERR | EPOLLHUP);
  del(port, pair[1]);
  close_port(port);
  close_sock(pair[1]);
}

/* A number that was closed while disarmed, and means another socket now: it can be added. */
static void oneshot_then_closed_and_reused(void) {
  int i;
  for (i = 0; i < 20; i++) {
    struct sockaddr_in address;
    struct epoll_event event;
    const port_t port = new_port();
    const sock_t first = new_udp(&address);
    add(port, first, EPOLLOUT | EPOLLONESHOT);
    EXPECT(port, first, EPOLLOUT);
    if (i % 2 == 1) EXPECT(port, first, 0); /* also after a wait in between */
    close_sock(first);
    const sock_t second = new_udp(&address);
    add(port, second, EPOLLOUT | EPOLLONESHOT);
    CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
    CHECK_INT(event.data.u64, second);
    CHECK_MASK(event.events, EPOLLOUT);
    close_port(port);
    close_sock(second);
  }
}

/* Closed without DEL, and the next socket gets its number, as in each server that was written for Linux. */
static void closed_and_reused(void) {
  static const uint32_t asks[] = {EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLRDHUP, 0};
  struct sockaddr_in address;
  const sock_t listener = new_listener(&address);
  const port_t port = new_port();
  int i, reused = 0;
  sock_t last = NO_SOCK;
  for (i = 0; i < 40; i++) {
    const uint32_t ask = asks[i % COUNT_OF(asks)];
    struct epoll_event event;
    const sock_t client = new_tcp();
    CHECK_INT(begin_connect(client, &address), 0);
    const sock_t server = accept_one(listener);
    reused += server == last;
    last = server;
    add(port, server, ask | EPOLLRDHUP);
    if (i % 3 != 0) CHECK_INT(epoll_wait(port, &event, 1, 0), (ask & EPOLLOUT) != 0);
    send_bytes(client, 1);
    if (i % 3 == 2 && (ask & EPOLLIN)) EXPECT(port, server, ask & (EPOLLIN | EPOLLOUT));
    if (i % 3 == 0) CHECK_INT(epoll_wait(port, &event, 1, 0) >= 0, 1);
    close_sock(server);
    close_sock(client);
  }
  printf("%d of 40 numbers were used again\n", reused);
  close_port(port);
  close_sock(listener);
}

/* EPOLLRDHUP only: data is not reported and does not make the wait spin. The FIN is reported. */
static void rdhup_alone(void) {
  sock_t pair[2];
  new_pair(pair);
  const port_t port = new_port();
  add(port, pair[1], EPOLLRDHUP | EPOLLONESHOT);
  send_bytes(pair[0], 10);
  EXPECT(port, pair[1], 0);
  CHECK_INT(receive_all(pair[1]), 10);
  CHECK_INT(shutdown(pair[0], SHUT_WRITE), 0);
  EXPECT(port, pair[1], EPOLLRDHUP);
  EXPECT(port, pair[1], 0);
  modify(port, pair[1], EPOLLRDHUP | EPOLLIN);
  EXPECT(port, pair[1], EPOLLRDHUP | EPOLLIN);
  close_port(port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

/* The interest becomes narrower while there is no event. What comes later is not reported, not even as an empty event.
 */
static void narrower_interest(void) {
  struct epoll_event event;
  sock_t pair[2];
  new_pair(pair);
  const port_t port = new_port();
  add(port, pair[1], EPOLLIN | EPOLLRDHUP);
  CHECK_INT(epoll_wait(port, &event, 1, 0), 0);
  modify(port, pair[1], EPOLLRDHUP);
  send_bytes(pair[0], 1);
  EXPECT(port, pair[1], 0);
  modify(port, pair[1], EPOLLIN);
  EXPECT(port, pair[1], EPOLLIN);
  close_port(port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

/* Events have the program's own 64 bits unchanged, and MOD changes them. */
static void data(void) {
  static const uint64_t values[] = {0, 1, UINT64_MAX, 0x8000000000000000U, 0x123456789ABCDEF0U, 0xFFFFFFFF00000000U};
  struct sockaddr_in address;
  struct epoll_event event;
  const sock_t sock = new_udp(&address);
  const port_t port = new_port();
  int i;
  CHECK_INT(control(port, EPOLL_CTL_ADD, sock, EPOLLOUT, 42), 0);
  for (i = 0; i < COUNT_OF(values); i++) {
    CHECK_INT(control(port, EPOLL_CTL_MOD, sock, EPOLLOUT, values[i]), 0);
    CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
    CHECK(event.data.u64 == values[i]);
  }
  memset(&event, 0, sizeof event);
  event.events = EPOLLOUT;
  event.data.ptr = &address;
  CHECK_INT(epoll_ctl(port, EPOLL_CTL_MOD, sock, &event), 0);
  memset(&event, 0, sizeof event);
  CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
  CHECK(event.data.ptr == &address);
  memset(&event, 0, sizeof event);
  event.events = EPOLLOUT;
  event.data.fd = -7;
  CHECK_INT(epoll_ctl(port, EPOLL_CTL_MOD, sock, &event), 0);
  CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
  CHECK_INT(event.data.fd, -7);
  close_port(port);
  close_sock(sock);
}

/* Never early, and not much too late. */
static void timeouts(void) {
  static const int timeouts_ms[] = {0, 1, 2, 3, 10, 15, 16, 17, 33, 100, 250};
  struct sockaddr_in address;
  struct epoll_event event;
  const sock_t sock = new_udp(&address);
  const port_t port = new_port();
  int i;
  add(port, sock, EPOLLIN);
  for (i = 0; i < COUNT_OF(timeouts_ms); i++) {
    const double begin = now_ms();
    CHECK_INT(epoll_wait(port, &event, 1, timeouts_ms[i]), 0);
    const double took = now_ms() - begin;
    if (took < timeouts_ms[i]) FAIL("a wait of %d ms took %f", timeouts_ms[i], took);
    if (took > timeouts_ms[i] + LIMIT_MS) FAIL("a wait of %d ms took %f", timeouts_ms[i], took);
  }
  modify(port, sock, EPOLLOUT); /* a ready socket is reported at once */
  CHECK_INT(epoll_wait(port, &event, 1, 0), 1);
  CHECK_INT(epoll_wait(port, &event, 1, -1), 1);
  CHECK_INT(epoll_wait(port, &event, 1, -1000), 1);
  CHECK_INT(epoll_wait(port, &event, 1, INT32_MAX), 1);
  close_port(port);
  close_sock(sock);
}

/* A wait fills the buffer and writes nothing behind it. With a small buffer each socket is reported in turn. */
static void buffer_sizes(void) {
  enum { many = 300 };
  static struct epoll_event events[many + 1];
  sock_t socks[many];
  struct sockaddr_in address;
  int i, round, seen[many];
  const port_t port = new_port();
  for (i = 0; i < many; i++) {
    socks[i] = new_udp(&address);
    CHECK_INT(control(port, EPOLL_CTL_ADD, socks[i], EPOLLOUT, (uint64_t)i), 0);
  }
  memset(events, 0x5A, sizeof events);
  const struct epoll_event untouched = events[many];
  CHECK_INT(epoll_wait(port, events, many, LIMIT_MS), many);
  CHECK(memcmp(&events[many], &untouched, sizeof untouched) == 0);
  CHECK_INT(epoll_wait(port, events, many + 1, LIMIT_MS), many);
  for (round = 0; round < 2; round++) {
    memset(seen, 0, sizeof seen);
    for (i = 0; i < many; i++) {
      CHECK_INT(epoll_wait(port, events, 1, LIMIT_MS), 1);
      seen[events[0].data.u64]++;
    }
    for (i = 0; i < many; i++) CHECK_INT(seen[i], 1);
  }
  close_port(port);
  for (i = 0; i < many; i++) close_sock(socks[i]);
}

struct waiter {
  port_t port;
  struct epoll_event event;
  int result, error;
  counter_t* started;
  counter_t* ended;
};

static void wait_for_one_event(void* argument) {
  struct waiter* waiter = argument;
  add_to(waiter->started, 1);
  waiter->result = epoll_wait(waiter->port, &waiter->event, 1, LIMIT_MS);
  waiter->error = errno;
  add_to(waiter->ended, 1);
}

/* ADD, a wider MOD, and DEL and ADD again: each takes effect in a wait that has begun. */
static void changes_reach_a_waiting_thread(void) {
  int way;
  for (way = 0; way < 3; way++) {
    struct sockaddr_in address;
    struct waiter waiter;
    struct epoll_event event;
    const sock_t sock = new_udp(&address);
    memset(&waiter, 0, sizeof waiter);
    waiter.port = new_port();
    waiter.started = new_counter();
    waiter.ended = new_counter();
    if (way != 0) {
      add(waiter.port, sock, EPOLLIN);
      CHECK_INT(epoll_wait(waiter.port, &event, 1, 0), 0);
    }
    thread_t* thread = start_thread(wait_for_one_event, &waiter);
    wait_until(waiter.started, 1);
    CHECK_INT(epoll_wait(waiter.port, &event, 1, 20),
              0); /* time for it to fall asleep; the test is right without it too */
    CHECK_INT(value_of(waiter.ended), 0);
    if (way == 2) del(waiter.port, sock);
    if (way == 1) {
      modify(waiter.port, sock, EPOLLIN | EPOLLOUT);
    } else {
      add(waiter.port, sock, EPOLLIN | EPOLLOUT);
    }
    join_thread(thread);
    CHECK_INT(waiter.result, 1);
    CHECK_MASK(waiter.event.events, EPOLLOUT);
    CHECK_INT(waiter.event.data.u64, sock);
    free_counter(waiter.started);
    free_counter(waiter.ended);
    close_port(waiter.port);
    close_sock(sock);
  }
}

static const struct test tests[] = {
    T(level),
    T(oneshot),
    T(oneshot_then_closed_and_reused),
    T(closed_and_reused),
    T(rdhup_alone),
    T(narrower_interest),
    T(data),
    T(timeouts),
    T(buffer_sizes),
    T(changes_reach_a_waiting_thread),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
