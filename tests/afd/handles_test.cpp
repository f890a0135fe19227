// SPDX-License-Identifier: MIT
//
// Poller::add_handle over a simulated kernel: by wait packets, with each reading of what their documentation leaves
// open, and by the waits of the system's pool.
#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include <reactor/afd/helper_handles.hpp>

#include "afd/fixture.hpp"
#include "native_handle.hpp"

namespace {

using namespace afd_fixture;
using Kind = sim::Waitable::Kind;

struct Objects : SimFixture {
  std::vector<HANDLE> objects;

  explicit Objects(const sim::Options& options = {}) : SimFixture(options) {}
  ~Objects() {
    for (const HANDLE object : objects) kernel.close(object);
  }
  HANDLE object(Kind kind, int signals = 0) {
    objects.push_back(kernel.create_object(kind, signals));
    return objects.back();
  }
  void close(HANDLE object) {
    std::erase(objects, object);
    kernel.close(object);
  }
  static Token token_of(HANDLE object) { return Token{reinterpret_cast<std::uintptr_t>(object)}; }
  Registration watch(HANDLE object) {
    auto added = poller->add_handle(native_of(object), token_of(object));
    REQUIRE(added.has_value());
    return std::move(*added);
  }
  std::error_code refusal(HANDLE object) { return poller->add_handle(native_of(object), Token{1}).error(); }
  /// One wait reports the object, and nothing else.
  bool reports(HANDLE object) {
    const auto events = wait();
    return events.size() == 1 && events[0].token() == token_of(object) && events[0].readiness() == Readiness::readable;
  }
  /// An object that a test has added is not counted, as it is closed only at the end.
  [[nodiscard]] std::size_t handles() { return kernel.open_handles() - objects.size(); }
};

/// By wait packets with each reading, and by the pool.
template <class Function>
void for_each_way(Function&& function, sim::Options options = {}) {
  for (int way = 0; way < 5; way++) {
    CAPTURE(way);
    options.has_wait_packets = way < 4;
    options.waits = sim::WaitReadings{.pending_may_be_lost = (way & 1) != 0, .close_keeps_queued = (way & 2) != 0};
    options.seed++;
    Objects f(options);
    function(f);
  }
}

}  // namespace

TEST_CASE("handles: each signal of an auto-reset event is one event, and it is armed again by rearm alone") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration registration = f.watch(event);
    CHECK(f.wait().empty());
    f.kernel.signal(event);
    CHECK(f.reports(event));
    f.kernel.signal(event);
    CHECK(f.wait().empty());
    CHECK(f.kernel.signals(event) == 1);  // not armed, so nothing was taken
    REQUIRE(registration.rearm().has_value());
    REQUIRE(registration.rearm().has_value());  // has no effect
    CHECK(f.kernel.signals(event) == 0);
    CHECK(f.reports(event));
    REQUIRE(registration.rearm().has_value());
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().registrations == 1);
  });
}

TEST_CASE("handles: what is signalled already is reported, a manual-reset event as often as it is armed") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::manual_reset, 1), semaphore = f.object(Kind::semaphore, 2);
    Registration of_event = f.watch(event);
    for (int i = 0; i < 3; i++) {
      CHECK(f.reports(event));
      REQUIRE(of_event.rearm().has_value());
    }
    CHECK(f.reports(event));
    f.kernel.reset(event);
    REQUIRE(of_event.rearm().has_value());
    CHECK(f.wait().empty());
    Registration of_semaphore = f.watch(semaphore);
    CHECK(f.reports(semaphore));
    CHECK(f.kernel.signals(semaphore) == 1);
    REQUIRE(of_semaphore.rearm().has_value());
    CHECK(f.reports(semaphore));
    REQUIRE(of_semaphore.rearm().has_value());
    CHECK(f.wait().empty());
  });
}

