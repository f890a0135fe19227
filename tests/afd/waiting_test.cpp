// SPDX-License-Identifier: MIT
//
// Several threads wait on one Poller: which of them is given a readiness, and which arms. One real thread plays them
// all: a wait that begins while another sleeps is nested in it.
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

TEST_CASE("waiting threads: what was delivered to one is armed again by the next wait that begins, not for a sleeper") {
  Threads f;
  const Registration registration = f.add(a);
  const auto begin = f.kernel.clock;
  const Waited first = f.sleep({
      [&] {
        f.receive(a);
        CHECK(f.wait_as(2).sockets == Set{a});
        CHECK_FALSE(f.is_armed(a));
      },
      [&] {  // thread 1 was nudged, so as to see the end of the grace
        CHECK_FALSE(f.is_armed(a));
        CHECK(f.wait_as(2).sockets == Set{a});  // still unread, and that thread asks again
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

TEST_CASE("waiting threads: a third thread's wait arms what was delivered to the second") {
  Threads f;
  const Registration registration = f.add(a);
  CHECK(f.sleep({
                    [&] {
                      f.receive(a);
                      CHECK(f.wait_as(2).sockets == Set{a});
                    },
                    [&] { CHECK(f.wait_as(3).sockets == Set{a}); },
                    [&] { f.read(a); },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: after the grace a sleeper arms what was delivered to a thread that does not wait again") {
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

TEST_CASE("waiting threads: the grace counts from the first readiness that was delivered since a wait began") {
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
                      CHECK(f.wait_as(3).sockets == Set{b});  // arms a
                      CHECK(f.is_armed(a));
                    },
                })
            .sockets == Set{b});
  // The sleeper looks when the first grace would have been over, and then at the end of the second.
  CHECK(f.kernel.clock - begin == 60ms + WaitingThreads::grace);
}

TEST_CASE("waiting threads: what a thread re-arms and then never waits again is armed after the grace") {
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
                      CHECK_FALSE(f.is_armed(b));  // was not asked for
                      CHECK(f.is_armed(c));
                      f.receive(a);
                    },
                })
            .sockets == Set{a});
  CHECK(f.kernel.clock - begin == WaitingThreads::grace);
}

TEST_CASE(
    "waiting threads: modify by the thread that has the event waits for its next wait, and by another thread is done "
    "now") {
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

TEST_CASE("waiting threads: add is armed at once, but by a thread that has events to handle with its next wait") {
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
                      f.as(2, [&] { more.push_back(f.add(d)); });  // that wait has given it nothing
                      CHECK(f.is_armed(d));
                    },
                })
            .sockets.empty());
}

TEST_CASE("waiting threads: the last re-arm of a batch arms all of it, and the thread is then like any other") {
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

TEST_CASE("waiting threads: to re-arm one registration twice does not end a batch of two early") {
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

TEST_CASE("waiting threads: what is ready when it is added while a thread sleeps is reported by that thread") {
  Threads f;
  std::vector<Registration> registrations;
  CHECK(f.sleep({[&] {
           f.receive(a);
           f.as(2, [&] { registrations.push_back(f.add(a)); });
           CHECK(f.kernel.posts == 1);
         }}).sockets == Set{a});
}

TEST_CASE("waiting threads: a buffer that is too small leaves the rest to a sleeper, which is nudged") {
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

TEST_CASE("waiting threads: a nudge and a wake are one packet, and it ends a wait") {
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

TEST_CASE("waiting threads: a nudge that the kernel refuses is owed, and the next call of any kind pays it") {
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
      CHECK(f.kernel.posts == 2);
    }});
    CHECK(first.sockets.empty());
    CHECK(first.woken == (std::string_view(name) == "wake"));
  }
}

TEST_CASE("waiting threads: with a reserve a nudge is not refused") {
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

TEST_CASE("waiting threads: retire ends the waits of all eight that sleep, and close leaves nothing") {
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
        return false;  // nothing has come: fails, as it would be asleep for ever
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

TEST_CASE("waiting threads: each of eight wakes ends one of eight waits") {
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
