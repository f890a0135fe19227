// SPDX-License-Identifier: MIT
//
// What epoll takes beside sockets, how that is reported, and a Poller that is watched by another event loop.
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>

#include <poll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

namespace {

constexpr auto all = both | Interest::priority;

struct Pipe {
  Fd out;
  Fd in;
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
    out = Fd(ends[0]);
    in = Fd(ends[1]);
  }
};

bool is_ready(int descriptor, int timeout_ms = 0) {
  pollfd one{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, timeout_ms) == 1;
}

}  // namespace

TEST_CASE("pipe: events of the reading end") {
  Pipe pipe;
  auto poller = make_poller();
  auto registration = add(poller, pipe.out, 1, all);
  CHECK(reports_of(poller, 0ns) == nothing);
  pipe.in.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  pipe.in.close();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::hung_up}});
  pipe.out.read();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::hung_up}});  // a read gives 0
  CHECK(registration.modify(Interest::none));
  CHECK(reports_of(poller) == Reports{{1, Readiness::hung_up}});
  CHECK(reports_of(poller, 0ns) == nothing);
}

TEST_CASE("pipe: events of the writing end") {
  Pipe pipe;
  auto poller = make_poller();
  const auto registration = add(poller, pipe.in, 1, all);
  CHECK(reports_of(poller) == Reports{{1, Readiness::writable}});
  const std::vector<char> page(4096);
  while (::write(pipe.in.get(), page.data(), page.size()) > 0) continue;
  CHECK(reports_of(poller, 0ns) == nothing);
  pipe.out.close();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::writable | Readiness::failed}});
}

