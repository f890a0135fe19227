/* SPDX-License-Identifier: MIT */
/* What the C tests of reactor/epoll.h share: one source for Linux, where they call the kernel's own epoll, and Windows.
 * A failure prints its place and ends the program. */
#ifndef TESTS_EPOLL_CHECK_H
#define TESTS_EPOLL_CHECK_H

/* The amalgamated form has its own. */
#ifndef EPOLL_HEADER
#define EPOLL_HEADER <reactor/epoll.h>
#endif

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>
/* winsock2.h first */
#include <windows.h>
#include <ws2tcpip.h>

#include EPOLL_HEADER

typedef HANDLE port_t;
typedef SOCKET sock_t;
typedef int io_size_t; /* of send */
#define NO_PORT NULL
#define NO_SOCK INVALID_SOCKET
#define SHUT_WRITE SD_SEND
#define SHUT_BOTH SD_BOTH
#else
#include <netinet/in.h>
#include <sys/socket.h>

#include EPOLL_HEADER

typedef int port_t;
typedef int sock_t;
typedef size_t io_size_t;
#define NO_PORT (-1)
#define NO_SOCK (-1)
#define SHUT_WRITE SHUT_WR
#define SHUT_BOTH SHUT_RDWR
/* So that the tests can name what only Windows has; not used on Linux. */
#define ERROR_INVALID_HANDLE 6
#define ERROR_NOT_ENOUGH_MEMORY 8
#define ERROR_INVALID_PARAMETER 87
#define ERROR_ALREADY_EXISTS 183
#define ERROR_NOACCESS 998
#define ERROR_NOT_FOUND 1168
#define WSAENOTSOCK 10038
#endif

#define LIMIT_MS 20000 /* for what must happen */
#define QUIET_MS 60    /* for what must not */

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("false: %s", #condition))
#define CHECK_INT(came, wanted) check_int(__FILE__, __LINE__, #came, (long long)(came), (long long)(wanted))
#define CHECK_MASK(came, wanted) check_mask(__FILE__, __LINE__, (came), (wanted))
/* The call has failed with these, as errno and (on Windows) as GetLastError(). */
#define FAILS(call, error, system)                                      \
  do {                                                                  \
    set_no_error();                                                     \
    const int failed_ = (call) == -1;                                   \
    check_error(__FILE__, __LINE__, #call, failed_, (error), (system)); \
  } while (0)

/* The socket was closed, and nothing of the test took its number. On Linux and Wine 8 it is not open then. Wine 10
 * opens a handle in a wait, which may take the number: then it is no socket's. */
#define FAILS_CLOSED(call, sock)                                                         \
  do {                                                                                   \
    const int taken_ = is_taken(sock);                                                   \
    FAILS(call, taken_ ? ENOTSOCK : EBADF, taken_ ? WSAENOTSOCK : ERROR_INVALID_HANDLE); \
  } while (0)

void check_fail(const char* file, int line, const char* format, ...);
void check_int(const char* file, int line, const char* what, long long came, long long wanted);
void check_mask(const char* file, int line, uint32_t came, uint32_t wanted);
void check_error(const char* file, int line, const char* call, int failed, int error, unsigned long system_error);
void set_no_error(void);
const char* mask_text(uint32_t mask); /* in one of a few buffers of its own */

struct test {
  const char* name;
  void (*run)(void);
};
#define T(name) {#name, name}
/* Runs all tests or those named. Each must leave no file and no port open. */
int run_tests(const struct test* tests, int count, int argc, char** argv);

int is_windows(void);
int is_wine(void);
int open_handles_now(void);
double now_ms(void);

uint32_t random_seed(void); /* printed; REACTOR_SEED in the environment sets it */
uint32_t next_random(uint32_t* state);

typedef struct thread thread_t;
thread_t* start_thread(void (*run)(void*), void* argument);
void join_thread(thread_t* thread);
/* A counter that threads share. */
typedef struct counter counter_t;
counter_t* new_counter(void);
void free_counter(counter_t* counter);
void add_to(counter_t* counter, int by);
int value_of(const counter_t* counter);
/* Waits until it is at least that, and fails after LIMIT_MS. Other threads can run meanwhile. */
void wait_until(const counter_t* counter, int at_least);

port_t new_port(void);
void close_port(port_t port);
port_t port_without_object(void);  /* a number that is not open */
port_t port_of_another_kind(void); /* open, and neither port nor socket; closed at the end of the program */
sock_t sock_of_another_kind(void);
sock_t sock_without_object(void);
int is_taken(sock_t closed); /* on Windows: the number is open again */

/* Each is non-blocking and on the IPv4 loopback. */
sock_t new_tcp(void);
sock_t new_listener(struct sockaddr_in* address);
sock_t new_udp(struct sockaddr_in* address);
int begin_connect(sock_t sock, const struct sockaddr_in* address); /* 0, or -1 when it failed at once */
sock_t accept_one(sock_t listener);                                /* waits for it */
void new_pair(sock_t pair[2]);
sock_t duplicate_sock(sock_t sock);
void close_sock(sock_t sock);
void reset_sock(sock_t sock); /* closes it with RST */
void send_bytes(sock_t sock, int count);
int receive_all(sock_t sock); /* what there is; -1 when the connection is broken */
int socket_error(sock_t sock);

int control(port_t port, int op, sock_t sock, uint32_t events, uint64_t data);
void add(port_t port, sock_t sock, uint32_t events);    /* data.u64 is the socket's number; must succeed */
void modify(port_t port, sock_t sock, uint32_t events); /* likewise */
void del(port_t port, sock_t sock);                     /* must succeed */

/* Waits for an event of that socket with exactly that mask. Earlier events may have part of the mask; any other event
 * ends the test. With 0: no event within QUIET_MS. */
void expect(port_t port, sock_t sock, uint32_t mask);
#define EXPECT(port, sock, mask) (check_at(__FILE__, __LINE__), expect((port), (sock), (mask)))
void check_at(const char* file, int line);

/* By system: Linux, Windows by public sources, Wine as run. */
uint32_t on(uint32_t on_linux, uint32_t on_windows, uint32_t on_wine);

#endif
