/* SPDX-License-Identifier: MIT */
/* epoll_post, and the wake for both systems that docs/epoll.md shows. */
#include "check.h"

#ifndef EPOLL_POST_HEADER
#define EPOLL_POST_HEADER <reactor/epoll_post.h>
#endif
#include EPOLL_POST_HEADER

#ifndef _WIN32
#include <sys/eventfd.h>
#include <unistd.h>
#endif

/* docs/epoll.md: a wake for both systems */
#ifdef REACTOR_EPOLL_POST
static int wake(port_t port, int wake_fd, uint64_t data) {
  (void)wake_fd; /* there is none */
  return epoll_post(port, data);
}
#else /* the eventfd was added with EPOLLIN and this data */
static int wake(port_t port, int wake_fd, uint64_t data) {
  const uint64_t one = 1;
  (void)port, (void)data;
  return write(wake_fd, &one, sizeof one) == sizeof one ? 0 : -1;
}
#endif
/* docs/epoll.md */

struct waker {
  port_t port;
  int wake_fd;
};

static void wake_once(void* argument) {
  const struct waker* waker = argument;
  CHECK_INT(wake(waker->port, waker->wake_fd, 77), 0);
}

static void wakes_on_both_systems(void) {
  struct epoll_event event;
  struct waker waker = {new_port(), -1};
  thread_t* thread;
#ifndef _WIN32
  waker.wake_fd = eventfd(0, EFD_CLOEXEC);
  CHECK(waker.wake_fd >= 0);
  CHECK_INT(control(waker.port, EPOLL_CTL_ADD, waker.wake_fd, EPOLLIN, 77), 0);
#endif
  thread = start_thread(wake_once, &waker);
  CHECK_INT(epoll_wait(waker.port, &event, 1, LIMIT_MS), 1);
  CHECK_INT(event.data.u64, 77);
  CHECK_MASK(event.events, is_windows() ? EPOLLMSG : EPOLLIN);
  join_thread(thread);
#ifndef _WIN32
  CHECK_INT(close(waker.wake_fd), 0);
#endif
  close_port(waker.port);
}

#ifdef REACTOR_EPOLL_POST

static void each_is_one_event_in_order(void) {
  struct epoll_event events[7];
  uint64_t wanted = UINT64_MAX - 50;
  int i;
  const port_t port = new_port();
  for (i = 0; i < 100; i++) CHECK_INT(epoll_post(port, UINT64_MAX - 50 + (uint64_t)i), 0);
  for (i = 0; i < 100;) {
    int j;
    const int count = epoll_wait(port, events, COUNT_OF(events), 0);
    CHECK(count > 0);
    for (j = 0; j < count; j++, i++) {
      CHECK_MASK(events[j].events, EPOLLMSG);
      CHECK(events[j].data.u64 == wanted++);
    }
  }
  CHECK_INT(epoll_wait(port, events, COUNT_OF(events), 0), 0);
  CHECK_INT(epoll_wait(port, events, COUNT_OF(events), QUIET_MS), 0);
  close_port(port);
}

/* A socket that is always ready and a port that is always posted to. */
static void small_buffers_are_shared(void) {
  struct sockaddr_in address;
  int round, posts = 0, socks = 0;
  const port_t port = new_port();
  const sock_t sock = new_udp(&address);
  add(port, sock, EPOLLOUT);
  for (round = 0; round < 60; round++) {
    struct epoll_event event;
    CHECK_INT(epoll_post(port, 1), 0);
    CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
    if (event.events == EPOLLMSG) {
      CHECK_INT(event.data.u64, 1);
      posts++;
    } else {
      CHECK_MASK(event.events, EPOLLOUT);
      CHECK_INT(event.data.u64, sock);
      socks++;
    }
  }
  CHECK(posts >= 15 && socks >= 15);
  close_port(port);
  close_sock(sock);
}

enum { senders = 4, posts_each = 400, receivers = 3, last = 1 << 30 };

struct one {
  port_t port;
  int index;
  int seen[senders][posts_each];
  counter_t *received, *ended;
};

static void send_posts(void* argument) {
  const struct one* one = argument;
  int i;
  for (i = 0; i < posts_each; i++) CHECK_INT(epoll_post(one->port, (uint64_t)(one->index * posts_each + i)), 0);
}

