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

constexpr auto d = NativeSocket{112}, e = NativeSocket{116};

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

TEST_CASE("waiting threads: a socket that is ready when it is added is reported by the sleeping thread") {
  Threads f;
  std::vector<Registration> registrations;
  CHECK(f.sleep({[&] {
           f.receive(a);
           f.as(2, [&] { registrations.push_back(f.add(a)); });
           CHECK(f.kernel.posts == 1);
         }}).sockets == Set{a});
}

TEST_CASE("waiting threads: events that do not fit into the buffer go to a sleeping thread, which is nudged") {
  Threads f;
  std::vector<Registration> registrations;
  for (const NativeSocket socket : std::initializer_list<NativeSocket>{a, b, c, d, e})
    registrations.push_back(f.add(socket));
  Set second;
  const Waited first = f.sleep({[&] {
    for (const NativeSocket socket : std::initializer_list<NativeSocket>{a, b, c, d, e}) f.receive(socket);
    CHECK(f.wait_as(2).sockets.size() == 5);
    second = f.wait_as(2, 0ns, 2).sockets;
    CHECK(f.kernel.packets.size() == 1);
  }});
  CHECK(second.size() == 2);
  CHECK(first.sockets.size() == 3);
  CHECK_FALSE(first.woken);
  second.insert(first.sockets.begin(), first.sockets.end());
  CHECK(second == Set{a, b, c, d, e});
}

TEST_CASE("waiting threads: a nudge and a wake share one packet, which ends a wait") {
  Threads f;
  std::vector<Registration> registrations;
  for (const NativeSocket socket : {a, b, c}) registrations.push_back(f.add(socket));
  Set second;
  const Waited first = f.sleep({[&] {
    for (const NativeSocket socket : {a, b, c}) f.receive(socket);
    CHECK(f.wait_as(2).sockets.size() == 3);
    second = f.wait_as(2, 0ns, 1).sockets;
    f.poller->waker().wake();
    CHECK(f.kernel.posts == 1);
  }});
  CHECK(first.woken);
  CHECK(first.sockets.empty());
  CHECK(f.poller->stats().wakes == 1);
  const Waited rest = f.wait_as(1, 0ns, 2);  // the two that the small buffer has left out come first
  CHECK_FALSE(rest.woken);
  second.insert(rest.sockets.begin(), rest.sockets.end());
  CHECK(second == Set{a, b, c});
}

TEST_CASE("waiting threads: a nudge that the kernel refused is posted by the next call of any kind") {
  using Call = std::function<void(Threads&, Registration&, std::vector<Registration>&)>;
  const std::vector<std::pair<const char*, Call>> calls{
      {"add", [](Threads& f, Registration&, auto& more) { more.push_back(f.add(b)); }},
      {"modify", [](Threads&, Registration& own, auto&) { CHECK(own.modify(Interest::readable).has_value()); }},
      {"drained", [](Threads&, Registration& own, auto&) { CHECK(own.drained(Interest::readable).has_value()); }},
      {"remove", [](Threads&, Registration& own, auto&) { CHECK(own.remove().has_value()); }},
      {"wait", [](Threads& f, Registration&, auto&) { CHECK(f.wait_as(3).sockets.empty()); }},
      {"wake", [](Threads& f, Registration&, auto&) { f.poller->waker().wake(); }},
  };
  for (const auto& [name, call] : calls) {
    CAPTURE(name);
    Threads f({}, false);
    Registration registration = f.add(a);
    std::vector<Registration> more;
    f.kernel.post_refusals = 1;
    const Waited first = f.sleep({[&] {
      f.receive(a);
      CHECK(f.wait_as(2).sockets == Set{a});
      f.read(a);
      CHECK(f.kernel.posts == 1);
      CHECK(f.kernel.packets.empty());
      f.as(3, [&] { call(f, registration, more); });
      CHECK(f.kernel.posts >= 2);  // a wait tries once more if it was refused again
      CHECK(f.kernel.packets.size() == 1);
    }});
    CHECK(first.sockets.empty());
    CHECK(first.woken == (std::string_view(name) == "wake"));
  }
}

TEST_CASE("waiting threads: with a reserve object a nudge is not refused") {
  Threads f;
  const Registration registration = f.add(a);
  f.kernel.post_refusals = 1;
  CHECK(f.sleep({[&] {
           f.receive(a);
           CHECK(f.wait_as(2).sockets == Set{a});
           f.read(a);
           CHECK(f.kernel.packets.size() == 1);
         }}).sockets.empty());
  CHECK(f.kernel.post_refusals == 1);
}

TEST_CASE(
    "waiting threads: retire ends the waits of eight sleeping threads, and after close the kernel holds nothing") {
  FakeKernel kernel;
  {
    const auto backend = *afd::AfdBackend::create(kernel, {});
    REQUIRE(backend->add(a, Token{1}, Interest::readable, Mode::level).has_value());
    int waits = 0, refused = 0;
    const std::function<void()> wait = [&] {
      waits++;
      kernel.thread = static_cast<std::uint32_t>(waits);
      std::array<Event, 4> buffer;
      if (backend->wait(buffer, std::nullopt).error() == std::errc::bad_file_descriptor) refused++;
    };
    kernel.when_asleep = [&] {
      if (waits < 8) {
        wait();
      } else if (refused == 0) {
        backend->retire();
      } else {
        return false;  // no packet: the wait would never end, and fails
      }
      return true;
    };
    wait();
    CHECK(refused == 8);
    CHECK(kernel.pending.size() == 1);
    backend->close();
    CHECK(kernel.pending.empty());
  }
  CHECK(kernel.open.empty());
  CHECK(kernel.violations.empty());
}

TEST_CASE("waiting threads: eight wakes end eight waits") {
  Threads f;
  int woken = 0;
  std::uint32_t deepest = 1;
  f.kernel.when_asleep = [&] {
    if (deepest < 8) {
      woken += f.wait_as(++deepest, 10s).woken ? 1 : 0;
    }
    f.poller->waker().wake();
    return true;
  };
  woken += f.wait_as(1, 10s).woken ? 1 : 0;
  CHECK(woken == 8);
  CHECK(f.poller->stats().wakes == 8);
  CHECK(f.kernel.posts == 8);
  f.kernel.when_asleep = nullptr;
}
