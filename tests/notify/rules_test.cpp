// SPDX-License-Identifier: MIT
//
// The rules of docs/architecture.md over socket notifications, each with every reading of what is not documented.

#include <reactor/afd/packet_key.hpp>

#include "notify/fixture.hpp"

using namespace fixture;

TEST_CASE("notify: a kernel without notifications is an error") {
  sim::SimKernel kernel({.has_notifications = false});
  const auto made = notify::NotifyBackend::create(kernel, {});
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error() == std::errc::function_not_supported);
  CHECK(kernel.open_handles() == 0);
}

TEST_CASE("notify: level, oneshot and edge") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const auto [b, b_peer] = f.net.tcp_pair();
    const auto [c, c_peer] = f.net.tcp_pair();
    Registration level = f.add(a), oneshot = f.add(b, Interest::readable, Mode::oneshot),
                 edge = f.add(c, Interest::readable, Mode::edge);
    CHECK(f.wait().empty());
    for (const auto peer : {a_peer, b_peer, c_peer}) f.send(peer);
    CHECK(f.wait().size() == 3);
    CHECK(f.one(a) == Readiness::readable);
    CHECK(f.one(a) == Readiness::readable);
    REQUIRE(oneshot.modify(Interest::readable));
    CHECK(f.wait().size() == 2);
    f.read(a);
    CHECK(f.wait().empty());
    REQUIRE(edge.drained(Interest::readable));
    CHECK(f.one(c) == Readiness::readable);
    REQUIRE(level.modify(Interest::writable));
    CHECK(f.one(a) == Readiness::writable);
    CHECK(f.polls() == 1);  // of the probe
  });
}

TEST_CASE("notify: what it cannot say is polled for") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const Registration urgent = f.add(a, Interest::priority);
    CHECK(f.wait().empty());
    REQUIRE(f.net.send_urgent(a_peer));
    CHECK(f.one(a) == Readiness::priority);
    const SocketNumber refused = f.net.tcp();
    REQUIRE(f.net.connect(refused, 1));
    const Registration connecting = f.add(refused, Interest::writable, Mode::oneshot);
    for (const Event& event : f.wait()) {
      if (event.token() != Token{refused}) continue;
      CHECK(event.failed());
      CHECK(event.error() == std::errc::connection_refused);
    }
    CHECK(f.polls() >= 3);
  });
}

// Rule: one bad socket never fails wait.
TEST_CASE("notify: a socket of another provider is reported once, and its neighbours at once") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const SocketNumber foreign = f.net.not_afd();
    const Registration first = f.add(foreign), second = f.add(a);
    f.send(a_peer);
    bool is_reported = false;
    int readable = 0;
    for (int i = 0; i < 4; i++) {
      for (const Event& event : f.wait()) {
        if (event.token() == Token{a}) readable++;
        if (event.token() != Token{foreign}) continue;
        CHECK_FALSE(is_reported);
        CHECK(event.error() == std::errc::not_supported);
        is_reported = true;
      }
    }
    CHECK(is_reported);
    CHECK(readable == 4);
  });
}

TEST_CASE("notify: a socket in two Pollers is notified to one and polled by the other") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    Poller second = f.another();
    const Registration here = f.add(a);
    const auto there = second.add(static_cast<NativeSocket>(a), Token{7}, Interest::readable);
    REQUIRE(there.has_value());
    CHECK(f.wait().empty());
    CHECK(second.wait(f.buffer, 0ns).value().size() == 0);
    f.send(a_peer);
    CHECK(f.one(a) == Readiness::readable);
    CHECK(second.wait(f.buffer, 0ns).value().size() == 1);
  });
}

// Rules: nothing after remove, a number is not an identity.
TEST_CASE("notify: removed, closed, reused and added again, in each order") {
  for_each_reading([](const sim::Options& options) {
    for (const bool removes : {false, true}) {
      for (const bool waits_between : {false, true}) {
        for (const bool is_queued : {false, true}) {
          CAPTURE(removes);
          CAPTURE(waits_between);
          CAPTURE(is_queued);
          Fixture f(options);
          const auto [a, a_peer] = f.net.tcp_pair();
          Registration old = f.add(a, Token{1}, Interest::readable);
          CHECK(f.wait().empty());
          if (is_queued) f.send(a_peer);
          if (removes) REQUIRE(old.remove());
          REQUIRE(f.net.close(a));
          if (removes && waits_between) CHECK(f.wait().empty());
          const SocketNumber again = f.net.listener();
          REQUIRE(again == a);
          const Registration fresh = f.add(again, Token{2}, Interest::readable);
          for (int i = 0; i < 3; i++) CHECK(f.wait().empty());
          REQUIRE(f.net.connect(f.net.tcp(), f.net.port_of(again)));
          CHECK(f.one(Token{2}) == Readiness::readable);
          CHECK(f.one(Token{2}) == Readiness::readable);
          if (!removes) CHECK_FALSE(old.modify(Interest::writable).has_value());
        }
      }
    }
  });
}

