// SPDX-License-Identifier: MIT
//
// Several threads wait on one Poller: who is given which readiness, who arms, and what that costs. One real thread
// plays them all: a wait that begins while another sleeps is nested in it.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/doorbell.hpp>
#include <reactor/afd/waiting_threads.hpp>

#include "afd_fixture.hpp"

using namespace afd_fixture;

namespace {

using afd::Arena;
using afd::ArmQueue;
using afd::Doorbell;
using afd::ListName;
using afd::Slot;
using afd::SlotList;
using afd::WaitingThreads;

using std::chrono::nanoseconds;

constexpr auto d = NativeSocket{112}, e = NativeSocket{116};

struct Waited {
  std::set<NativeSocket> sockets;
  bool woken = false;
};

// Threads 1, 2, ...: thread 1 sleeps in a wait, and the others act meanwhile.
struct Threads : Fixture {
  using Fixture::Fixture;
  using Steps = std::deque<std::function<void()>>;

  /// A wait of that thread. No socket is reported twice in one wait, and all are readable.
  Waited wait_as(std::uint32_t thread, nanoseconds timeout = 0ns, std::size_t size = 64) {
    std::array<Event, 64> buffer;
    Waited waited;
    as(thread, [&] {
      const auto events = poller->wait(std::span(buffer).first(size), timeout);
      REQUIRE(events.has_value());
      waited.woken = events->woken();
      for (const Event& event : *events) {
        CHECK(event.readiness() == Readiness::readable);
        CHECK(waited.sockets.insert(static_cast<NativeSocket>(event.token())).second);
      }
    });
    return waited;
  }

  /// Thread 1 waits for 10 s. Each time that it falls asleep the next of `steps` happens: in one that is null, and
  /// after the last, time passes.
  Waited sleep(Steps steps) {
    kernel.when_asleep = [this, &steps] {
      if (steps.empty()) return false;
      const auto step = std::move(steps.front());
      steps.pop_front();
      if (!step) return false;
      step();
      return !steps.empty() || !kernel.packets.empty();
    };
    Waited waited = wait_as(1, 10s);
    kernel.when_asleep = nullptr;
    CHECK(steps.empty());
    return waited;
  }

  template <class Function>
  void as(std::uint32_t thread, Function&& function) {
    const std::uint32_t outer = std::exchange(kernel.thread, thread);
    function();
    kernel.thread = outer;
  }

  void receive(NativeSocket socket) {
    kernel.ready[base(socket)] = AFD_POLL_RECEIVE;
    if (is_armed(socket)) kernel.complete(base(socket), AFD_POLL_RECEIVE);
  }
  void read(NativeSocket socket) { kernel.ready.erase(base(socket)); }
  [[nodiscard]] bool is_armed(NativeSocket socket) const { return kernel.pending_on(base(socket)) != nullptr; }
};

using Set = std::set<NativeSocket>;

// So many threads wait; 64 sockets fire together, again and again, and who is given them handles them at once.
struct Crowd : Fixture {
  static constexpr int sockets = 64, warm_up = 4, rounds = 32;

  Mode mode;
  bool comes_back_with_first;  // the poll of a group, as Windows does; the others are ready when they are asked for
  std::uint32_t threads;
  std::map<NativeSocket, Registration> registrations;
  std::map<NativeSocket, int> delivered;
  std::uint32_t thread = 1;  // the innermost that waits
  int round = 0;
  bool is_over = false;
  Stats begin, end;

  Crowd(Mode how, bool first_alone, std::uint32_t count)
      : mode(how), comes_back_with_first(first_alone), threads(count) {
    for (int i = 0; i < sockets; i++) {
      const NativeSocket socket = a + 4 * i;
      registrations.emplace(socket, add(socket, Interest::readable, mode));
    }
    kernel.when_asleep = [this] { return asleep(); };
    while (!is_over) wait_as(1);
    kernel.when_asleep = nullptr;
  }

  // Another thread waits too; when all do, the sockets fire; at the end, each is woken.
  bool asleep() {
    if (is_over) {
      poller->waker().wake();
    } else if (thread < threads) {
      wait_as(++thread);
      kernel.thread = --thread;
    } else {
      if (round == warm_up) begin = poller->stats();
      if (round == warm_up + rounds) end = poller->stats();
      if (round++ < warm_up + rounds) {
        fire();
      } else {
        is_over = true;
        poller->waker().wake();
      }
    }
    return true;
  }

  void wait_as(std::uint32_t number) {
    std::array<Event, sockets> buffer;
    kernel.thread = number;
    const auto events = poller->wait(buffer);
    REQUIRE(events.has_value());
    for (const Event& event : *events) handle(static_cast<NativeSocket>(event.token()));
  }

  void handle(NativeSocket socket) {
    delivered[socket]++;
    CHECK(kernel.ready.erase(base(socket)) == 1);
    if (mode == Mode::oneshot) CHECK(registrations.at(socket).modify(Interest::readable).has_value());
    if (mode == Mode::edge) CHECK(registrations.at(socket).drained(Interest::readable).has_value());
  }

