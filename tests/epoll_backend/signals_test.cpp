// SPDX-License-Identifier: MIT
//
// Signals and cancelled threads: a wake from a handler, what a signal does to a wait, pthread_cancel.
#include <doctest/doctest.h>

#include <atomic>

#include <pthread.h>
#include <sys/signalfd.h>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

namespace {

std::atomic<const Waker*> handlers_waker = nullptr;
std::atomic<int> handled = 0;

void wake_in_handler(int) {
  const int interrupted = errno;
  errno = EDOM;
  if (const Waker* const waker = handlers_waker.load()) waker->wake();
  if (errno == EDOM) ++handled;  // wake does not change errno
  errno = interrupted;
}

class Handler {
 public:
  explicit Handler(void (*function)(int)) {
    handled = 0;
    struct sigaction action{};
    action.sa_handler = function;
    action.sa_flags = SA_RESTART;
    REQUIRE(::sigaction(SIGUSR1, &action, &previous_) == 0);
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { ::sigaction(SIGUSR1, &previous_, nullptr); }

 private:
  struct sigaction previous_{};
};

/// Interrupts the thread that created it, again and again.
class Storm {
 public:
  Storm()
      : thread_([this, target = ::pthread_self()] {
          for (; !is_over_; std::this_thread::yield()) ::pthread_kill(target, SIGUSR1);
        }) {}
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() {
    is_over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

/// The result of a thread that runs `function` and is cancelled: PTHREAD_CANCELED if it was.
template <class Function>
void* cancelled(Function function, bool by_itself) {
  struct Start {
    Function function;
    bool by_itself;
  } start{function, by_itself};
  pthread_t thread{};
  const auto run = [](void* argument) -> void* {
    auto& [work, is_cancelling] = *static_cast<Start*>(argument);
    if (is_cancelling) ::pthread_cancel(::pthread_self());
    work();
    return nullptr;
  };
  REQUIRE(::pthread_create(&thread, nullptr, run, &start) == 0);
  if (!by_itself) ::pthread_cancel(thread);
  void* result = nullptr;
  REQUIRE(::pthread_join(thread, &result) == 0);
  return result;
}

}  // namespace

TEST_CASE("a signal handler may call wake while the same thread adds, modifies, waits, removes and destroys") {
  const Handler handler(wake_in_handler);
  const Pair pair;
  pair.peers.write();
  const Storm storm;
  int good = 0;
  for (int round = 0; round != 2000 || handled < 2000; ++round) {
    Waker waker;
    handlers_waker = &waker;  // of no Poller
    handlers_waker = nullptr;
    auto poller = std::optional(Poller::create().value());
    waker = poller->waker();
    handlers_waker = &waker;
    auto registration = poller->add(pair.ours.get(), Token{1}, Interest::readable).value();
    bool is_good = registration.modify(Interest::readable | Interest::writable).has_value();
    std::array<Event, 4> buffer;
    const auto events = poller->wait(buffer);
    is_good = is_good && events && events->size() == 1;
    static_cast<void>(poller->stats());
    is_good = is_good && registration.remove();
    const int before = handled;
    while (handled == before) static_cast<void>(poller->wait(buffer));  // only the handler's wake ends it
    poller.reset();
    handlers_waker = nullptr;
    good += is_good ? 1 : -100'000;
  }
  CHECK(good >= 2000);
}

TEST_CASE("a signal ends a wait only if the wait is interruptible") {
  const Handler handler([](int) { ++handled; });
  std::array<Event, 1> buffer;
  SUBCASE("ordinary") {
    auto poller = make_poller();
    const Storm storm;
    const auto start = Clock::now();
    const auto events = poller.wait(buffer, 50ms);
    CHECK(Clock::now() - start >= 50ms);
    REQUIRE(events);
    CHECK(events->empty());
    CHECK_FALSE(events->woken());
  }
  SUBCASE("interruptible") {
    auto poller = make_poller({.interruptible = true});
    for (const std::optional<std::chrono::nanoseconds> timeout :
         {std::optional<std::chrono::nanoseconds>(), std::optional<std::chrono::nanoseconds>(soon),
          std::optional<std::chrono::nanoseconds>(20ms + 1ns)}) {
      const Storm storm;
      const auto events = poller.wait(buffer, timeout);
      REQUIRE_FALSE(events);
      CHECK(events.error() == std::errc::interrupted);
    }
    poller.waker().wake();
    CHECK(poller.wait(buffer, 0ns).value().woken());
  }
}

TEST_CASE("signalfd: a signal is an event") {
  sigset_t signals;
  sigset_t before;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGUSR2);
  REQUIRE(::pthread_sigmask(SIG_BLOCK, &signals, &before) == 0);
  {
    const Fd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    auto poller = make_poller();
    const auto registration = add(poller, fd, 1);
    CHECK(reports_of(poller, 0ns) == nothing);
    REQUIRE(::pthread_kill(::pthread_self(), SIGUSR2) == 0);
    CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
    signalfd_siginfo info{};
    REQUIRE(::read(fd.get(), &info, sizeof info) == sizeof info);
    CHECK(info.ssi_signo == SIGUSR2);
    CHECK(reports_of(poller, 0ns) == nothing);
  }
  REQUIRE(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
}

TEST_CASE("pthread_cancel ends a wait and leaves the Poller usable") {
  auto poller = make_poller();
  const Pair pair;
  auto registration = add(poller, pair.ours, 1);
  const auto usable = [&] {
    CHECK(registration.modify(Interest::readable));
    poller.waker().wake();
    std::array<Event, 4> buffer;
    CHECK(poller.wait(buffer, soon).value().woken());
  };
  SUBCASE("with each kind of time-out") {
    for (const bool by_itself : {true, false}) {
      for (const std::optional<std::chrono::nanoseconds> timeout :
           {std::optional<std::chrono::nanoseconds>(), std::optional<std::chrono::nanoseconds>(1h),
            std::optional<std::chrono::nanoseconds>(20ms + 1ns)}) {
        const auto wait = [&poller, timeout] {
          std::array<Event, 4> buffer;
          for (;;) static_cast<void>(poller.wait(buffer, timeout));
        };
        CHECK(cancelled(wait, by_itself) == PTHREAD_CANCELED);
        usable();
      }
    }
  }
  SUBCASE("in the pause after a shortage") {
    const Zombie zombie(poller);
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(reports_of(poller, 20ms) == nothing);
    const auto wait = [&poller] {
      std::array<Event, 4> buffer;
      static_cast<void>(poller.wait(buffer));
    };
    CHECK(cancelled(wait, false) == PTHREAD_CANCELED);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    usable();
  }
}

TEST_CASE("pthread_cancel has no effect in any other call") {
  bool is_through = false;
  const Pair pair;
  const auto all_but_wait = [&is_through, &pair] {
    auto poller = Poller::create().value();
    auto registration = poller.add(pair.ours.get(), Token{1}, Interest::readable).value();
    static_cast<void>(registration.modify(Interest::none));
    static_cast<void>(poller.native_handle());
    poller.waker().wake();
    static_cast<void>(poller.stats());
    static_cast<void>(registration.remove());
    {
      const Poller gone = std::move(poller);
    }
    is_through = true;
    ::pthread_testcancel();
  };
  CHECK(cancelled(all_but_wait, true) == PTHREAD_CANCELED);
  CHECK(is_through);
}
