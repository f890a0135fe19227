// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <atomic>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

TEST_CASE("nothing after remove: a removed socket is not reported, although a duplicate keeps it in epoll") {
  auto poller = make_poller();
  const Pair other;
  const Zombie zombie(poller);
  CHECK(reports_of(poller, 0ns) == nothing);

  SUBCASE("nor under the token of the registration that has its number now") {
    REQUIRE(::dup3(other.ours.get(), zombie.number, O_CLOEXEC) == zombie.number);
    const Fd reused(zombie.number);
    const auto registration = add(poller, reused, 1);
    CHECK(reports_of(poller, 5ms) == nothing);
    other.peers.write();
    CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  }
  SUBCASE("and it can be registered again under its number") {
    REQUIRE(::dup3(zombie.open.get(), zombie.number, O_CLOEXEC) == zombie.number);
    const Fd back(zombie.number);
    const auto registration = add(poller, back, 2);
    CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  }
}

TEST_CASE("nothing after remove: no wait that begins after it reports the registration, while another thread waits") {
  auto poller = make_poller();
  Pair pair;
  pair.peers.write();
  std::atomic<std::uint64_t> removed = 0;
  std::atomic<std::uint64_t> late = 0;
  std::atomic<bool> end = false;
  std::thread waiter([&] {
    std::array<Event, 4> buffer;
    while (!end) {
      const std::uint64_t before = removed;
      const auto events = poller.wait(buffer, soon);
      for (const Event& event : *events) late += std::to_underlying(event.token()) <= before ? 1 : 0;
    }
  });
  for (std::uint64_t token = 1; token <= 5000; ++token) {
    auto registration = add(poller, pair.ours, token);
    if (token % 2 == 0) CHECK(registration.modify(Interest::readable, Mode::edge));
    CHECK(registration.remove());
    removed = token;
  }
  end = true;
  poller.waker().wake();
  waiter.join();
  CHECK(late == 0);
}

TEST_CASE("a number is not an identity: a reused number belongs to the new socket only") {
  auto poller = make_poller();
  Pair old;
  auto registration = add(poller, old.ours, 1);
  const int number = old.ours.get();
  Pair fresh;
  REQUIRE(::dup3(fresh.ours.get(), number, O_CLOEXEC) == number);  // closes the old one

  SUBCASE("before it is added, the old registration is retired") {
    CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
    CHECK(poller.stats().registrations == 0);
    CHECK(reports_of(poller, 0ns) == nothing);
  }
  SUBCASE("after it is added, the old registration is retired and cannot remove the new one") {
    const auto second = add(poller, old.ours, 2);
    CHECK(poller.stats().registrations == 1);
    CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.remove());
    CHECK(poller.stats().registrations == 1);
    fresh.peers.write();
    CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  }
}

