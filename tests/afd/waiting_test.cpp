// SPDX-License-Identifier: MIT
//
// Several threads wait on one Poller: which of them gets an event, and which arms. One real thread plays them all: a
// wait that begins while another one sleeps is nested in it.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/afd/waiting_threads.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

using afd::WaitingThreads;

constexpr auto d = NativeSocket{112};

using Set = std::set<NativeSocket>;

}  // namespace

TEST_CASE(
    "waiting threads: a delivered registration is armed again when the next wait begins, not for a sleeping one") {
  Threads f;
  const Registration registration = f.add(a);
  const auto begin = f.kernel.clock;
  const Waited first = f.sleep({
      [&] {
        f.receive(a);
        CHECK(f.wait_as(2).sockets == Set{a});
        CHECK_FALSE(f.is_armed(a));
      },
      [&] {  // thread 1 was nudged, so that it watches the grace period
        CHECK_FALSE(f.is_armed(a));
        CHECK(f.wait_as(2).sockets == Set{a});  // still unread, and reported to the next wait
        CHECK_FALSE(f.is_armed(a));
      },
      [&] {
        f.read(a);
        CHECK(f.wait_as(2).sockets.empty());
        CHECK(f.is_armed(a));
      },
  });
  CHECK(first.sockets.empty());
  CHECK_FALSE(first.woken);
  CHECK(f.kernel.clock - begin == 10s);
  CHECK(f.poller->stats().events == 2);
}

TEST_CASE("waiting threads: the wait of a third thread leaves what was delivered to the second to it") {
  Threads f;
  const Registration registration = f.add(a);
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                    },
                    [&] {
                      CHECK(f.wait_as(3).sockets.empty());
                      CHECK_FALSE(f.is_armed(a));
                      f.read(a);
                      CHECK(f.wait_as(2).sockets.empty());
                      CHECK(f.is_armed(a));
                    },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: level events stay with their thread when it changes what it waits for") {
  Threads f;
  Registration one = f.add(a), two = f.add(b);
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      f.receive(b);
                      CHECK(f.wait_as(2).sockets == Set{a, b});
                      f.as(2, [&] { CHECK(one.modify(Interest::readable | Interest::priority).has_value()); });
                      CHECK(f.wait_as(3).sockets.empty());
                      f.as(3, [&] { CHECK(two.modify(Interest::readable).has_value()); });
                      CHECK_FALSE(f.is_armed(a));
                      CHECK(f.wait_as(3).sockets == Set{b});  // another thread changed it: that takes effect
                      f.read(a);
                      f.read(b);
                      CHECK(f.wait_as(2).sockets.empty());
                      CHECK(f.is_armed(a));
                    },
                })
            .sockets.empty());
}

TEST_CASE(
    "waiting threads: a stuck thread's events are due after the grace period although others wait again and again") {
  Threads f;
  const Registration one = f.add(a), other = f.add(b);
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                      for (int i = 1; i < 10; i++) {
                        f.kernel.clock += 10ms;
                        CHECK(f.wait_as(3).sockets.empty());
                      }
                      f.kernel.clock += 10ms;
                      CHECK(f.wait_as(3).sockets == Set{a});
                      f.read(a);
                      CHECK(f.wait_as(3).sockets.empty());
                      CHECK(f.is_armed(a));
                    },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: a loop that is handed from thread to thread arms everything at once") {
  Threads f;
  const Registration one = f.add(a);
  f.receive(a);
  for (std::uint32_t thread = 1; thread < 100; thread++) CHECK(f.wait_as(thread).sockets == Set{a});
  // After waits have overlapped, so it is again when the grace period is over.
  f.read(a);
  CHECK(f.sleep({[&] {
           f.receive(a);
           CHECK(f.wait_as(2).sockets == Set{a});
           CHECK(f.wait_as(3).sockets.empty());
           f.poller->waker().wake();
         }}).woken);
  CHECK(f.wait_as(3).sockets.empty());
  f.kernel.clock += WaitingThreads::grace;
  for (std::uint32_t thread = 1; thread < 100; thread++) CHECK(f.wait_as(thread).sockets == Set{a});
}