TEST_CASE("notify: the same socket added again, before and after the removal is through") {
  for_each_reading([](const sim::Options& options) {
    for (const bool removes : {false, true}) {
      for (const bool waits_between : {false, true}) {
        Fixture f(options);
        const auto [a, a_peer] = f.net.tcp_pair();
        Registration old = f.add(a, Token{1}, Interest::readable);
        CHECK(f.wait().empty());
        if (removes) REQUIRE(old.remove());
        if (waits_between) CHECK(f.wait().empty());
        const Registration fresh = f.add(a, Token{2}, Interest::readable);
        CHECK(f.wait().empty());
        f.send(a_peer);
        for (int i = 0; i < 3; i++) CHECK(f.one(Token{2}) == Readiness::readable);
        // Before the removal is through it is not known what a registration would do, so none is asked for.
        if (!removes) CHECK(f.polls() > 1);
        if (removes && waits_between) CHECK(f.polls() == 1);
      }
    }
  });
}

TEST_CASE("notify: a child keeps the old socket open while its number means another") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const Registration old = f.add(a, Token{1}, Interest::readable);
    CHECK(f.wait().empty());
    REQUIRE(f.net.inherit(a));
    REQUIRE(f.net.close(a));
    const auto [b, b_peer] = f.net.tcp_pair();
    REQUIRE(b == a);
    const Registration fresh = f.add(b, Token{2}, Interest::readable);
    CHECK(f.wait().empty());
    f.send(a_peer);  // to the child
    for (int i = 0; i < 3; i++) CHECK(f.wait().empty());
    f.send(b_peer);
    CHECK(f.one(Token{2}) == Readiness::readable);
    f.net.end_child();
  });
}

TEST_CASE("notify: closed without remove is noticed when it is armed again") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    Registration gone = f.add(a);
    CHECK(f.wait().empty());
    REQUIRE(f.net.close(a));
    CHECK(f.wait().empty());
    REQUIRE(gone.modify(Interest::writable));
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().registrations == 0);
    CHECK(f.poller->stats().arena_slots == 0);
    CHECK_FALSE(gone.modify(Interest::writable).has_value());
    CHECK(f.polls() == 1);  // of the probe
    CHECK(f.changes() == 2);
  });
}

// Two numbers of one socket: the kernel refuses the second key, so that one is polled.
TEST_CASE("notify: a duplicate is polled") {
  for_each_reading([](sim::Options options) {
    options.entangles = false;
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const SocketNumber b = f.net.duplicate(a);
    const Registration first = f.add(a), second = f.add(b);
    CHECK(f.wait().empty());
    f.send(a_peer);
    for (int i = 0; i < 3; i++) CHECK(f.wait().size() == 2);
  });
}

// The number of a socket that was registered comes to mean a duplicate of another one that is: what the kernel removes
// is that other one's registration.
TEST_CASE("notify: a removal that hits another registration is noticed") {
  for_each_reading([](sim::Options options) {
    options.entangles = false;
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const auto [b, b_peer] = f.net.tcp_pair();
    const Registration first = f.add(a, Token{1}, Interest::readable);
    const Registration second = f.add(b, Token{2}, Interest::readable);
    CHECK(f.wait().empty());
    REQUIRE(f.net.close(b));
    REQUIRE(f.net.duplicate(a) == b);
    const Registration third = f.add(b, Token{3}, Interest::readable);
    CHECK(f.wait().empty());
    f.send(a_peer);
    for (int i = 0; i < 3; i++) CHECK(f.wait().size() == 2);
  });
}

// Rule: a shortage is never reported as a dead connection; no spin.
TEST_CASE("notify: a shortage is waited out") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const Registration registration = f.add(a);
    f.send(a_peer);
    f.kernel.set_faults({.change_refused = 1000});
    const auto before = f.calls();
    const auto begin = f.kernel.now();
    const auto waited = f.poller->wait(f.buffer, 1s);
    REQUIRE_FALSE(waited.has_value());
    CHECK(waited.error() == std::errc::not_enough_memory);
    CHECK(f.kernel.now() - begin >= 10ms);
    CHECK(f.calls() - before <= 6);
    f.kernel.set_faults({});
    CHECK(f.one(a) == Readiness::readable);
    CHECK(f.polls() == 1);
  });
}

