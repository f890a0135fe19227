// SPDX-License-Identifier: MIT
//
// fork: calls of a child on an inherited Poller fail with a clear error, never hang, and do not change the parent's.
#include <doctest/doctest.h>

#include <atomic>

#include <sys/wait.h>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

namespace {

constexpr auto inherited = std::errc::operation_not_permitted;

/// The exit code of a child that runs `function`: 0 if that returns true.
template <class Function>
int in_child(Function function) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(function() ? 0 : 1);
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

}  // namespace

TEST_CASE("fork: each call of the child is refused, and the parent's registrations are unchanged") {
  auto poller = std::optional(make_poller());
  const Pair level;
  const Pair oneshot;
  auto first = std::optional(add(*poller, level.ours, 1));
  auto second = std::optional(add(*poller, oneshot.ours, 2, Interest::readable, Mode::oneshot));
  auto waker = std::optional(poller->waker());
  level.peers.write();
  oneshot.peers.write();
  const int handle = poller->native_handle().value();
  const auto before = poller->stats();

  const int code = in_child([&] {
    std::array<Event, 4> buffer;
    bool good = poller->wait(buffer, 0ns).error() == inherited && poller->wait(buffer).error() == inherited;
    good = good && first->modify(Interest::none).error() == inherited;
    good = good && second->drained(Interest::readable).error() == inherited;
    good = good && poller->add(level.peers.get(), Token{3}, Interest::readable).error() == inherited;
    good = good && poller->native_handle().error() == inherited;
    good = good && poller->stats().kernel_calls() == 0;
    waker->wake();
    good = good && first->remove().error() == inherited;
    second.reset();
    good = good && is_open(handle);
    poller.reset();
    good = good && !is_open(handle);
    waker.reset();
    first.reset();
    return good;
  });
  CHECK(code == 0);

  CHECK(poller->stats().kernel_calls() == before.kernel_calls());
  const auto both_readable = Reports{{1, Readiness::readable}, {2, Readiness::readable}};
  CHECK(reports_of(*poller) == both_readable);
  CHECK(reports_of(*poller) == Reports{{1, Readiness::readable}});
  CHECK(poller->stats().wakes == 0);
  CHECK(poller->stats().post_calls == 0);
  CHECK(second->modify(Interest::readable));
  CHECK(reports_of(*poller) == both_readable);
}

TEST_CASE("fork: a child closes its own descriptors, all of them and no others") {
  const int lowest = Fd(::dup(0)).get();
  auto poller = std::optional(make_poller());
  REQUIRE(poller->native_handle());
  CHECK(in_child([&] {
          poller.reset();
          for (int descriptor = lowest; descriptor != lowest + 3; ++descriptor) {
            if (is_open(descriptor)) return false;
          }
          return true;
        }) == 0);
  const Pair pair;
  pair.peers.write();
  const auto registration = add(*poller, pair.ours, 1);
  CHECK(reports_of(*poller) == Reports{{1, Readiness::readable}});
}

TEST_CASE("fork: a child that destroys what it inherited does not hang, although a lock was held") {
  for (int i = 0; i != 40; ++i) {
    auto poller = std::optional(make_poller());
    const Pair pair;
    auto registration = std::optional(add(*poller, pair.ours, 1));
    std::atomic<bool> is_over = false;
    std::atomic<int> changes = 0;
    std::thread busy([&] {
      while (!is_over) changes += registration->modify(Interest::readable) ? 1 : 0;
    });
    const bool is_busy = eventually([&] { return changes != 0; });
    const int code = in_child([&] {
      const bool good = registration->modify(Interest::none).error() == inherited;
      registration.reset();
      static_cast<void>(poller->stats());
      poller.reset();
      return good;
    });
    is_over = true;
    busy.join();
    REQUIRE(is_busy);
    REQUIRE(code == 0);
  }
}

TEST_CASE("fork: a child can create its own Poller, and so can its child") {
  auto parents = make_poller();
  const Pair pair;
  pair.peers.write();
  const auto works = [&pair](Poller& poller) {
    std::array<Event, 1> buffer;
    const auto registration = poller.add(pair.ours.get(), Token{1}, Interest::readable);
    const auto events = poller.wait(buffer, soon);
    return registration && events && events->size() == 1;
  };
  CHECK(in_child([&] {
          auto childs = Poller::create();
          if (!childs || !works(*childs) || works(parents)) return false;
          const bool below = in_child([&] {
                               auto own = Poller::create();
                               return !works(*childs) && own && works(*own);
                             }) == 0;
          return below && works(*childs);
        }) == 0);
  CHECK(works(parents));
}
