// SPDX-License-Identifier: MIT
//
// Several threads wait on one Poller: what a wait leaves to a thread that sleeps, nudges and wakes. One real thread
// plays them all: a wait that begins while another one sleeps is nested in it.
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
      // A wait dequeues the packet itself, and posts one for the thread that sleeps.
      CHECK(f.kernel.posts == (std::string_view(name) == "wait" ? 3 : 2));
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