TEST_CASE("notify: numbers that are used again and again are not polled") {
  for_each_reading([](const sim::Options& options) {
    for (const bool removes : {false, true}) {
      Fixture f(options);
      for (int i = 0; i < 10; i++) {
        const auto [a, a_peer] = f.net.tcp_pair();
        Registration registration = f.add(a);
        f.send(a_peer);
        CHECK(f.one(a) == Readiness::readable);
        if (removes) REQUIRE(registration.remove());
        REQUIRE(f.net.close(a));
        REQUIRE(f.net.close(a_peer));
      }
      CHECK(f.polls() == 1);  // of the probe
    }
  });
}

// Rule: what a sleeping thread needs is armed at once.
TEST_CASE("notify: other threads add, modify and remove while one sleeps") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const auto [b, b_peer] = f.net.tcp_pair();
    Registration first = f.add(a), second;
    f.send(a_peer);
    CHECK(f.one(a) == Readiness::readable);
    f.read(a);
    int step = 0;
    f.kernel.set_when_asleep([&] {
      f.kernel.play_thread(2);
      switch (++step) {
        case 1: second = f.add(b, Interest::readable); break;
        case 2: REQUIRE(first.modify(Interest::readable | Interest::priority)); break;
        case 3: REQUIRE(second.modify(Interest::writable | Interest::readable)); break;
        default: break;
      }
      f.kernel.play_thread(1);
      return step <= 3;
    });
    CHECK(f.one(b, 10s) == Readiness::writable);
    f.kernel.set_when_asleep(nullptr);
    CHECK(step >= 3);
    CHECK(f.kernel.now() < std::chrono::hours(1) + 1s);
    REQUIRE(second.remove());
    REQUIRE(f.net.send_urgent(a_peer));
    CHECK(f.one(a) == Readiness::priority);
  });
}

TEST_CASE("notify: Interest::none reports a reset once, and a FIN never") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const auto [b, b_peer] = f.net.tcp_pair();
    const Registration first = f.add(a, Interest::none), second = f.add(b, Interest::none);
    CHECK(f.wait().empty());
    REQUIRE(f.net.shutdown(a_peer));
    REQUIRE(f.net.reset(b_peer));
    CHECK(f.one(b) == (Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed));
    for (int i = 0; i < 3; i++) CHECK(f.wait().empty());
  });
}

// By the documentation the key is used when the registration is created: should the kernel keep the old one, nothing of
// the backend ever enables a registration under another.
TEST_CASE("notify: a kernel that keeps the key of a registration") {
  Fixture f({.notices = sim::NoticeReadings{.removing_refuses = false, .keeps_key = true}});
  const auto [a, a_peer] = f.net.tcp_pair();
  for (std::uint64_t i = 1; i <= 4; i++) {
    CAPTURE(i);
    const Registration registration = f.add(a, Token{i}, Interest::readable);
    CHECK(f.wait().empty());
    f.send(a_peer);
    CHECK(f.one(Token{i}) == Readiness::readable);
    f.read(a);
  }
}

// Should the kernel deny a removal that it does not make.
TEST_CASE("notify: a socket that is reported under an older key is polled") {
  Fixture f({.notices = sim::NoticeReadings{.keeps_key = true}});
  const auto [a, a_peer] = f.net.tcp_pair();
  Registration old = f.add(a, Token{1}, Interest::readable);
  CHECK(f.wait().empty());
  f.kernel.nth_fault().set(1, STATUS_NOT_FOUND);
  REQUIRE(old.remove());
  f.kernel.nth_fault().set(0, STATUS_NOT_FOUND);
  const Registration fresh = f.add(a, Token{2}, Interest::readable);
  CHECK(f.wait().empty());
  f.send(a_peer);
  for (int i = 0; i < 3; i++) CHECK(f.one(Token{2}) == Readiness::readable);
}

TEST_CASE("notify: packets of the program's own are delivered, and are never taken for a notification") {
  for_each_reading([](const sim::Options& options) {
    Fixture f(options);
    const auto [a, a_peer] = f.net.tcp_pair();
    const Registration registration = f.add(a);
    CHECK(f.wait().empty());
    const HANDLE port = FakeKernel::handle(0x104);  // the first that the kernel gives out
    const auto queue = [&](std::uintptr_t key) { REQUIRE(f.kernel.post(port, nullptr, key, &f) == STATUS_SUCCESS); };
    queue(afd::program_bit);  // names the slot of the registration, if it is taken for a notification
    CHECK(f.wait().empty());
    CHECK(f.poller->stats().unknown_packets == 1);
    const auto key = f.poller->completion_key(Token{7});
    REQUIRE(key.has_value());
    for (int i = 0; i < 3; i++) queue(*key);
    f.send(a_peer);
    int packets = 0;
    for (int i = 0; i < 3; i++) {
      for (const Event& event : f.wait(0ns, 1)) packets += event.token() == Token{7} ? 1 : 0;
    }
    CHECK(packets == 3);
    CHECK(f.one(a) == Readiness::readable);
    CHECK(f.polls() == 1);  // of the probe
  });
}
