// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <atomic>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

TEST_CASE("rule 4: what is removed is not told of, though a duplicate keeps its socket in epoll") {
  auto poller = make_poller();
  const Pair other;
  const Zombie zombie(poller);
  CHECK(told_by(poller, 0ns) == nothing);

  SUBCASE("nor is it told as the registration that has its number now") {
    REQUIRE(::dup3(other.ours.get(), zombie.number, O_CLOEXEC) == zombie.number);
    const Fd reused(zombie.number);
    const auto registration = add(poller, reused, 1);
    CHECK(told_by(poller, 5ms) == nothing);
    other.peers.write();
    CHECK(told_by(poller) == Told{{1, Readiness::readable}});
  }
  SUBCASE("and it can be registered again under its number") {
    REQUIRE(::dup3(zombie.open.get(), zombie.number, O_CLOEXEC) == zombie.number);
    const Fd back(zombie.number);
    const auto registration = add(poller, back, 2);
    CHECK(told_by(poller) == Told{{2, Readiness::readable}});
  }
}

TEST_CASE("rule 4: no wait that begins after a remove tells of it, while another thread waits") {
  auto poller = make_poller();
  Pair pair;
  pair.peers.write();
  std::atomic<std::uint64_t> removed = 0;
  std::atomic<std::uint64_t> late = 0;
  std::atomic<bool> end = false;
  std::thread waiter([&] {
    std::array<Event, 4> room;
    while (!end) {
      const std::uint64_t before = removed;
      const auto events = poller.wait(room, soon);
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

TEST_CASE("rule 5: a number that is reused belongs to the new socket alone") {
  auto poller = make_poller();
  Pair old;
  auto registration = add(poller, old.ours, 1);
  const int number = old.ours.get();
  Pair fresh;
  REQUIRE(::dup3(fresh.ours.get(), number, O_CLOEXEC) == number);  // closes the old one

  SUBCASE("before it is added, the old registration is dead") {
    CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
    CHECK(poller.stats().registrations == 0);
    CHECK(told_by(poller, 0ns) == nothing);
  }
  SUBCASE("after it is added, the old registration is dead and cannot take the new one out") {
    const auto second = add(poller, old.ours, 2);
    CHECK(poller.stats().registrations == 1);
    CHECK(registration.modify(Interest::writable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.drained(Interest::readable).error() == std::errc::bad_file_descriptor);
    CHECK(registration.remove());
    CHECK(poller.stats().registrations == 1);
    fresh.peers.write();
    CHECK(told_by(poller) == Told{{2, Readiness::readable}});
  }
}

TEST_CASE("rule 5: adding a live one twice is file_exists, and leaves it as it was") {
  auto poller = make_poller();
  Pair pair;
  auto registration = add(poller, pair.ours, 1);
  CHECK(poller.add(pair.ours.get(), Token{2}, Interest::writable).error() == std::errc::file_exists);
  CHECK(told_by(poller, 0ns) == nothing);
  pair.peers.write();
  CHECK(told_by(poller) == Told{{1, Readiness::readable}});
  pair.ours.close();
  CHECK(told_by(poller, 0ns) == nothing);
  CHECK(registration.remove());
  CHECK(registration.remove().error() == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
}

TEST_CASE("rule 6: wakes before a wait count as one, and cost one write even from ten threads") {
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
    CHECK(told_by(poller) == nothing);
    CHECK(poller.stats().wakes == round);
    CHECK(poller.stats().post_calls == round);
    CHECK(told_by(poller, 0ns) == nothing);
  }
}

TEST_CASE("rule 6: no wake is lost, whenever it comes") {
  auto poller = make_poller();
  constexpr int rounds = 20000;
  std::atomic<int> asked = 0;
  std::atomic<int> seen = 0;
  std::thread asker([&] {
    const auto waker = poller.waker();
    for (int i = 1; i <= rounds; ++i) {
      asked = i;
      waker.wake();
      // Sometimes the wait has begun by now and sometimes not.
      if (i % 2 == 0 && !eventually([&] { return seen == i; })) return;
    }
  });
  bool in_time = true;
  while (seen != rounds && in_time) {
    const auto start = Clock::now();
    CHECK(told_by(poller) == nothing);
    in_time = Clock::now() - start < soon;
    seen = asked.load();
  }
  asker.join();
  CHECK(in_time);
  CHECK(poller.stats().post_calls <= rounds);
}

TEST_CASE("rule 6: a wake and events are taken together") {
  auto poller = make_poller();
  Pair pair;
  const auto registration = add(poller, pair.ours, 1);
  pair.peers.write();
  poller.waker().wake();
  CHECK(told_by(poller) == Told{{1, Readiness::readable}});
  CHECK(poller.stats().wakes == 1);
  pair.ours.read();
  CHECK(told_by(poller, 1ms) == nothing);
  CHECK(poller.stats().wakes == 1);
}

TEST_CASE("rule 6: a Waker that outlives its Poller writes to nobody") {
  std::optional<Poller> poller(make_poller());
  const auto waker = poller->waker();
  std::thread thread;
  std::atomic<bool> end = false;
  SUBCASE("after its end") {
    waker.wake();
    CHECK(told_by(*poller) == nothing);
  }
  SUBCASE("while it ends") {
    thread = std::thread([&] {
      while (!end) waker.wake();
    });
    for (int i = 0; i != 100; ++i) CHECK(told_by(*poller) == nothing);
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

TEST_CASE("rule 7: after wakes an idle wait is one kernel call") {
  auto poller = make_poller();
  for (int i = 0; i != 3; ++i) {
    poller.waker().wake();
    CHECK(told_by(poller) == nothing);
  }
  const auto before = poller.stats();
  CHECK(told_by(poller, 20ms) == nothing);
  CHECK(poller.stats().wait_calls - before.wait_calls == 1);
  CHECK(poller.stats().spurious == 0);
}

TEST_CASE("rule 7: a socket that cannot be taken out of epoll neither ends a wait nor makes it spin") {
  auto poller = make_poller();
  Pair level;
  Pair oneshot;
  Pair silent;
  Pair closed;
  const auto registration = add(poller, level.ours, 1);
  auto armed = add(poller, oneshot.ours, 2, Interest::readable, Mode::oneshot);
  auto fired = add(poller, silent.ours, 3, Interest::writable, Mode::oneshot);
  CHECK(told_by(poller) == Told{{3, Readiness::writable}});
  // Its number has become another socket's, which nobody added: it must not be taken for a registered one.
  auto dead = add(poller, closed.ours, 4);
  Pair stranger;
  REQUIRE(::dup3(stranger.ours.get(), closed.ours.get(), O_CLOEXEC) >= 0);
  stranger.peers.write();

  const Zombie zombie(poller);
  const auto before = poller.stats();
  const auto start = Clock::now();
  CHECK(told_by(poller, 30ms) == nothing);
  CHECK(Clock::now() - start >= 30ms);
  const auto rebuilt = poller.stats();
  CHECK(rebuilt.wait_calls - before.wait_calls <= 20);
  CHECK(rebuilt.spurious - before.spurious <= 20);
  CHECK(rebuilt.registrations == 3);
  CHECK(told_by(poller, 30ms) == nothing);
  CHECK(poller.stats().wait_calls - rebuilt.wait_calls == 1);

  // The new instance holds what the old one held.
  level.peers.write();
  oneshot.peers.write();
  silent.peers.close();  // a hang-up is told whatever the interest, but not by a oneshot that has fired
  const auto expected = Told{{1, Readiness::readable}, {2, Readiness::readable}};
  CHECK(told_by(poller) == expected);
  level.ours.read();
  CHECK(told_by(poller, 1ms) == nothing);
  CHECK(armed.modify(Interest::readable));
  CHECK(told_by(poller) == Told{{2, Readiness::readable}});
  CHECK(fired.modify(Interest::none));
  CHECK(told_by(poller) == Told{{3, Readiness::hung_up}});
  CHECK(dead.modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(dead.remove());
  CHECK(poller.add(closed.ours.get(), Token{5}, Interest::readable));
}

TEST_CASE("rule 7: a wait that only looks finds what is ready behind what is stale") {
  auto poller = make_poller();
  const Pair pair;
  const auto registration = add(poller, pair.ours, 1);
  const Zombie zombie(poller);
  pair.peers.write();
  CHECK(told_by(poller, 0ns, 1) == Told{{1, Readiness::readable}});
}

TEST_CASE("rule 7: where no descriptor is left for a new instance, waits deliver what is ready and do not spin") {
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
  const auto idle = told_by(poller, 300ms, 1);
  const auto idle_time = Clock::now() - start;
  const auto idle_calls = poller.stats().kernel_calls() - before.kernel_calls();
  pair.peers.write();
  const auto ready = told_by(poller, soon, 1);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(idle == nothing);
  CHECK(idle_time >= 300ms);
  CHECK(idle_calls <= 2 * (10 + 3 * 30 + 1));  // 10 to notice; up to 3 in each of 30 pauses, with a buffer of 1
  CHECK(ready == Told{{1, Readiness::readable}});

  // The next stale report brings the new instance, and then an idle wait is one call.
  CHECK(told_by(poller, 20ms) == nothing);
  const auto rebuilt = poller.stats();
  CHECK(told_by(poller, 5ms) == nothing);
  CHECK(poller.stats().wait_calls - rebuilt.wait_calls == 1);
}

TEST_CASE("rule 7: where the kernel holds no more registrations, an idle wait does not spin") {
  std::thread([] {
    auto poller = make_poller();
    const Pair pair;
    const auto registration = add(poller, pair.ours, 1);
    const Zombie zombie(poller);
    if (!refuse(ENOSPC,
                {{offsetof(seccomp_data, nr), SYS_epoll_ctl}, {offsetof(seccomp_data, args[1]), EPOLL_CTL_ADD}}))
      return;
    const auto before = poller.stats();
    CHECK(told_by(poller, 300ms) == nothing);
    const auto after = poller.stats();
    CHECK(after.wait_calls - before.wait_calls <= 10 + 30 + 1);
    CHECK(after.kernel_calls() - before.kernel_calls() <= 2 * (10 + 30 + 1));
    pair.peers.write();
    CHECK(told_by(poller) == Told{{1, Readiness::readable}});
  }).join();
}

TEST_CASE("rule 7: a new instance that fails half way leaves the old one as it was") {
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
    CHECK(told_by(poller, 5ms) == nothing);
    CHECK(poller.stats().registrations == 2);
    first.peers.write();
    second.peers.write();
    const auto expected = Told{{1, Readiness::readable}, {2, Readiness::readable}};
    CHECK(told_by(poller) == expected);
    poller.waker().wake();
    for (int i = 0; i != 3; ++i) CHECK(told_by(poller) == expected);
    CHECK(poller.stats().wakes == 1);
  }).join();
}

TEST_CASE("rule 7: threads that wait on the old instance follow to the new one") {
  auto poller = make_poller();
  constexpr std::uint64_t waiters = 8;
  std::atomic<std::uint64_t> told = 0;
  std::array<std::atomic<int>, waiters> ids{};
  std::vector<std::thread> threads;
  threads.reserve(waiters);
  for (auto& id : ids) {
    threads.emplace_back([&] {
      id = static_cast<int>(::syscall(SYS_gettid));
      std::array<Event, 1> room;
      const auto events = poller.wait(room);
      if (events && events->size() == 1) told += std::to_underlying(room[0].token());
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
  const bool all = eventually([&] { return told == waiters; });
  CHECK(all);
  for (std::uint64_t i = 0; !all && i != waiters; ++i) {  // so that a failure ends too
    poller.waker().wake();
    static_cast<void>(eventually([&] { return poller.stats().wakes > i; }));
  }
  for (auto& thread : threads) thread.join();
}

TEST_CASE("rule 8: what cannot be polled is refused, and a bad socket is its own event") {
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
  CHECK(told_by(poller) == Told{{2, Readiness::readable}});
  out.close();  // nobody reads the pipe any more: EPOLLERR
  const auto expected =
      Told{{1, Readiness::failed | Readiness::readable | Readiness::writable}, {2, Readiness::readable}};
  CHECK(told_by(poller) == expected);
}
