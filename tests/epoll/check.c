/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdarg.h>

static const char* at_file = "";
static int at_line = 0;
static const char* running = "";

void check_at(const char* file, int line) {
  at_file = file;
  at_line = line;
}

void check_fail(const char* file, int line, const char* format, ...) {
  va_list arguments;
  printf("FAIL %s: %s:%d: ", running, file, line);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  fflush(stdout);
  _Exit(1);
}

void check_int(const char* file, int line, const char* what, long long came, long long wanted) {
  if (came != wanted) check_fail(file, line, "%s is %lld, not %lld (errno %d)", what, came, wanted, errno);
}

void check_mask(const char* file, int line, uint32_t came, uint32_t wanted) {
  if (came != wanted) check_fail(file, line, "came %s, not %s", mask_text(came), mask_text(wanted));
}

void set_no_error(void) {
  errno = 0;
#ifdef _WIN32
  SetLastError(0);
#endif
}

void check_error(const char* file, int line, const char* call, int failed, int error, unsigned long system_error) {
  const int came = errno;
#ifdef _WIN32
  const unsigned long system_came = GetLastError();
#else
  const unsigned long system_came = system_error;
#endif
  if (!failed) check_fail(file, line, "%s did not fail", call);
  if (came != error) check_fail(file, line, "%s: errno is %d, not %d", call, came, error);
  if (system_came != system_error) {
    check_fail(file, line, "%s: GetLastError() is %lu, not %lu", call, system_came, system_error);
  }
}

const char* mask_text(uint32_t mask) {
  static const struct {
    uint32_t bit;
    const char* name;
  } names[] = {{EPOLLIN, "IN"},         {EPOLLPRI, "PRI"},       {EPOLLOUT, "OUT"},        {EPOLLERR, "ERR"},
               {EPOLLHUP, "HUP"},       {EPOLLRDNORM, "RDNORM"}, {EPOLLRDBAND, "RDBAND"},  {EPOLLWRNORM, "WRNORM"},
               {EPOLLWRBAND, "WRBAND"}, {EPOLLRDHUP, "RDHUP"},   {EPOLLONESHOT, "ONESHOT"}};
  static char buffers[4][128];
  static int turn = 0;
  char* text = buffers[turn++ % 4];
  int i;
  text[0] = '\0';
  for (i = 0; i < COUNT_OF(names); i++) {
    if ((mask & names[i].bit) == 0) continue;
    if (text[0] != '\0') strcat(text, "|");
    strcat(text, names[i].name);
    mask &= ~names[i].bit;
  }
  if (mask != 0) sprintf(text + strlen(text), "|0x%X", (unsigned)mask);
  return text[0] == '\0' ? "nothing" : text;
}

static int is_named(const char* name, int argc, char** argv) {
  int i;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], name) == 0) return 1;
  }
  return argc == 1;
}

/* What the system opens once in a process and keeps is not a leak. */
static void warm_up(void) {
  sock_t pair[2];
  const port_t port = new_port();
  new_pair(pair);
  add(port, pair[0], EPOLLOUT);
  expect(port, pair[0], EPOLLOUT);
  close_port(port);
  close_sock(pair[0]);
  close_sock(pair[1]);
}

int run_tests(const struct test* tests, int count, int argc, char** argv) {
  int i, ran = 0;
  setvbuf(stdout, NULL, _IONBF, 0);
  running = "warm_up";
#ifdef _WIN32
  {
    WSADATA data;
    CHECK_INT(WSAStartup(MAKEWORD(2, 2), &data), 0);
  }
#endif
  (void)port_of_another_kind();
  (void)sock_of_another_kind();
  warm_up();
  for (i = 0; i < count; i++) {
    if (!is_named(tests[i].name, argc, argv)) continue;
    running = tests[i].name;
    const int before = open_handles_now();
    tests[i].run();
    CHECK_INT(open_handles_now(), before);
    printf("PASS %s\n", tests[i].name);
    ran++;
  }
  if (ran == 0) {
    printf("FAIL: no such test\n");
    return 1;
  }
  return 0;
}

uint32_t random_seed(void) {
  const char* set = getenv("REACTOR_SEED");
  const uint32_t seed = set != NULL ? (uint32_t)strtoul(set, NULL, 10) : (uint32_t)(now_ms() * 1000.0) | 1U;
  printf("seed %u (REACTOR_SEED=%u repeats it)\n", (unsigned)seed, (unsigned)seed);
  return seed;
}

uint32_t next_random(uint32_t* state) {
  *state = *state * 1664525U + 1013904223U;
  return *state >> 8;
}

port_t new_port(void) {
  const port_t port = epoll_create1(0);
  if (port == NO_PORT) FAIL("epoll_create1 failed: errno %d", errno);
  return port;
}

void close_port(port_t port) { CHECK_INT(epoll_close(port), 0); }

int control(port_t port, int op, sock_t sock, uint32_t events, uint64_t data) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(port, op, sock, &event);
}

void add(port_t port, sock_t sock, uint32_t events) {
  CHECK_INT(control(port, EPOLL_CTL_ADD, sock, events, (uint64_t)sock), 0);
}
void modify(port_t port, sock_t sock, uint32_t events) {
  CHECK_INT(control(port, EPOLL_CTL_MOD, sock, events, (uint64_t)sock), 0);
}
void del(port_t port, sock_t sock) { CHECK_INT(epoll_ctl(port, EPOLL_CTL_DEL, sock, NULL), 0); }

void expect(port_t port, sock_t sock, uint32_t mask) {
  const double end = now_ms() + LIMIT_MS;
  for (;;) {
    struct epoll_event events[8];
    const int count = epoll_wait(port, events, COUNT_OF(events), mask == 0 ? QUIET_MS : LIMIT_MS);
    if (count == 0 && mask == 0) return;
    if (count != 1 || mask == 0)
      check_fail(at_file, at_line, "%d events, not %s (errno %d)", count, mask_text(mask), errno);
    if (events[0].data.u64 != (uint64_t)sock) check_fail(at_file, at_line, "the event is another socket's");
    if (events[0].events == mask) return;
    if ((events[0].events & ~mask) != 0 || now_ms() > end) check_mask(at_file, at_line, events[0].events, mask);
  }
}

uint32_t on(uint32_t on_linux, uint32_t on_windows, uint32_t on_wine) {
  if (!is_windows()) return on_linux;
  return is_wine() ? on_wine : on_windows;
}

void wait_until(const counter_t* counter, int at_least) {
  const double end = now_ms() + LIMIT_MS;
  while (value_of(counter) < at_least) {
    if (now_ms() > end) FAIL("waited for %d, came to %d", at_least, value_of(counter));
  }
}
