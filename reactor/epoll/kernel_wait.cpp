// SPDX-License-Identifier: MIT
#include <reactor/epoll/kernel_wait.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>

#include <linux/time_types.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace reactor::epoll {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// From here on a wait is cut down to whole milliseconds, and its caller waits once more for what is left.
constexpr nanoseconds long_wait = milliseconds(50);

#ifdef SYS_epoll_pwait2
int wait_for_nanoseconds(int epoll, epoll_event* events, int events_max, nanoseconds left) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
  // time_t may have 32 bits; the caller waits again where that is too short.
  const auto whole = std::min<std::chrono::seconds::rep>(seconds.count(), INT_MAX);
  const timespec time{.tv_sec = static_cast<time_t>(whole), .tv_nsec = static_cast<long>((left - seconds).count())};
  return ::epoll_pwait2(epoll, events, events_max, &time, nullptr);
#else  // by number: a cancellation takes effect only before or after it
  const __kernel_timespec time{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
  return static_cast<int>(syscall(SYS_epoll_pwait2, epoll, events, events_max, &time, nullptr, std::size_t{0}));
#endif
}
#endif

}  // namespace

int kernel_wait(int epoll, std::span<std::byte> reports, std::optional<nanoseconds> left,
                std::atomic<bool>& has_nanoseconds) {
  auto* const events = reinterpret_cast<epoll_event*>(reports.data());
  const int events_max = static_cast<int>(reports.size() / sizeof(epoll_event));
#ifdef SYS_epoll_pwait2
  // Since Linux 5.11. Only for what milliseconds cannot say: it costs some 10 % more than epoll_wait.
  if (left && *left < long_wait && *left % milliseconds(1) != nanoseconds::zero() &&
      has_nanoseconds.load(std::memory_order_relaxed)) {
    const int count = wait_for_nanoseconds(epoll, events, events_max, *left);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_nanoseconds.store(false, std::memory_order_relaxed);  // EPERM: a sandbox that does not know it
  }
#endif
  std::int64_t left_ms = -1;
  if (left) {
    left_ms =
        (*left < long_wait ? std::chrono::ceil<milliseconds>(*left) : std::chrono::floor<milliseconds>(*left)).count();
  }
  return ::epoll_wait(epoll, events, events_max, static_cast<int>(std::min<std::int64_t>(left_ms, INT_MAX)));
}

int pause_for(nanoseconds time) {
  const timespec wanted{.tv_sec = 0, .tv_nsec = static_cast<long>(time.count())};
  return ::clock_nanosleep(CLOCK_MONOTONIC, 0, &wanted, nullptr);
}

}  // namespace reactor::epoll