  void fire() {
    for (const auto& [socket, registration] : registrations) kernel.ready[base(socket)] = AFD_POLL_RECEIVE;
    for (const FakeKernel::Request& request : std::vector(kernel.pending)) {
      FakeKernel::Entries answer;
      for (const auto& entry : request.asked) {
        if (answer.size() == 0 || !comes_back_with_first) answer.push_back({entry.Handle, AFD_POLL_RECEIVE, 0});
      }
      kernel.complete(request.asked.begin()->Handle, answer);
    }
  }
};

void check_cost(Mode mode) {
  for (const std::uint32_t threads : {1U, 2U, 4U, 8U}) {
    for (const bool first_alone : {false, true}) {
      CAPTURE(threads);
      CAPTURE(first_alone);
      const Crowd crowd(mode, first_alone, threads);
      const std::uint64_t events = crowd.end.events - crowd.begin.events;
      const std::uint64_t calls = crowd.end.kernel_calls() - crowd.begin.kernel_calls();
      CHECK(events == Crowd::sockets * Crowd::rounds);
      CHECK(calls * 10 <= events);
      CHECK(crowd.delivered.size() == Crowd::sockets);
      for (const auto& [socket, times] : crowd.delivered) CHECK(times == Crowd::warm_up + Crowd::rounds);
    }
  }
}

}  // namespace

TEST_CASE("waiting threads: 64 level sockets that fire together cost at most 0.10 calls each, by 1 to 8 threads") {
  check_cost(Mode::level);
}

TEST_CASE("waiting threads: 64 oneshot sockets that fire together cost at most 0.10 calls each, by 1 to 8 threads") {
  check_cost(Mode::oneshot);
}