TEST_CASE("waiting threads: what was delivered may be removed, closed or added again before its thread waits again") {
  Threads f;
  std::map<NativeSocket, Registration> registrations;
  for (const NativeSocket socket : {a, b, c}) registrations.emplace(socket, f.add(socket));
  std::vector<Registration> again;
  CHECK(f.sleep({
                    [&] {
                      for (const NativeSocket socket : {a, b, c}) f.receive(socket);
                      CHECK(f.wait_as(2).sockets == Set{a, b, c});
                      f.as(3, [&] { CHECK(registrations.at(a).remove().has_value()); });
                      f.as(3, [&] { again.push_back(f.add(b)); });
                      CHECK(f.wait_as(3).sockets == Set{b});  // a new registration was delivered to no thread
                      f.kernel.ready.clear();
                      CHECK(f.wait_as(2).sockets.empty());
                      CHECK_FALSE(f.is_armed(a));
                      CHECK(f.is_armed(c));
                      CHECK(f.wait_as(3).sockets.empty());
                      CHECK(f.is_armed(b));
                    },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: with more than 32 threads the next wait arms what the others were given") {
  Threads f;
  std::map<NativeSocket, Registration> registrations;
  for (int i = 0; i < 40; i++) registrations.emplace(hot(i), f.add(hot(i)));
  CHECK(f.sleep({
                    [&] {
                      for (int i = 0; i < 40; i++) {
                        f.receive(hot(i));
                        const Set expected = i > 31 ? Set{hot(i), hot(i - 1)} : Set{hot(i)};
                        CHECK(f.wait_as(static_cast<std::uint32_t>(2 + i)).sockets == expected);
                        if (i > 31) f.read(hot(i - 1));
                      }
                      f.kernel.ready.clear();
                    },
                })
            .sockets.empty());
}

TEST_CASE(
    "waiting threads: after the grace period a sleeping thread arms what was delivered to one that waits no more") {
  Threads f;
  const Registration registration = f.add(a);
  const auto begin = f.kernel.clock;
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                    },
                    [&] { CHECK_FALSE(f.is_armed(a)); },
                })
            .sockets == Set{a});
  CHECK(f.kernel.clock - begin == WaitingThreads::grace);
}

TEST_CASE("waiting threads: each thread's events have a grace period of their own") {
  Threads f;
  const Registration one = f.add(a), other = f.add(b);
  const auto begin = f.kernel.clock;
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                    },
                    [&] {
                      f.read(a);
                      f.kernel.clock += 60ms;
                      f.receive(b);
                      CHECK(f.wait_as(3).sockets == Set{b});
                      CHECK_FALSE(f.is_armed(a));
                    },
                    nullptr,
                    [&] {
                      CHECK(f.kernel.clock - begin == WaitingThreads::grace);
                      CHECK(f.is_armed(a));
                      CHECK_FALSE(f.is_armed(b));
                    },
                    nullptr,
                })
            .sockets == Set{b});
  CHECK(f.kernel.clock - begin == 60ms + WaitingThreads::grace);
}

TEST_CASE("waiting threads: what a thread re-arms without waiting again is armed after the grace period") {
  Threads f;
  Registration one = f.add(a, Interest::readable, Mode::oneshot);
  const Registration two = f.add(b, Interest::readable, Mode::oneshot), three = f.add(c);
  const auto begin = f.kernel.clock;
  CHECK(f.sleep({
                    [&] {
                      for (const NativeSocket socket : {a, b, c}) f.receive(socket);
                      CHECK(f.wait_as(2).sockets == Set{a, b, c});
                      f.kernel.ready.clear();
                      f.as(2, [&] { CHECK(one.modify(Interest::readable).has_value()); });
                    },
                    [&] { CHECK(f.kernel.pending.empty()); },
                    nullptr,
                    [&] {
                      CHECK(f.kernel.clock - begin == WaitingThreads::grace);
                      CHECK(f.is_armed(a));
                      CHECK_FALSE(f.is_armed(b));  // was not re-armed
                      CHECK(f.is_armed(c));
                      f.receive(a);
                    },
                })
            .sockets == Set{a});
  CHECK(f.kernel.clock - begin == WaitingThreads::grace);
}

