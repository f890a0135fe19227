// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <atomic>

#include "allocation_count.hpp"
#include "epoll_backend/support.hpp"

using namespace epoll_test;

TEST_CASE("a reset is reported with Interest::none, a half close is not") {
  auto poller = make_poller();
  TcpPair pair;
  auto registration = add(poller, pair.ours, 1, Interest::none);
  REQUIRE(::send(pair.peers.get(), "!", 1, MSG_OOB) == 1);
  REQUIRE(::shutdown(pair.peers.get(), SHUT_WR) == 0);
  CHECK(reports_of(poller, 5ms) == nothing);
  CHECK(registration.modify(Interest::priority));
  CHECK(reports_of(poller) == Reports{{1, Readiness::priority}});
  CHECK(registration.modify(Interest::readable | Interest::writable));
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::writable | Readiness::read_closed}});
  CHECK(registration.modify(Interest::none));
  const linger abortive{.l_onoff = 1, .l_linger = 0};
  REQUIRE(::setsockopt(pair.peers.get(), SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive) == 0);
  pair.peers.close();
  constexpr auto reset = Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed;
  CHECK(reports_of(poller) == Reports{{1, reset}});
}

TEST_CASE("oneshot and edge report once, until modify") {
  auto poller = make_poller();
  Pair pair;
  pair.peers.write();
  auto mode = Mode::oneshot;
  SUBCASE("oneshot") {}
  SUBCASE("edge") { mode = Mode::edge; }
  auto registration = add(poller, pair.ours, 1, Interest::readable, mode);
  for (int i = 0; i != 3; ++i) {
    CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
    CHECK(registration.drained(Interest::readable));
    CHECK(reports_of(poller, 0ns) == nothing);
    CHECK(registration.modify(Interest::readable));
  }
  CHECK(registration.modify(Interest::readable | Interest::writable, Mode::level));
  for (int i = 0; i != 3; ++i) CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::writable}});
}

TEST_CASE("a wake is reported by the wait that reports events as well") {
  auto poller = make_poller();
  const Pair pair;
  pair.peers.write();
  const auto registration = add(poller, pair.ours, 1, Interest::readable);
  poller.waker().wake();
  std::array<Event, 2> buffer;
  const auto events = poller.wait(buffer);
  REQUIRE(events.has_value());
  CHECK(events->size() == 1);
  CHECK(events->woken());
}

TEST_CASE("an event that was queued before a modify does not disarm what the modify armed") {
  auto poller = make_poller();
  const Pair pair;
  pair.peers.write();
  auto registration = add(poller, pair.ours, 1, Interest::none, Mode::oneshot);
  std::atomic<Readiness> last = Readiness::none;
  std::atomic<bool> end = false;
  std::thread waiter([&] {
    std::array<Event, 1> buffer;
    while (!end) {
      const auto events = poller.wait(buffer);
      for (const Event& event : *events) last = event.readiness();
    }
  });
  bool good = true;
  for (int i = 0; i != 20000 && good; ++i) {
    last = Readiness::none;
    good = registration.modify(Interest::readable) && registration.modify(Interest::writable) &&
           eventually([&] { return last == Readiness::writable; });
  }
  CHECK(good);
  end = true;
  poller.waker().wake();
  waiter.join();
}