TEST_CASE("handles: a buffer that is too small loses no signal") {
  for_each_way([](Objects& f) {
    std::map<Token, int> reported;
    std::vector<Registration> registrations;
    for (int i = 0; i < 40; i++) {
      const HANDLE event = f.object(Kind::auto_reset);
      registrations.push_back(f.watch(event));
      f.kernel.signal(event);
    }
    // Packets that bring nothing among them.
    const auto [a, b] = f.kernel.net().tcp_pair();
    for (int i = 0; i < 3; i++) {
      Registration removed = f.add(a);
      CHECK(f.wait(0ns, 1).size() == 1);
    }
    for (int waits = 0; waits < 60; waits++) {
      for (const Event& event : f.wait(0ns, 1)) reported[event.token()]++;
    }
    CHECK(reported.size() >= 37);
    CHECK(std::ranges::all_of(reported, [](const auto& one) { return one.second == 1; }));
    std::size_t signals = 0;
    for (const HANDLE object : f.objects) signals += static_cast<std::size_t>(f.kernel.signals(object));
    CHECK(signals == 0);
    CHECK(reported.size() + 3 == f.objects.size());
  });
}

TEST_CASE("handles: sockets whose poll is shared do not take the space of a signal") {
  for_each_way([](Objects& f) {
    std::vector<sim::SocketNumber> peers;
    std::vector<Registration> sockets;
    for (int i = 0; i < 4; i++) {
      const auto [a, b] = f.kernel.net().tcp_pair();
      sockets.push_back(f.add(a));
      peers.push_back(b);
    }
    const HANDLE event = f.object(Kind::auto_reset);
    Registration registration = f.watch(event);
    for (const auto peer : peers) REQUIRE(f.kernel.net().send(peer, 1) == 1);
    for (int i = 0; i < 8; i++) CHECK(f.wait().size() == 4);  // they are hot from now on
    f.kernel.signal(event);
    std::size_t reported = 0;
    for (int i = 0; i < 4; i++) {
      for (const Event& one : f.wait(0ns, 2)) reported += one.token() == Objects::token_of(event) ? 1U : 0U;
    }
    CHECK(reported == 1);
  });
}

TEST_CASE("handles: after a removal nothing is reported, and withdraw says whether a signal was taken") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration quiet = f.watch(event);
    const auto untaken = quiet.withdraw();
    REQUIRE(untaken.has_value());
    CHECK_FALSE(*untaken);
    f.kernel.signal(event);
    CHECK(f.kernel.signals(event) == 1);
    Registration fired = f.watch(event);  // takes the signal
    const auto taken = fired.withdraw();
    REQUIRE(taken.has_value());
    CHECK(*taken);
    CHECK(f.kernel.signals(event) == 0);
    CHECK(f.wait().empty());
    f.kernel.signal(event);
    Registration removed = f.watch(event);
    REQUIRE(removed.remove().has_value());
    Registration next = f.watch(event);  // in the place of the one that was removed, whose packet may be queued
    CHECK(f.wait().empty());
    f.kernel.signal(event);
    CHECK(f.reports(event));
    const auto reported = next.withdraw();
    REQUIRE(reported.has_value());
    CHECK_FALSE(*reported);
    CHECK(next.withdraw().error() == std::errc::bad_file_descriptor);
    CHECK(f.poller->stats().registrations == 0);
  });
}

TEST_CASE("handles: the program may close its handle, and its number may mean another object then") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::manual_reset);
    const auto other = f.kernel.duplicate(event);
    REQUIRE(other.has_value());
    Registration registration = f.watch(event);
    f.close(event);
    const HANDLE reused = f.object(Kind::manual_reset, 1);
    CHECK(reused == event);
    CHECK(f.wait().empty());
    f.kernel.signal(*other);
    CHECK(f.reports(event));
    REQUIRE(registration.rearm().has_value());
    CHECK(f.reports(event));
    f.kernel.close(*other);
  });
}

TEST_CASE("handles: two registrations of one auto-reset event get a signal each") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration first = f.watch(event), second = f.watch(event);
    f.kernel.signal(event);
    CHECK(f.wait().size() == 1);
    f.kernel.signal(event);
    CHECK(f.wait().size() == 1);
    CHECK(f.wait().empty());
  });
}