TEST_CASE("waiting threads: 64 edge sockets that fire together cost at most 0.10 calls each, by 1 to 8 threads") {
  check_cost(Mode::edge);
}

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
    "waiting threads: modify by the thread that has the event waits for its next wait; by another it is done now") {
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
  for (const NativeSocket socket : {a, b, c, d, e}) registrations.push_back(f.add(socket));
  Set second;
  const Waited first = f.sleep({[&] {
    for (const NativeSocket socket : {a, b, c, d, e}) f.receive(socket);
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

TEST_CASE("WaitingThreads: a thread with events is between two waits until it waits again") {
  WaitingThreads threads;
  CHECK_FALSE(threads.is_between_waits(7));
  threads.end_wait(7, 0, 0);  // a wait that brought nothing leaves it nothing to handle
  CHECK_FALSE(threads.is_between_waits(7));
  threads.end_wait(7, 3, 0);
  CHECK(threads.is_between_waits(7));
  CHECK_FALSE(threads.is_between_waits(8));
  threads.begin_wait(8);
  CHECK(threads.is_between_waits(7));
  threads.begin_wait(7);
  CHECK_FALSE(threads.is_between_waits(7));
}

TEST_CASE("WaitingThreads: the last re-arm ends a batch, and only that of its own thread") {
  WaitingThreads threads;
  threads.end_wait(7, 3, 2);
  threads.end_wait(8, 1, 0);
  CHECK_FALSE(threads.rearmed(9));
  CHECK_FALSE(threads.rearmed(8));  // had nothing to re-arm
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.is_between_waits(7));
  CHECK(threads.rearmed(7));
  CHECK_FALSE(threads.is_between_waits(7));
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.is_between_waits(8));
}

TEST_CASE("WaitingThreads: a thread that finds no place counts as any other, and a place is free again after a wait") {
  WaitingThreads threads;
  for (std::uint32_t thread = 1; thread <= 33; thread++) threads.end_wait(thread, 1, 1);
  CHECK(threads.is_between_waits(32));
  CHECK_FALSE(threads.is_between_waits(33));
  threads.begin_wait(5);
  threads.end_wait(33, 1, 1);
  CHECK(threads.is_between_waits(33));
  CHECK_FALSE(threads.is_between_waits(5));
}

TEST_CASE("WaitingThreads: sleepers are counted, and those that watch among them") {
  WaitingThreads threads;
  CHECK_FALSE(threads.any_sleeps());
  threads.begin_sleep(false);
  CHECK(threads.any_sleeps());
  CHECK_FALSE(threads.any_watches());
  threads.begin_sleep(true);
  CHECK(threads.any_watches());
  threads.end_sleep(true);
  CHECK(threads.any_sleeps());
  CHECK_FALSE(threads.any_watches());
  threads.end_sleep(false);
  CHECK_FALSE(threads.any_sleeps());
}

TEST_CASE("WaitingThreads: the grace counts from what was deferred first") {
  WaitingThreads threads;
  CHECK_FALSE(threads.due().has_value());
  threads.defer(5ms);
  threads.defer(50ms);
  CHECK(threads.due() == 5ms + WaitingThreads::grace);
  threads.end_deferral();
  CHECK_FALSE(threads.due().has_value());
  threads.defer(200ms);
  CHECK(threads.due() == 200ms + WaitingThreads::grace);
}

TEST_CASE("Doorbell: however often it is rung, one packet is queued until that was dequeued") {
  FakeKernel kernel;
  const Handle port(kernel, *kernel.create_port());
  Doorbell doorbell(kernel, port.get());
  doorbell.open();
  CHECK(doorbell.has_reserve());
  for (int i = 0; i < 3; i++) doorbell.nudge();
  CHECK(kernel.packets.size() == 1);
  CHECK_FALSE(doorbell.answer());  // a nudge ends no wait
  doorbell.nudge();
  doorbell.wake();
  doorbell.nudge();
  CHECK(kernel.posts == 2);
  CHECK(doorbell.posts() == 2);
  CHECK(doorbell.answer());
  CHECK_FALSE(doorbell.answer());
  doorbell.wake();
  CHECK(kernel.posts == 3);
  CHECK(doorbell.answer());
}

TEST_CASE("Doorbell: a post that is refused is owed until it was paid, once") {
  FakeKernel kernel;
  kernel.has_reserves = false;
  const Handle port(kernel, *kernel.create_port());
  Doorbell doorbell(kernel, port.get());
  doorbell.open();
  CHECK_FALSE(doorbell.has_reserve());
  kernel.post_refusals = 2;
  doorbell.wake();
  CHECK(kernel.packets.empty());
  doorbell.pay();  // refused again, so it stays owed
  CHECK(kernel.packets.empty());
  doorbell.nudge();  // rung again: pays
  CHECK(kernel.packets.size() == 1);
  doorbell.pay();
  CHECK(kernel.packets.size() == 1);
  CHECK(doorbell.posts() == 3);
  CHECK(doorbell.answer());  // the wake
}

TEST_CASE("SlotList: agrees with a deque through random insertions and removals") {
  Arena arena;
  SlotList list(arena, ListName::marked);
  std::deque<Slot*> model;
  std::vector<Slot*> slots;
  for (int i = 0; i < 100; i++) {
    slots.push_back(&arena.allocate());
    slots.back()->generation = 1;
  }
  std::mt19937 random(7);
  for (int i = 0; i < 5'000; i++) {
    Slot& slot = *slots[random() % slots.size()];
    if (slot.list == ListName::marked) {
      list.erase(slot);
      std::erase(model, &slot);
    } else if (random() % 2 == 0) {
      list.push_back(slot);
      model.push_back(&slot);
    } else {
      list.push_front(slot);
      model.push_front(&slot);
    }
    REQUIRE(list.size() == model.size());
    REQUIRE(list.empty() == model.empty());
    Slot* at = list.empty() ? nullptr : &list.front();
    for (const Slot* expected : model) {
      REQUIRE(at == expected);
      at = list.after(*at);
    }
    REQUIRE(at == nullptr);
  }
}

TEST_CASE("ArmQueue: what is marked keeps its turn, and what was deferred comes behind it") {
  Arena arena;
  ArmQueue queue(arena);
  std::array<Slot*, 6> slots{};
  for (Slot*& slot : slots) {
    slot = &arena.allocate();
    slot->generation = 1;
  }
  const auto marked = [&] {
    std::vector<std::ptrdiff_t> order;
    for (const Slot* slot = queue.marked().empty() ? nullptr : &queue.marked().front(); slot != nullptr;
         slot = queue.marked().after(*slot)) {
      order.push_back(std::ranges::find(slots, slot) - slots.begin());
    }
    return order;
  };
  using Order = std::vector<std::ptrdiff_t>;
  queue.mark(*slots[0]);
  queue.mark(*slots[1]);
  queue.mark(*slots[0]);
  CHECK(marked() == Order{0, 1});
  queue.mark_first(*slots[1]);
  CHECK(marked() == Order{1, 0});
  CHECK_FALSE(queue.has_deferred());

  queue.defer_modified(*slots[2]);
  queue.defer_delivered(*slots[3]);
  queue.defer_modified(*slots[0]);
  queue.suspect(*slots[4]);
  CHECK(queue.has_deferred());
  CHECK(marked() == Order{1});
  queue.mark_modified();
  CHECK(marked() == Order{1, 2, 0});
  CHECK(queue.has_deferred());
  queue.defer_modified(*slots[1]);
  queue.mark_deferred();
  CHECK(marked() == Order{2, 0, 3, 1});
  CHECK_FALSE(queue.has_deferred());
  CHECK(queue.suspected().size() == 1);
  CHECK(&queue.suspected().front() == slots[4]);

  for (Slot* slot : slots) queue.erase(*slot);
  CHECK(queue.marked().empty());
  CHECK(queue.suspected().empty());
  for (const Slot* slot : slots) CHECK(slot->list == ListName::none);
}
