/* SPDX-License-Identifier: MIT */
/* Threads, clock and odd handles, for both systems. */
#include "check.h"

#ifdef _WIN32
#include <process.h>
#else
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#endif

struct thread {
  void (*run)(void*);
  void* argument;
#ifdef _WIN32
  HANDLE handle;
#else
  pthread_t handle;
#endif
};

struct counter {
#ifdef _WIN32
  volatile LONG value;
#else
  atomic_int value;
#endif
};

counter_t* new_counter(void) {
  counter_t* counter = calloc(1, sizeof *counter);
  CHECK(counter != NULL);
  return counter;
}
void free_counter(counter_t* counter) { free(counter); }

#ifdef _WIN32

static unsigned __stdcall run_thread(void* argument) {
  const thread_t* thread = argument;
  thread->run(thread->argument);
  return 0;
}

thread_t* start_thread(void (*run)(void*), void* argument) {
  thread_t* thread = malloc(sizeof *thread);
  CHECK(thread != NULL);
  thread->run = run;
  thread->argument = argument;
  thread->handle = (HANDLE)_beginthreadex(NULL, 256 * 1024, run_thread, thread, 0, NULL);
  CHECK(thread->handle != NULL);
  return thread;
}

void join_thread(thread_t* thread) {
  CHECK(WaitForSingleObject(thread->handle, 4 * LIMIT_MS) == WAIT_OBJECT_0);
  CloseHandle(thread->handle);
  free(thread);
}

/* Lets another thread run: on one core a loop that only checks would use up its time slice. */
int value_of(const counter_t* counter) {
  SwitchToThread();
  return (int)InterlockedCompareExchange((volatile LONG*)&counter->value, 0, 0);
}
void add_to(counter_t* counter, int by) { InterlockedExchangeAdd(&counter->value, by); }

double now_ms(void) {
  LARGE_INTEGER now, frequency;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&frequency);
  return (double)now.QuadPart * 1000.0 / (double)frequency.QuadPart;
}

int is_windows(void) { return 1; }
int is_wine(void) { return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL; }

port_t port_without_object(void) { return (HANDLE)(uintptr_t)0xBADBAC; }
int is_taken(sock_t closed) {
  DWORD flags;
  return GetHandleInformation((HANDLE)closed, &flags) != 0;
}

sock_t sock_without_object(void) { return (SOCKET)0xBADBAC; }
port_t port_of_another_kind(void) {
  static HANDLE event = NULL;
  if (event == NULL) event = CreateEventW(NULL, FALSE, FALSE, NULL);
  CHECK(event != NULL);
  return event;
}
sock_t sock_of_another_kind(void) { return (SOCKET)port_of_another_kind(); }

#else

static void* run_thread(void* argument) {
  const thread_t* thread = argument;
  thread->run(thread->argument);
  return NULL;
}

thread_t* start_thread(void (*run)(void*), void* argument) {
  thread_t* thread = malloc(sizeof *thread);
  CHECK(thread != NULL);
  thread->run = run;
  thread->argument = argument;
  CHECK_INT(pthread_create(&thread->handle, NULL, run_thread, thread), 0);
  return thread;
}

void join_thread(thread_t* thread) {
  CHECK_INT(pthread_join(thread->handle, NULL), 0);
  free(thread);
}

int value_of(const counter_t* counter) {
  sched_yield();
  return atomic_load(&counter->value);
}
void add_to(counter_t* counter, int by) { atomic_fetch_add(&counter->value, by); }

double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1000.0 + (double)now.tv_nsec / 1e6;
}

int is_windows(void) { return 0; }
int is_wine(void) { return 0; }
int is_taken(sock_t closed) {
  (void)closed;
  return 0;
}

port_t port_without_object(void) { return 900000; }
sock_t sock_without_object(void) { return 900000; }
/* On Linux no regular file can be polled: EPERM is to epoll what ENOTSOCK is on Windows. */
port_t port_of_another_kind(void) {
  static int file = -1;
  if (file < 0) file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  return file;
}
sock_t sock_of_another_kind(void) { return port_of_another_kind(); }

#endif
