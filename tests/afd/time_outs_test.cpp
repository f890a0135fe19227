// SPDX-License-Identifier: MIT
//
// When a wait ends whose time-out is over, where the kernel's clock has ticks: with the next tick, or by a timer with
// PollerOptions::high_resolution; and the kernel calls that this costs.
#include <array>
#include <utility>

#include <reactor/afd/packet_key.hpp>
#include <reactor/notify/notify_backend.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

namespace {

constexpr nanoseconds tick = 15'625us;
constexpr std::array<nanoseconds, 7> time_outs{100ns, 300us, 1ms, 5ms, 20ms, 63ms, 200ms};

struct Timed : SimFixture {
  explicit Timed(bool is_precise = true, sim::Options options = {}) : SimFixture(with_tick(options), how(is_precise)) {
    kernel.run_for(3ms);  // in the midst of a tick
  }
  static sim::Options with_tick(sim::Options options) {
    options.tick = tick;
    return options;
  }
  static PollerOptions how(bool is_precise) { return {.high_resolution = is_precise}; }

  /// How long a wait takes that nothing else ends.
  nanoseconds idle(nanoseconds timeout) {
    const auto begin = kernel.now();
    CHECK(wait(timeout).empty());
    return kernel.now() - begin;
  }
  [[nodiscard]] std::uint64_t calls() const { return poller->stats().kernel_calls(); }
  /// The kernel calls of a wait that sends a byte once it sleeps, and ends by it.
  std::uint64_t calls_until_event(sim::SocketNumber socket, sim::SocketNumber peer, nanoseconds timeout) {
    kernel.set_when_asleep([&, has_sent = false]() mutable {
      if (std::exchange(has_sent, true)) return false;
      return kernel.net().send(peer, 1).has_value();
    });
    const auto before = calls();
    CHECK(wait(timeout).size() == 1);
    kernel.set_when_asleep({});
    CHECK(kernel.net().recv(socket, 1).has_value());
    return calls() - before;
  }
};

// As late as the tick, and not later.
void check_by_tick(Timed& f) {
  for (const nanoseconds timeout : time_outs) {
    CAPTURE(timeout.count());
    const nanoseconds taken = f.idle(timeout);
    CHECK(taken >= timeout);
    CHECK(taken < timeout + tick);
    CHECK(f.kernel.now() % tick == 0ns);
    f.kernel.run_for(3ms);
  }
}

}  // namespace

TEST_CASE("time-outs: without high_resolution a wait ends with the clock tick, and not early") {
  Timed f(false);
  check_by_tick(f);
  CHECK(f.poller->stats().timer_calls == 0);
}

TEST_CASE("time-outs: with high_resolution a wait ends when its time is over") {
  Timed f;
  for (const nanoseconds timeout : time_outs) {
    CAPTURE(timeout.count());
    CHECK(f.idle(timeout) == timeout);
  }
  CHECK(f.idle(0ns) == 0ns);
  for (nanoseconds timeout = 60ms; timeout < 300ms; timeout += 7ms) CHECK(f.idle(timeout) == timeout);  // in two parts
}

TEST_CASE("time-outs: with high_resolution over socket notifications") {
  Timed f(true);
  f.poller.emplace(poller_on(*notify::NotifyBackend::create(f.kernel, Timed::how(true))));
  const auto [a, b] = f.kernel.net().tcp_pair();
  Registration registration = f.add(a);
  for (const nanoseconds timeout : time_outs) {
    CAPTURE(timeout.count());
    CHECK(f.idle(timeout) == timeout);
    REQUIRE(registration.modify(Interest::readable));  // a change to be made by the call that dequeues
  }
}

