/* SPDX-License-Identifier: MIT */
/* A thousand ports at once, and a hundred thousand one after the other. */
#include "check.h"

#ifdef _WIN32
/* What is allocated in all heaps: the figures of the process are no measure under Wine. */
static double memory_mb(void) {
  HANDLE heaps[64];
  const DWORD count = GetProcessHeaps(64, heaps);
  double bytes = 0;
  DWORD i;
  CHECK(count > 0 && count <= 64);
  for (i = 0; i < count; i++) {
    PROCESS_HEAP_ENTRY entry;
    entry.lpData = NULL;
    while (HeapWalk(heaps[i], &entry)) {
      if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) bytes += (double)entry.cbData;
    }
  }
  return bytes / 1048576.0;
}
#else
#include <unistd.h>
static double memory_mb(void) {
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL);
  CHECK_INT(fscanf(file, "%*s %ld", &pages), 1);
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}
#endif

static void a_thousand_ports(void) {
  enum { many = 1000 };
  static port_t ports[many];
  struct sockaddr_in address;
  struct epoll_event event;
  const sock_t sock = new_udp(&address);
  int i;
  for (i = 0; i < many; i++) {
    ports[i] = new_port();
    CHECK_INT(control(ports[i], EPOLL_CTL_ADD, sock, EPOLLOUT, (uint64_t)i), 0);
  }
  for (i = many - 1; i >= 0; i--) {
    CHECK_INT(epoll_wait(ports[i], &event, 1, LIMIT_MS), 1);
    CHECK_INT(event.data.u64, i);
  }
  for (i = 0; i < many; i += 2) close_port(ports[i]);
  for (i = 0; i < many; i += 2) FAILS(epoll_wait(ports[i], &event, 1, 0), EBADF, ERROR_INVALID_HANDLE);
  for (i = 1; i < many; i += 2) {
    CHECK_INT(epoll_wait(ports[i], &event, 1, LIMIT_MS), 1);
    close_port(ports[i]);
  }
  close_sock(sock);
}

static void come_and_go(int rounds, int with_socket) {
  struct sockaddr_in address;
  struct epoll_event event;
  const sock_t sock = new_udp(&address);
  int i;
  for (i = 0; i < rounds; i++) {
    const port_t port = new_port();
    if (with_socket) {
      add(port, sock, i % 2 == 0 ? EPOLLIN : EPOLLOUT);
      if (i % 4 < 2) CHECK_INT(epoll_wait(port, &event, 1, 0), i % 2);
    }
    close_port(port);
  }
  close_sock(sock);
}

static void no_memory_is_kept(int rounds, int with_socket) {
  come_and_go(1000, with_socket);
  const double before = memory_mb();
  const int handles = open_handles_now();
  come_and_go(rounds, with_socket);
  CHECK_INT(open_handles_now(), handles);
  const double grown = memory_mb() - before;
  printf("%d ports: %.2f MB more than before\n", rounds, grown);
  CHECK(grown < 2.0); /* 16 bytes a port would be 1.5 */
}

static void a_hundred_thousand_ports(void) { no_memory_is_kept(100000, 0); }
static void ten_thousand_ports_with_a_socket(void) { no_memory_is_kept(10000, 1); }

static int nothing_asked(port_t port) {
  struct epoll_event event;
  return epoll_wait(port, &event, 1, 0);
}

/* Without a buffer, a wait only looks the port up. The rest of an empty wait is the kernel's. */
static int looked_up(port_t port) {
  static struct epoll_event* volatile no_buffer = NULL;
  return epoll_wait(port, no_buffer, 1, 0);
}

static double nanoseconds_a_call(int (*call)(port_t), port_t port) {
  enum { rounds = 200, calls = 100 };
  double best = 1e9;
  int round, i;
  for (round = 0; round < rounds; round++) {
    const double begin = now_ms();
    for (i = 0; i < calls; i++) CHECK(call(port) <= 0);
    const double took = (now_ms() - begin) * 1e6 / (double)calls;
    if (took < best) best = took;
  }
  return best;
}

static void look_up_costs_less_than_the_kernel(void) {
  enum { many = 1000 };
  static port_t ports[many];
  int i;
  for (i = 0; i < many; i++) ports[i] = new_port();
  const double look_up = nanoseconds_a_call(looked_up, ports[many / 2]);
  const double wait = nanoseconds_a_call(nothing_asked, ports[many / 2]);
  printf("among %d ports: %.0f ns to look one up and fail, %.0f ns for an empty wait\n", many, look_up, wait);
  if (is_windows()) CHECK(look_up < wait);
  for (i = 0; i < many; i++) close_port(ports[i]);
}

static const struct test tests[] = {
    T(a_thousand_ports),
    T(a_hundred_thousand_ports),
    T(ten_thousand_ports_with_a_socket),
    T(look_up_costs_less_than_the_kernel),
};

int main(int argc, char** argv) { return run_tests(tests, COUNT_OF(tests), argc, argv); }