TEST_CASE("handles: what cannot be waited for is refused, and leaves nothing") {
  for_each_way([](Objects& f) {
    const std::size_t before = f.handles();
    CHECK(f.refusal(nullptr) == std::errc::bad_file_descriptor);
    CHECK(f.refusal(FakeKernel::handle(~std::uintptr_t{0})) == std::errc::bad_file_descriptor);
    const HANDLE closed = f.object(Kind::auto_reset);
    f.close(closed);
    CHECK(f.refusal(closed) == std::errc::bad_file_descriptor);
    CHECK(f.refusal(f.object(Kind::mutex)) == std::errc::invalid_argument);
    const auto reserve = f.kernel.create_reserve();
    CHECK(f.refusal(*reserve) == std::errc::invalid_argument);
    f.kernel.close(*reserve);
    CHECK(f.handles() == before);
    CHECK(f.poller->stats().registrations == 0);
  });
}

TEST_CASE("handles: modify is refused, drained has no effect, and rearm arms a socket as well") {
  for_each_way([](Objects& f) {
    Registration registration = f.watch(f.object(Kind::auto_reset));
    CHECK(registration.modify(Interest::readable).error() == std::errc::invalid_argument);
    CHECK(registration.modify(Interest::readable, Mode::level).error() == std::errc::invalid_argument);
    CHECK(registration.drained(Interest::readable).has_value());
    const auto [a, b] = f.kernel.net().tcp_pair();
    Registration socket = f.add(a, Interest::writable, Mode::oneshot);
    CHECK(f.wait().size() == 1);
    CHECK(f.wait().empty());
    REQUIRE(socket.rearm().has_value());
    CHECK(f.wait().size() == 1);
    const auto withdrawn = socket.withdraw();
    REQUIRE(withdrawn.has_value());
    CHECK_FALSE(*withdrawn);
    CHECK(socket.rearm().error() == std::errc::bad_file_descriptor);
    f.poller.reset();
    CHECK(registration.rearm().error() == std::errc::bad_file_descriptor);
    CHECK(registration.withdraw().error() == std::errc::bad_file_descriptor);
  });
}

TEST_CASE("handles: one that is added, or signalled, while a thread sleeps ends the sleep") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration registration;
    int step = 0;
    f.kernel.set_when_asleep([&] {
      if (step++ == 0) registration = f.watch(event);
      if (step == 2) f.kernel.signal(event);
      return step <= 2;
    });
    const auto events = f.wait(10s);
    REQUIRE(events.size() == 1);
    CHECK(events[0].token() == Objects::token_of(event));
    f.kernel.set_when_asleep({});
  });
}

TEST_CASE("handles: in a shortage add and rearm fail, and work later") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration registration = f.watch(event);
    f.kernel.signal(event);
    CHECK(f.reports(event));
    const std::size_t before = f.handles();
    f.kernel.set_faults({.wait_refused = 1000});
    CHECK(registration.rearm().error() == std::errc::not_enough_memory);
    CHECK(f.refusal(event) == std::errc::not_enough_memory);
    CHECK(f.handles() == before);
    f.kernel.set_faults({});
    REQUIRE(registration.rearm().has_value());
    f.kernel.signal(event);
    CHECK(f.reports(event));
  });
}

TEST_CASE("handles: a packet that names no arming is ignored") {
  for_each_way([](Objects& f) {
    const HANDLE event = f.object(Kind::auto_reset);
    Registration registration = f.watch(event);
    const HANDLE port = FakeKernel::handle(0x104);  // the first that the kernel gives out
    constexpr auto key = std::to_underlying(afd::PacketKey::object);
    const auto post = [&](std::uintptr_t context) {
      REQUIRE(f.kernel.post(port, nullptr, key, reinterpret_cast<void*>(context)) == STATUS_SUCCESS);
    };
    constexpr std::uintptr_t first_arming = std::uintptr_t{1} << sizeof(std::uintptr_t) * 4;
    for (const auto context : {std::uintptr_t{0}, std::uintptr_t{1}, 2 * first_arming, ~first_arming}) post(context);
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().spurious == 4);
    f.kernel.signal(event);
    CHECK(f.reports(event));
    post(first_arming);  // which has just ended
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().spurious == 5);
  });
}