TEST_CASE("time-outs: what high_resolution costs") {
  Timed f;
  const auto [a, b] = f.kernel.net().tcp_pair();
  const Registration registration = f.add(a);
  CHECK(f.idle(1ms) == 1ms);  // opens the timer
  const auto calls_of = [&](nanoseconds timeout) {
    const auto before = f.calls();
    CHECK(f.idle(timeout) == timeout);
    return f.calls() - before;
  };
  for (int i = 0; i < 3; i++) {
    CHECK(calls_of(1ms) == 3);  // set, associate, dequeue
    CHECK(calls_of(50ms) == 3);
    CHECK(calls_of(200ms) == 4);  // and a dequeue until shortly before
  }
  for (int i = 0; i < 16; i++) {  // wherever in a tick it begins
    f.kernel.run_for(1ms);
    CHECK(calls_of(5ms) == 3);
  }
  f.calls_until_event(a, b, 10s);
  for (int i = 0; i < 3; i++) {
    CHECK(f.calls_until_event(a, b, 10s) == 2);                  // arm, dequeue
    CHECK(f.calls_until_event(a, b, 10ms) == (i == 0 ? 4 : 3));  // and set; the first time it is associated, too
  }
}

TEST_CASE("time-outs: the timer of a wait that ended earlier ends no other wait") {
  Timed f;
  const auto [a, b] = f.kernel.net().tcp_pair();
  const Registration registration = f.add(a);
  f.calls_until_event(a, b, 5ms);
  CHECK(f.idle(20ms) == 20ms);  // set anew
  f.calls_until_event(a, b, 5ms);
  f.kernel.run_for(6ms);  // its packet is queued
  CHECK(f.idle(20ms) == 20ms);
  f.calls_until_event(a, b, 5ms);
  f.kernel.run_for(6ms);
  CHECK(f.idle(1s) == 1s);
  f.calls_until_event(a, b, 5ms);
  const auto before = f.calls();
  CHECK(f.idle(150ms) == 150ms);   // it comes while the wait sleeps by the port's time-out
  CHECK(f.calls() - before == 6);  // arm, dequeue, dequeue, set, associate, dequeue
  f.calls_until_event(a, b, 5ms);  // the Poller ends with a timer that is pending
}

TEST_CASE("time-outs: each thread that waits has its own") {
  Timed f;
  const auto nested = [&](nanoseconds outer, nanoseconds inner) {
    std::array<Event, 4> other_buffer;
    nanoseconds inner_taken{0};
    f.kernel.set_when_asleep([&, is_asleep = false]() mutable {
      if (std::exchange(is_asleep, true)) return false;
      const auto begin = f.kernel.now();
      f.kernel.play_thread(2);
      CHECK(f.poller->wait(other_buffer, inner).has_value());
      f.kernel.play_thread(1);
      inner_taken = f.kernel.now() - begin;
      return true;
    });
    const nanoseconds outer_taken = f.idle(outer);
    f.kernel.set_when_asleep({});
    return std::pair(outer_taken, inner_taken);
  };
  CHECK(nested(10ms, 5ms) == std::pair(nanoseconds(10ms), nanoseconds(5ms)));
  CHECK(nested(40ms, 30ms) == std::pair(nanoseconds(40ms), nanoseconds(30ms)));
  const auto before = f.poller->stats();
  // The inner thread dequeues the packet of the outer, and passes it on until it gives up.
  CHECK(nested(5ms, 30ms).second == 30ms);
  CHECK(f.poller->stats().post_calls - before.post_calls == 8);
  CHECK(f.idle(7ms) == 7ms);
}