namespace {

void check_time_outs(Poller& poller) {
  for (const std::chrono::nanoseconds timeout : {0ns, 1ns, 999ns, 300'000ns, 1'000'001ns, 20'000'000ns, 50'500'000ns}) {
    const auto start = Clock::now();
    CHECK(reports_of(poller, timeout) == nothing);
    CHECK(Clock::now() - start >= timeout);
  }
  poller.waker().wake();
  CHECK(reports_of(poller, std::chrono::nanoseconds::max()) == nothing);
}

}  // namespace

TEST_CASE("a time-out is never early") {
  auto poller = make_poller();
  check_time_outs(poller);

  SUBCASE("although signals interrupt it") {
    struct sigaction action{};
    struct sigaction previous{};
    action.sa_handler = [](int) {};
    REQUIRE(::sigaction(SIGALRM, &action, &previous) == 0);
    const itimerval each_ms{.it_interval = {.tv_sec = 0, .tv_usec = 1000}, .it_value = {.tv_sec = 0, .tv_usec = 1000}};
    REQUIRE(::setitimer(ITIMER_REAL, &each_ms, nullptr) == 0);
    const auto before = poller.stats();
    check_time_outs(poller);
    CHECK(poller.stats().wait_calls - before.wait_calls > 9);
    const itimerval off{};
    REQUIRE(::setitimer(ITIMER_REAL, &off, nullptr) == 0);
    REQUIRE(::sigaction(SIGALRM, &previous, nullptr) == 0);
  }
  SUBCASE("without epoll_pwait2") {
    std::thread([&] {
      if (!refuse(ENOSYS, {{offsetof(seccomp_data, nr), SYS_epoll_pwait2}})) return;
      const auto before = poller.stats();
      check_time_outs(poller);
      CHECK(poller.stats().wait_calls - before.wait_calls <= 9);  // two of the longest, one of each other
    }).join();
  }
}

TEST_CASE("a buffer of any size is filled, and events that did not fit come first in the next wait") {
  auto poller = make_poller();
  constexpr std::size_t count = 300;
  std::vector<Pair> pairs(count);
  std::vector<Registration> registrations;
  registrations.reserve(count);
  for (const Pair& pair : pairs) registrations.push_back(add(poller, pair.ours, registrations.size()));
  for (const Pair& pair : pairs) pair.peers.write();
  for (const std::size_t buffer_size : {std::size_t{1}, std::size_t{7}, std::size_t{64}, count, count + 1, 3 * count}) {
    std::set<std::uint64_t> seen;
    for (std::size_t waits = 0; waits != (count + buffer_size - 1) / buffer_size; ++waits) {
      const auto reports = reports_of(poller, soon, buffer_size);
      CHECK(reports.size() == std::min(buffer_size, count));
      for (const auto& [token, readiness] : reports) {
        seen.insert(token);
        CHECK(readiness == Readiness::readable);
      }
    }
    CHECK(seen.size() == count);
  }
}

TEST_CASE("the counters are exact") {
  auto poller = make_poller();
  auto stats = poller.stats();
  CHECK(stats.other_calls == 2);  // epoll_create1, eventfd
  CHECK(stats.arm_calls == 1);    // the eventfd
  CHECK(stats.kernel_calls() == 3);
  CHECK(stats.memory_bytes == 0);

  Pair pair;
  auto registration = add(poller, pair.ours, 1);
  CHECK(reports_of(poller, 0ns) == nothing);
  pair.peers.write();
  CHECK(reports_of(poller).size() == 1);
  CHECK(registration.modify(Interest::none));
  poller.waker().wake();
  CHECK(reports_of(poller) == nothing);
  stats = poller.stats();
  CHECK(stats.wait_calls == 3);
  CHECK(stats.arm_calls == 3);
  CHECK(stats.post_calls == 1);
  CHECK(stats.other_calls == 2);
  CHECK(stats.cancel_calls == 0);
  CHECK(stats.events == 1);
  CHECK(stats.wakes == 1);
  CHECK(stats.spurious == 0);
  CHECK(stats.registrations == 1);
  CHECK(stats.memory_bytes >= static_cast<std::uint64_t>(pair.ours.get()));
  CHECK(registration.remove());
  stats = poller.stats();
  CHECK(stats.arm_calls == 4);
  CHECK(stats.registrations == 0);
}

TEST_CASE("steady state allocates nothing, and short connections leave no memory behind") {
  auto poller = make_poller();
  std::array<Event, 64> buffer;
  const auto pass = [&] {
    const Pair pair;
    auto registration = add(poller, pair.ours, 1);
    pair.peers.write();
    bool good = poller.wait(buffer, soon)->size() == 1;
    good = good && registration.modify(Interest::none, Mode::edge) && registration.drained(Interest::readable);
    poller.waker().wake();
    return good && poller.wait(buffer, soon)->empty() && poller.wait(buffer, 1ns)->empty() && registration.remove();
  };
  CHECK(pass());
  const auto memory = poller.stats().memory_bytes;
  const std::size_t before = allocations();
  bool good = true;
  for (int i = 0; i != 1000; ++i) good = pass() && good;
  CHECK(allocations() == before);
  CHECK(good);
  CHECK(poller.stats().memory_bytes == memory);
  CHECK(poller.stats().registrations == 0);
}

TEST_CASE("after close every call is bad_file_descriptor, and no resource is held") {
  const auto created = create_backend({});
  REQUIRE(created);
  Backend& backend = **created;
  const Pair pair;
  const auto id = backend.add(pair.ours.get(), Token{1}, Interest::readable, Mode::level);
  REQUIRE(id);
  backend.close();
  std::array<Event, 1> buffer;
  constexpr auto gone = std::errc::bad_file_descriptor;
  CHECK(backend.add(pair.ours.get(), Token{1}, Interest::readable, Mode::level).error() == gone);
  CHECK(backend.modify(*id, Interest::none, std::nullopt).error() == gone);
  CHECK(backend.drained(*id, Interest::readable).error() == gone);
  CHECK(backend.remove(*id).error() == gone);
  CHECK(backend.wait(buffer, 0ns).error() == gone);
  backend.wake();
  CHECK(backend.stats().registrations == 0);
  CHECK(backend.stats().memory_bytes == 0);
  CHECK(backend.stats().post_calls == 0);
  CHECK(backend.stats().other_calls == 3);
}

TEST_CASE("a Registration and a Waker may outlive their Poller") {
  const Pair pair;
  auto poller = make_poller();
  auto registration = add(poller, pair.ours, 1);
  auto taken = std::move(registration);
  // NOLINTNEXTLINE(bugprone-use-after-move,clang-analyzer-cplusplus.Move): what this is about
  CHECK(registration.modify(Interest::none).error() == std::errc::bad_file_descriptor);
  CHECK(taken.modify(Interest::none));
  const auto waker = poller.waker();
  poller = make_poller();
  waker.wake();
  CHECK(taken.modify(Interest::none).error() == std::errc::bad_file_descriptor);
  CHECK(taken.remove().error() == std::errc::bad_file_descriptor);
  CHECK(reports_of(poller, 1ms) == nothing);
}

TEST_CASE("self-move leaves a Poller and a Registration unchanged, and a moved-from Poller can be replaced") {
  const Pair pair;
  auto poller = make_poller();
  auto registration = add(poller, pair.ours, 1);
  Poller* const poller_alias = &poller;
  Registration* const alias = &registration;
  poller = std::move(*poller_alias);
  registration = std::move(*alias);
  pair.peers.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  const Poller taken = std::move(poller);
  poller = make_poller();  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(reports_of(poller, 1ms) == nothing);
}