TEST_CASE("handles: the Poller ends with packets queued, and waits under way") {
  for_each_way([](Objects& f) {
    Registration armed = f.watch(f.object(Kind::auto_reset)), fired = f.watch(f.object(Kind::manual_reset, 1)),
                 disarmed = f.watch(f.object(Kind::auto_reset, 1));
    CHECK(f.wait().size() == 2);
    REQUIRE(fired.rearm().has_value());
    const HANDLE waited = f.objects[0];
    CHECK(f.kernel.waits_on(waited) == 1);
    f.poller.reset();
    CHECK(f.kernel.waits_on(waited) == 0);
    CHECK(f.handles() == 2);  // the port and the doorbell's reserve, for as long as a Registration or a Waker is left
  });
}

// Signals are neither lost nor made up: whatever an auto-reset event has given up was reported, or withdraw said so.
TEST_CASE("handles: random programs") {
  using Random = sim::Random;
  for (std::uint64_t seed = 1; seed <= 400; seed++) {
    CAPTURE(seed);
    sim::Options options{.seed = seed, .completion = {0us, 30us}, .packet = {0us, 30us}};
    options.has_wait_packets = seed % 4 != 0;
    options.faults = {.early_time_out = 100, .shuffled_packet = 200};
    Objects f(options);
    Random random(seed);
    struct Watched {
      HANDLE object;
      Registration registration;
      int owed = 0;  // signals that were given and not reported
      bool is_armed = false;
    };
    std::vector<Watched> all(5);
    for (Watched& one : all) one.object = f.object(Kind::auto_reset);
    const auto [a, b] = f.kernel.net().tcp_pair();
    Registration socket = f.add(a);
    const auto wait = [&](std::chrono::nanoseconds timeout, std::size_t size) {
      for (const Event& event : f.wait(timeout, size)) {
        const auto one =
            std::ranges::find(all, event.token(), [](const Watched& w) { return Objects::token_of(w.object); });
        if (one == all.end()) continue;
        CHECK(one->is_armed);
        one->is_armed = false;
        CHECK(--one->owed >= 0);
      }
    };
    for (int step = 0; step < 200; step++) {
      Watched& one = all[random.below(all.size())];
      switch (random.below(8)) {
        case 0:
        case 1:
          if (f.kernel.signals(one.object) == 0) one.owed++;  // else it is signalled already
          f.kernel.signal(one.object);
          break;
        case 2:
          if (const auto rearmed = one.registration.rearm(); rearmed) one.is_armed = true;
          break;
        case 3: {
          f.kernel.set_faults({.wait_refused = random.below(2) == 0 ? 500 : 0, .shuffled_packet = 200});
          auto added = f.poller->add_handle(native_of(one.object), Objects::token_of(one.object));
          f.kernel.set_faults({.early_time_out = 100, .shuffled_packet = 200});
          if (!added) break;
          CHECK(added.has_value());
          // The old one first, so that no two wait for one event.
          const auto old = one.registration.withdraw();
          if (old && *old) one.owed--;
          one.registration = std::move(*added);
          one.is_armed = true;
          break;
        }
        case 4: {
          const auto taken = one.registration.withdraw();
          if (taken && *taken) one.owed--;
          one.is_armed = false;
          break;
        }
        case 5: static_cast<void>(f.kernel.net().send(b, 1)); break;
        case 6: static_cast<void>(f.kernel.net().recv(a, 100)); break;
        default: wait(random.below(3) == 0 ? 20us : 0us, 1 + random.below(3)); break;
      }
    }
    f.kernel.settle();
    static_cast<void>(f.kernel.net().recv(a, 1 << 20));
    for (int i = 0; i < 20; i++) wait(0ns, 2);
    for (Watched& one : all) {
      CHECK(one.owed == f.kernel.signals(one.object));
      if (one.is_armed) CHECK(one.owed == 0);
    }
  }
}