TEST_CASE("add_handle: a timer, a pipe and a process, each reported once, and a file or a second time refused") {
  auto poller = make_poller();
  const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const itimerspec soonest{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
  REQUIRE(::timerfd_settime(timer.get(), 0, &soonest, nullptr) == 0);
  Pipe pipe;
  auto of_timer = poller.add_handle(timer.get(), Token{1});
  auto of_pipe = poller.add_handle(pipe.out.get(), Token{2});
  REQUIRE(of_timer.has_value());
  REQUIRE(of_pipe.has_value());
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  pipe.in.write();
  CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  CHECK(reports_of(poller, 0ns) == nothing);
  REQUIRE(of_pipe->rearm().has_value());
  CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  CHECK(of_pipe->modify(Interest::readable).error() == std::errc::invalid_argument);
  CHECK(*of_pipe->withdraw() == false);
  CHECK(poller.add_handle(timer.get(), Token{3}).error() == std::errc::file_exists);
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(poller.add_handle(file.get(), Token{3}).error() == std::errc::invalid_argument);
}

TEST_CASE("eventfd and timerfd: readable when written to, and when the time has come") {
  auto poller = make_poller();
  const Fd event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const auto first = add(poller, event, 1);
  const auto second = add(poller, timer, 2);
  CHECK(reports_of(poller, 0ns) == nothing);
  std::uint64_t value = 1;
  REQUIRE(::write(event.get(), &value, sizeof value) == sizeof value);
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  REQUIRE(::read(event.get(), &value, sizeof value) == sizeof value);
  const itimerspec soonest{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
  REQUIRE(::timerfd_settime(timer.get(), 0, &soonest, nullptr) == 0);
  CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  REQUIRE(::read(timer.get(), &value, sizeof value) == sizeof value);
  CHECK(reports_of(poller, 0ns) == nothing);
}

TEST_CASE("pidfd: readable when the process has ended") {
  const Pipe pipe;
  const pid_t child = ::fork();
  if (child == 0) {
    pollfd one{.fd = pipe.out.get(), .events = POLLIN, .revents = 0};
    ::poll(&one, 1, -1);
    ::_exit(7);
  }
  REQUIRE(child > 0);
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  REQUIRE(process.get() >= 0);
  auto poller = make_poller();
  const auto registration = add(poller, process, 1);
  CHECK(reports_of(poller, 0ns) == nothing);
  pipe.in.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("terminal: readable, writable, and a hang-up when its master is closed") {
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (master.get() < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
    MESSAGE("skipped: this system has no pseudo terminals");
    return;
  }
  REQUIRE(master.get() >= 0);
  REQUIRE(::grantpt(master.get()) == 0);
  REQUIRE(::unlockpt(master.get()) == 0);
  std::array<char, 64> name{};
  REQUIRE(::ptsname_r(master.get(), name.data(), name.size()) == 0);
  const Fd terminal(::open(name.data(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(terminal.get() >= 0);
  auto poller = make_poller();
  auto registration = add(poller, terminal, 1, both);
  CHECK(reports_of(poller) == Reports{{1, Readiness::writable}});
  CHECK(registration.modify(Interest::readable));
  REQUIRE(::write(master.get(), "line\n", 5) == 5);
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  master.close();
  CHECK(reports_of(poller) ==
        Reports{{1, Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed}});
}

TEST_CASE("regular files, directories and /dev/null are refused as not_a_socket") {
  auto poller = make_poller();
  for (const char* path : {"/proc/self/exe", "/", "/dev/null"}) {
    CAPTURE(path);
    const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
    CHECK(poller.add(file.get(), Token{1}, Interest::readable).error() == std::errc::not_a_socket);
  }
}

TEST_CASE("native_handle: always the same, and readable while a wait would report something") {
  auto poller = make_poller();
  const int handle = poller.native_handle().value();
  CHECK(poller.native_handle().value() == handle);
  const Pair pair;
  auto registration = add(poller, pair.ours, 1);
  const auto follows = [&] {
    CHECK_FALSE(is_ready(handle));
    pair.peers.write();
    CHECK(is_ready(handle));
    CHECK(reports_of(poller, 0ns) == Reports{{1, Readiness::readable}});
    CHECK(is_ready(handle));  // level
    pair.ours.read();
    CHECK_FALSE(is_ready(handle));
    poller.waker().wake();
    CHECK(is_ready(handle));
    std::array<Event, 4> buffer;
    CHECK(poller.wait(buffer, 0ns).value().woken());
    CHECK_FALSE(is_ready(handle));
  };
  follows();

  // An event loop that watches it does not notice a new instance.
  const Fd loop(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {}};
  REQUIRE(::epoll_ctl(loop.get(), EPOLL_CTL_ADD, handle, &event) == 0);
  for (int i = 0; i != 3; ++i) {
    const Zombie zombie(poller);
    const auto calls = poller.stats().other_calls;
    while (is_ready(handle)) CHECK(reports_of(poller, 0ns) == nothing);
    CHECK(poller.stats().other_calls > calls);
    follows();
    CHECK(::epoll_wait(loop.get(), &event, 1, 0) == 0);
    pair.peers.write();
    CHECK(::epoll_wait(loop.get(), &event, 1, 10'000) == 1);
    CHECK(reports_of(poller, 0ns) == Reports{{1, Readiness::readable}});
    pair.ours.read();
  }
}

TEST_CASE("native_handle: an error for a Poller that was moved from, and when no descriptor is left") {
  auto poller = make_poller();
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto refused = poller.native_handle();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == std::errc::too_many_files_open);
  CHECK(poller.native_handle());
  const Poller taken = std::move(poller);
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move): what this is about
  CHECK(poller.native_handle().error() == std::errc::bad_file_descriptor);
}

TEST_CASE("native_handle: where no descriptor is left for a new instance, an outer loop does not spin") {
  auto poller = make_poller();
  const int handle = poller.native_handle().value();
  Pair pair;
  auto registration = add(poller, pair.ours, 1);
  const Zombie zombie(poller);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 1, .rlim_max = limit.rlim_max};  // poll() takes no more descriptors than that
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  int rounds = 0;
  for (const auto end = Clock::now() + 300ms; Clock::now() < end && is_ready(handle); ++rounds) {
    if (reports_of(poller, 0ns) != nothing) break;
  }
  const bool was_readable = is_ready(handle);
  pair.peers.write();
  const auto ready = reports_of(poller, 0ns);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(was_readable);
  CHECK(rounds <= 10 + 30 + 1);  // 10 to notice, and a pause of 10 ms in each of the others
  CHECK(ready == Reports{{1, Readiness::readable}});

  // The next stale report brings the new instance, and the handle is quiet again.
  pair.ours.read();
  for (int i = 0; i != 20 && is_ready(handle); ++i) CHECK(reports_of(poller, 0ns) == nothing);
  CHECK_FALSE(is_ready(handle));
  const auto start = Clock::now();
  CHECK(reports_of(poller, 0ns) == nothing);
  CHECK(Clock::now() - start < 10ms);
}