// Thread 2 dequeues a packet that came of an earlier wait of thread 1, whose timer is to end another wait by now.
TEST_CASE("time-outs: a timer whose packet came to another thread too early is armed again") {
  Timed f(true, {.packet = {2ms, 2ms}});
  const auto [a, b] = f.kernel.net().tcp_pair();
  const Registration registration = f.add(a);
  f.calls_until_event(a, b, 5ms);  // 2 ms
  f.kernel.run_for(3500us);        // its timer has expired, and the packet comes 1.5 ms from now
  std::array<Event, 4> other_buffer;
  const auto begin = f.kernel.now();
  f.kernel.set_when_asleep([&, is_asleep = false]() mutable {
    if (std::exchange(is_asleep, true)) return false;
    f.kernel.play_thread(2);
    CHECK(f.poller->wait(other_buffer, 3ms).has_value());
    CHECK(f.kernel.now() - begin == 5ms);
    f.kernel.play_thread(1);
    return true;
  });
  CHECK(f.idle(20ms) == 22ms);
  f.kernel.set_when_asleep({});
}

TEST_CASE("time-outs: where the system lacks the timers, waits end with the tick, and nothing is tried again") {
  for (const bool has_packets : {false, true}) {
    CAPTURE(has_packets);
    Timed f(true, {.has_wait_packets = has_packets, .has_timers = !has_packets});
    check_by_tick(f);
    CHECK(f.poller->stats().timer_calls == 0);
    CHECK(f.kernel.counts()[std::to_underlying(sim::Call::create_timer)] == (has_packets ? 1 : 0));
  }
}

TEST_CASE("time-outs: while the kernel refuses timers for a shortage, waits end with the tick") {
  Timed f;
  f.kernel.nth_fault().set(2, STATUS_INSUFFICIENT_RESOURCES);  // the timer, after its wait packet
  CHECK(f.idle(1ms) > 1ms);
  f.kernel.nth_fault().set(0, STATUS_SUCCESS);
  CHECK(f.idle(1ms) == 1ms);
  f.poller.emplace(poller_on(*afd::AfdBackend::create(f.kernel, Timed::how(true))));
  f.kernel.set_faults({.wait_refused = 1000});
  check_by_tick(f);
  f.kernel.set_faults({});
  CHECK(f.idle(1ms) == 1ms);
  f.kernel.set_faults({.wait_refused = 1000});
  check_by_tick(f);
  f.kernel.set_faults({.early_time_out = 500, .shuffled_packet = 500});
  for (int i = 0; i < 20; i++) {
    CHECK(f.idle(1ms) == 1ms);
    CHECK(f.idle(1s) == 1s);
  }
}

TEST_CASE("time-outs: a packet that names no timer is ignored") {
  Timed f;
  CHECK(f.idle(1ms) == 1ms);
  const HANDLE port = FakeKernel::handle(0x104);  // the first that the kernel gives out
  constexpr auto key = std::to_underlying(afd::PacketKey::timer);
  for (const std::uintptr_t context : {std::uintptr_t{0}, std::uintptr_t{77}}) {
    REQUIRE(f.kernel.post(port, nullptr, key, reinterpret_cast<void*>(context)) == STATUS_SUCCESS);
  }
  CHECK(f.idle(1ms) == 1ms);
  CHECK(f.poller->stats().spurious == 2);
}

TEST_CASE("time-outs: a pause within a wait, after a shortage, does not make it late") {
  Timed f;
  const Registration registration = f.add(f.kernel.net().tcp());
  f.kernel.set_faults({.poll_refused = 1000});
  const auto begin = f.kernel.now();
  static_cast<void>(f.poller->wait(f.buffer, 11ms));  // by the tick 10 ms would be 12.6
  CHECK(f.kernel.now() - begin == 11ms);
  f.kernel.set_faults({});
}

TEST_CASE("time-outs: a pause within a wait, after a shortage, does not last until its end") {
  Timed f;
  const Registration registration = f.add(f.kernel.net().udp(), Interest::writable);
  f.kernel.set_faults({.poll_refused = 1000});
  f.kernel.set_when_asleep([&] {
    f.kernel.set_faults({});
    return false;
  });
  const auto begin = f.kernel.now();
  CHECK(f.wait(60ms).size() == 1);
  CHECK(f.kernel.now() - begin < 30ms);
  f.kernel.set_when_asleep({});
}