TEST_CASE(
    "waiting threads: modify by the thread that has the event takes effect with its next wait, by another thread at "
    "once") {
  Threads f;
  Registration one = f.add(a, Interest::readable, Mode::oneshot);
  Registration two = f.add(b, Interest::readable, Mode::oneshot);
  int polls = 0;
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      f.receive(b);
                      CHECK(f.wait_as(2).sockets == Set{a, b});
                      f.kernel.ready.clear();
                      polls = f.kernel.polls;
                      f.as(3, [&] { CHECK(two.modify(Interest::readable).has_value()); });
                      CHECK(f.is_armed(b));
                      f.as(2, [&] { CHECK(one.modify(Interest::readable).has_value()); });
                      CHECK_FALSE(f.is_armed(a));
                    },
                    [&] {
                      CHECK_FALSE(f.is_armed(a));
                      CHECK(f.wait_as(2).sockets.empty());
                      CHECK(f.is_armed(a));
                    },
                })
            .sockets.empty());
  CHECK(f.kernel.polls == polls + 2);
  CHECK(f.kernel.cancels == 0);
}

TEST_CASE("waiting threads: add arms at once, but in a thread that has events to handle with its next wait") {
  Threads f;
  const Registration one = f.add(a);
  std::vector<Registration> more;
  CHECK(f.sleep({
                    [&] {
                      f.as(2, [&] { more.push_back(f.add(b)); });
                      CHECK(f.is_armed(b));
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                      f.read(a);
                      f.as(2, [&] { more.push_back(f.add(c)); });
                      CHECK_FALSE(f.is_armed(c));
                      CHECK(f.wait_as(2).sockets.empty());
                      CHECK(f.is_armed(c));
                      f.as(2, [&] { more.push_back(f.add(d)); });  // its last wait had no events
                      CHECK(f.is_armed(d));
                    },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: the last re-arm of a batch arms all of it, and later changes take effect at once") {
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {
    CAPTURE(mode);
    Threads f;
    std::map<NativeSocket, Registration> registrations;
    for (const NativeSocket socket : {a, b, c}) registrations.emplace(socket, f.add(socket, Interest::readable, mode));
    const auto rearm = [&](NativeSocket socket) {
      Registration& registration = registrations.at(socket);
      const auto done =
          mode == Mode::edge ? registration.drained(Interest::readable) : registration.modify(Interest::readable);
      CHECK(done.has_value());
    };
    CHECK(f.sleep({
                      [&] {
                        for (const NativeSocket socket : {a, b, c}) f.receive(socket);
                        CHECK(f.wait_as(2).sockets == Set{a, b, c});
                        f.kernel.ready.clear();
                        f.as(2, [&] {
                          rearm(a);
                          rearm(b);
                          CHECK(f.kernel.pending.empty());
                          rearm(c);
                          CHECK(f.kernel.pending.size() == 3);
                          CHECK(registrations.at(b).modify(Interest::readable | Interest::priority).has_value());
                          CHECK(f.kernel.cancels == 1);  // at once
                        });
                      },
                  })
              .sockets.empty());
  }
}

TEST_CASE("waiting threads: to re-arm one registration twice does not end a batch of two") {
  Threads f;
  Registration one = f.add(a, Interest::readable, Mode::oneshot);
  Registration two = f.add(b, Interest::readable, Mode::oneshot);
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      f.receive(b);
                      CHECK(f.wait_as(2).sockets == Set{a, b});
                      f.kernel.ready.clear();
                      f.as(2, [&] {
                        CHECK(one.modify(Interest::readable).has_value());
                        CHECK(one.modify(Interest::readable).has_value());
                        CHECK(f.kernel.pending.empty());
                        CHECK(two.modify(Interest::readable).has_value());
                        CHECK(f.kernel.pending.size() == 2);
                      });
                    },
                })
            .sockets.empty());
}