TEST_CASE("a number is not an identity: adding a registered socket again is file_exists and changes nothing") {
  auto poller = make_poller();
  Pair pair;
  auto registration = add(poller, pair.ours, 1);
  CHECK(poller.add(pair.ours.get(), Token{2}, Interest::writable).error() == std::errc::file_exists);
  CHECK(reports_of(poller, 0ns) == nothing);
  pair.peers.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  pair.ours.close();
  CHECK(reports_of(poller, 0ns) == nothing);
  CHECK(registration.remove());
  CHECK(registration.remove().error() == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
}

TEST_CASE("no lost wake: wakes before a wait count as one, and cost one write even from ten threads") {
  auto poller = make_poller();
  const auto waker = poller.waker();
  for (std::uint64_t round = 1; round <= 20; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i != 10; ++i) {
      threads.emplace_back([waker] {
        for (int j = 0; j != 100; ++j) waker.wake();
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(reports_of(poller) == nothing);
    CHECK(poller.stats().wakes == round);
    CHECK(poller.stats().post_calls == round);
    CHECK(reports_of(poller, 0ns) == nothing);
  }
}

TEST_CASE("no lost wake: 20,000 wakes before and during waits each end a wait") {
  auto poller = make_poller();
  constexpr int rounds = 20000;
  std::atomic<int> asked = 0;
  std::atomic<int> seen = 0;
  std::thread asker([&] {
    const auto waker = poller.waker();
    for (int i = 1; i <= rounds; ++i) {
      asked = i;
      waker.wake();
      // Sometimes the wait has begun by now, and sometimes it has not.
      if (i % 2 == 0 && !eventually([&] { return seen == i; })) return;
    }
  });
  bool in_time = true;
  while (seen != rounds && in_time) {
    const auto start = Clock::now();
    CHECK(reports_of(poller) == nothing);
    in_time = Clock::now() - start < soon;
    seen = asked.load();
  }
  asker.join();
  CHECK(in_time);
  CHECK(poller.stats().post_calls <= rounds);
}

TEST_CASE("no lost wake: one wait reports a wake and events") {
  auto poller = make_poller();
  Pair pair;
  const auto registration = add(poller, pair.ours, 1);
  pair.peers.write();
  poller.waker().wake();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  CHECK(poller.stats().wakes == 1);
  pair.ours.read();
  CHECK(reports_of(poller, 1ms) == nothing);
  CHECK(poller.stats().wakes == 1);
}

TEST_CASE("no lost wake: a Waker that outlives its Poller writes to no descriptor") {
  std::optional<Poller> poller(make_poller());
  const auto waker = poller->waker();
  std::thread thread;
  std::atomic<bool> end = false;
  SUBCASE("after the Poller was destroyed") {
    waker.wake();
    CHECK(reports_of(*poller) == nothing);
  }
  SUBCASE("while the Poller is destroyed") {
    thread = std::thread([&] {
      while (!end) waker.wake();
    });
    for (int i = 0; i != 100; ++i) CHECK(reports_of(*poller) == nothing);
  }
  poller.reset();
  std::array<Fd, 4> canaries;  // they get the numbers that were closed
  for (Fd& canary : canaries) canary = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  waker.wake();
  end = true;
  if (thread.joinable()) thread.join();
  for (const Fd& canary : canaries) {
    std::uint64_t value = 0;
    CHECK(::read(canary.get(), &value, sizeof value) == -1);
  }
}

TEST_CASE("no spin: after wakes an idle wait is one kernel call") {
  auto poller = make_poller();
  for (int i = 0; i != 3; ++i) {
    poller.waker().wake();
    CHECK(reports_of(poller) == nothing);
  }
  const auto before = poller.stats();
  CHECK(reports_of(poller, 20ms) == nothing);
  CHECK(poller.stats().wait_calls - before.wait_calls == 1);
  CHECK(poller.stats().spurious == 0);
}

TEST_CASE("no spin: a socket that cannot be removed from epoll neither ends a wait nor makes it spin") {
  auto poller = make_poller();
  Pair level;
  Pair oneshot;
  Pair disarmed;
  Pair closed;
  const auto registration = add(poller, level.ours, 1);
  auto armed = add(poller, oneshot.ours, 2, Interest::readable, Mode::oneshot);
  auto fired = add(poller, disarmed.ours, 3, Interest::writable, Mode::oneshot);
  CHECK(reports_of(poller) == Reports{{3, Readiness::writable}});
  // Its number now means another socket, which was not added and must not be taken for a registered one.
  auto dead = add(poller, closed.ours, 4);
  Pair stranger;
  REQUIRE(::dup3(stranger.ours.get(), closed.ours.get(), O_CLOEXEC) >= 0);
  stranger.peers.write();

  const Zombie zombie(poller);
  const auto before = poller.stats();
  const auto start = Clock::now();
  CHECK(reports_of(poller, 30ms) == nothing);
  CHECK(Clock::now() - start >= 30ms);
  const auto after = poller.stats();
  CHECK(after.wait_calls - before.wait_calls <= 20);
  CHECK(after.spurious - before.spurious <= 20);
  // On a loaded machine the 30 ms may have passed before so many calls were made.
  for (int i = 0; i != 20; ++i) CHECK(reports_of(poller, 0ns) == nothing);
  const auto rebuilt = poller.stats();
  CHECK(rebuilt.registrations == 3);
  CHECK(reports_of(poller, 30ms) == nothing);
  CHECK(poller.stats().wait_calls - rebuilt.wait_calls == 1);

  // The new instance holds what the old one held.
  level.peers.write();
  oneshot.peers.write();
  disarmed.peers.close();  // a hang-up is reported whatever the interest, but not by a oneshot that has fired
  const auto expected = Reports{{1, Readiness::readable}, {2, Readiness::readable}};
  CHECK(reports_of(poller) == expected);
  level.ours.read();
  CHECK(reports_of(poller, 1ms) == nothing);
  CHECK(armed.modify(Interest::readable));
  CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  CHECK(fired.modify(Interest::none));
  CHECK(reports_of(poller) == Reports{{3, Readiness::hung_up}});
  CHECK(dead.modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(dead.remove());
  CHECK(poller.add(closed.ours.get(), Token{5}, Interest::readable));
}

TEST_CASE("no spin: a wait without a time-out finds a ready socket behind stale reports") {
  auto poller = make_poller();
  const Pair pair;
  const auto registration = add(poller, pair.ours, 1);
  const Zombie zombie(poller);
  pair.peers.write();
  CHECK(reports_of(poller, 0ns, 1) == Reports{{1, Readiness::readable}});
}

TEST_CASE("no spin: without a free descriptor for a new instance, waits deliver events and do not spin") {
  auto poller = make_poller();
  Pair pair;
  auto registration = add(poller, pair.ours, 1, Interest::readable, Mode::oneshot);
  const Zombie zombie(poller);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto before = poller.stats();
  const auto start = Clock::now();
  const auto idle = reports_of(poller, 300ms, 1);
  const auto idle_time = Clock::now() - start;
  const auto idle_calls = poller.stats().kernel_calls() - before.kernel_calls();
  pair.peers.write();
  const auto ready = reports_of(poller, soon, 1);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(idle == nothing);
  CHECK(idle_time >= 300ms);
  CHECK(idle_calls <= 2 * (10 + 3 * 30 + 1));  // 10 to notice; up to 3 in each of 30 pauses, with a buffer of 1
  CHECK(ready == Reports{{1, Readiness::readable}});

  // The next stale report brings the new instance, where the first report is of a wake that no caller asked for. Then
  // an idle wait is one call.
  for (int i = 0; i != 2; ++i) CHECK(reports_of(poller, 0ns) == nothing);
  const auto rebuilt = poller.stats();
  CHECK(reports_of(poller, 5ms) == nothing);
  CHECK(poller.stats().wait_calls - rebuilt.wait_calls == 1);
}

TEST_CASE("no spin: when the kernel takes no more registrations, an idle wait does not spin") {
  std::thread([] {
    auto poller = make_poller();
    const Pair pair;
    const auto registration = add(poller, pair.ours, 1);
    const Zombie zombie(poller);
    if (!refuse(ENOSPC,
                {{offsetof(seccomp_data, nr), SYS_epoll_ctl}, {offsetof(seccomp_data, args[1]), EPOLL_CTL_ADD}}))
      return;
    const auto before = poller.stats();
    CHECK(reports_of(poller, 300ms) == nothing);
    const auto after = poller.stats();
    CHECK(after.wait_calls - before.wait_calls <= 10 + 30 + 1);
    CHECK(after.kernel_calls() - before.kernel_calls() <= 2 * (10 + 30 + 1));
    pair.peers.write();
    CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  }).join();
}

TEST_CASE("no spin: a new instance that fails half way leaves the old one as it was") {
  std::uint16_t error = ENOSPC;
  SUBCASE("too many registrations") {}
  SUBCASE("no memory") { error = ENOMEM; }
  std::thread([error] {
    auto poller = make_poller();
    const Pair first;
    const Pair second;
    REQUIRE(first.ours.get() < second.ours.get());
    const auto moved = add(poller, first.ours, 1);
    const auto refused = add(poller, second.ours, 2);
    const Zombie zombie(poller);
    if (!refuse(error, {{offsetof(seccomp_data, nr), SYS_epoll_ctl},
                        {offsetof(seccomp_data, args[1]), EPOLL_CTL_ADD},
                        {offsetof(seccomp_data, args[2]), second.ours.get()}})) {
      return;
    }
    CHECK(reports_of(poller, 5ms) == nothing);
    CHECK(poller.stats().registrations == 2);
    first.peers.write();
    second.peers.write();
    const auto expected = Reports{{1, Readiness::readable}, {2, Readiness::readable}};
    CHECK(reports_of(poller) == expected);
    poller.waker().wake();
    for (int i = 0; i != 3; ++i) CHECK(reports_of(poller) == expected);
    CHECK(poller.stats().wakes == 1);
  }).join();
}

TEST_CASE("no spin: threads that wait on the old instance go on to wait on the new one") {
  auto poller = make_poller();
  constexpr std::uint64_t waiters = 8;
  std::atomic<std::uint64_t> token_sum = 0;
  std::array<std::atomic<int>, waiters> ids{};
  std::vector<std::thread> threads;
  threads.reserve(waiters);
  for (auto& id : ids) {
    threads.emplace_back([&] {
      id = static_cast<int>(::syscall(SYS_gettid));
      std::array<Event, 1> buffer;
      const auto events = poller.wait(buffer);
      if (events && events->size() == 1) token_sum += std::to_underlying(buffer[0].token());
    });
  }
  const auto all_asleep = [&] {
    return std::ranges::all_of(ids, [](int id) {
      std::string word;
      std::ifstream stat("/proc/self/task/" + std::to_string(id) + "/stat");
      for (int i = 0; i != 3; ++i) stat >> word;
      return id != 0 && word == "S";
    });
  };
  REQUIRE(eventually(all_asleep));
  const auto before = poller.stats();
  const Zombie zombie(poller, Mode::edge);  // each write wakes one of them
  for (std::uint64_t i = 1; poller.stats().other_calls == before.other_calls; ++i) {
    REQUIRE(eventually([&] { return poller.stats().spurious == before.spurious + i; }));
    zombie.pair.peers.write();
  }
  REQUIRE(eventually(all_asleep));
  // These are in the new instance only.
  std::array<Pair, waiters> pairs;
  std::vector<Registration> registrations;
  registrations.reserve(waiters);
  for (const Pair& pair : pairs) {
    registrations.push_back(add(poller, pair.ours, 1, Interest::writable, Mode::oneshot));
  }
  const bool all = eventually([&] { return token_sum == waiters; });
  CHECK(all);
  for (std::uint64_t i = 0; !all && i != waiters; ++i) {  // so that the test ends after a failure too
    poller.waker().wake();
    static_cast<void>(eventually([&] { return poller.stats().wakes > i; }));
  }
  for (auto& thread : threads) thread.join();
}

TEST_CASE("one bad socket never fails wait: a regular file is refused, and a bad socket is a failed event") {
  auto poller = make_poller();
  const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK(poller.add(file.get(), Token{1}, Interest::readable).error() == std::errc::not_a_socket);
  CHECK(poller.add(-1, Token{1}, Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(poller.add(2'000'000'000, Token{1}, Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
  CHECK(poller.stats().memory_bytes == 0);

  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
  Fd out(ends[0]);
  const Fd in(ends[1]);
  Pair good;
  good.peers.write();
  const auto bad = add(poller, in, 1, Interest::none);
  const auto fine = add(poller, good.ours, 2);
  CHECK(reports_of(poller) == Reports{{2, Readiness::readable}});
  out.close();  // the pipe has no reader any more: EPOLLERR
  const auto expected =
      Reports{{1, Readiness::failed | Readiness::readable | Readiness::writable}, {2, Readiness::readable}};
  CHECK(reports_of(poller) == expected);
}