static void receive_posts(void* argument) {
  struct one* one = argument;
  int newest[senders], is_open = 1;
  memset(newest, -1, sizeof newest);
  while (is_open) {
    struct epoll_event events[5];
    int i;
    const int count = epoll_wait(one->port, events, COUNT_OF(events), LIMIT_MS);
    CHECK(count > 0);
    for (i = 0; i < count; i++) {
      const int data = (int)events[i].data.u64;
      CHECK_MASK(events[i].events, EPOLLMSG);
      if (data == last) {
        is_open = 0;
        continue;
      }
      CHECK(data % posts_each > newest[data / posts_each]); /* in the order in which that thread posted them */
      newest[data / posts_each] = data % posts_each;
      one->seen[data / posts_each][data % posts_each]++;
      add_to(one->received, 1);
    }
  }
  add_to(one->ended, 1);
}

static void many_threads(void) {
  static struct one sending[senders], receiving[receivers];
  thread_t *sender[senders], *receiver[receivers];
  int i, j, k;
  const port_t port = new_port();
  counter_t *received = new_counter(), *ended = new_counter();
  memset(receiving, 0, sizeof receiving);
  for (i = 0; i < receivers; i++) {
    receiving[i].port = port;
    receiving[i].received = received;
    receiving[i].ended = ended;
    receiver[i] = start_thread(receive_posts, &receiving[i]);
  }
  for (i = 0; i < senders; i++) {
    sending[i].port = port;
    sending[i].index = i;
    sender[i] = start_thread(send_posts, &sending[i]);
  }
  for (i = 0; i < senders; i++) join_thread(sender[i]);
  wait_until(received, senders * posts_each);
  for (i = 0; i < receivers; i++) { /* one after the other, so that none takes what is for another */
    CHECK_INT(epoll_post(port, last), 0);
    wait_until(ended, i + 1);
  }
  for (i = 0; i < receivers; i++) join_thread(receiver[i]);
  CHECK_INT(value_of(received), senders * posts_each);
  for (j = 0; j < senders; j++) {
    for (k = 0; k < posts_each; k++) {
      int times = 0;
      for (i = 0; i < receivers; i++) times += receiving[i].seen[j][k];
      CHECK_INT(times, 1);
    }
  }
  free_counter(received);
  free_counter(ended);
  close_port(port);
}

static void errors(void) {
  const port_t port = new_port();
  CHECK_INT(epoll_post(port, 1), 0); /* dropped with the port */
  close_port(port);
  FAILS(epoll_post(port, 1), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_post(NULL, 1), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_post(INVALID_HANDLE_VALUE, 1), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_post(port_without_object(), 1), EBADF, ERROR_INVALID_HANDLE);
  FAILS(epoll_post(port_of_another_kind(), 1), EINVAL, ERROR_INVALID_PARAMETER);
}

/* PostQueuedCompletionStatus on a port, with a key of the program's own or one of ours: it ends no wait, is no event,
 * and hurts neither posts nor sockets. */
static void what_a_program_queues_itself_is_dropped(void) {
  static char memory[64];
  struct sockaddr_in address;
  struct epoll_event event;
  ULONG_PTR key;
  const sock_t sock = new_udp(&address);
  const port_t port = new_port();
  add(port, sock, EPOLLIN);
  for (key = 0; key < 20; key++) {
    const double begin = now_ms();
    CHECK(PostQueuedCompletionStatus(port, 1, key, NULL));
    CHECK(PostQueuedCompletionStatus(port, 0, (ULONG_PTR)memory, (OVERLAPPED*)memory));
    CHECK_INT(epoll_wait(port, &event, 1, 10), 0);
    CHECK(now_ms() - begin >= 10);
    CHECK_INT(epoll_post(port, 5), 0);
    CHECK_INT(epoll_wait(port, &event, 1, LIMIT_MS), 1);
    CHECK_MASK(event.events, EPOLLMSG);
  }
  CHECK_INT(sendto(sock, "x", 1, 0, (struct sockaddr*)&address, sizeof address), 1);
  EXPECT(port, sock, EPOLLIN);
  close_port(port);
  close_sock(sock);
}

#else

static void on_linux_there_is_none(void) { printf("skipped: epoll_post is for Windows\n"); }
#define each_is_one_event_in_order on_linux_there_is_none
#define small_buffers_are_shared on_linux_there_is_none
#define many_threads on_linux_there_is_none
#define errors on_linux_there_is_none
#define what_a_program_queues_itself_is_dropped on_linux_there_is_none

#endif

static const struct test tests[] = {
    T(wakes_on_both_systems),
    T(each_is_one_event_in_order),
    T(small_buffers_are_shared),
    T(many_threads),
    T(errors),
    T(what_a_program_queues_itself_is_dropped),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
