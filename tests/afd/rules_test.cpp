// SPDX-License-Identifier: MIT
//
// The rules of docs/architecture.md, by their names: the AFD backend over a FakeKernel.
#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/directions.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "afd/fixture.hpp"
#include "allocation_count.hpp"

using namespace afd_fixture;

TEST_CASE("one poll per socket: a wider interest is polled after the pending poll was cancelled and has completed") {
  Fixture f;
  auto registration = f.add(a, Interest::readable);
  CHECK(f.wait().empty());
  const ULONG narrow = f.kernel.pending_on(base(a))->mask();
  CHECK(narrow == afd::poll_mask(afd::directions_of(Interest::readable)));
  REQUIRE(registration.modify(Interest::readable | Interest::writable));
  f.kernel.ready[base(a)] = AFD_POLL_SEND;
  f.kernel.keeps_what_is_cancelled = true;
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 1);
  REQUIRE(f.kernel.pending.size() == 1);
  CHECK(f.kernel.pending_on(base(a))->mask() == narrow);
  f.kernel.keeps_what_is_cancelled = false;
  f.kernel.complete(base(a), 0, STATUS_CANCELLED);
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].readiness() == Readiness::writable);
}

TEST_CASE("one poll per socket: an interest that the pending poll covers costs no kernel call") {
  Fixture f;
  auto registration = f.add(a, Interest::readable | Interest::writable);
  CHECK(f.wait().empty());
  const int polls = f.kernel.polls;
  REQUIRE(registration.modify(Interest::readable));
  CHECK(f.wait().empty());
  CHECK(f.kernel.polls == polls);
  CHECK(f.kernel.cancels == 0);
  f.kernel.complete(base(a), AFD_POLL_SEND);  // the poll covers it, but it is not wanted any more
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().spurious == 1);
  CHECK(f.kernel.pending_on(base(a))->mask() == afd::poll_mask(afd::directions_of(Interest::readable)));
}

TEST_CASE("one poll per socket: a socket that was removed and added again waits for its old poll") {
  Fixture f;
  auto first = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.keeps_what_is_cancelled = true;
  REQUIRE(first.remove());
  auto second = f.add(a);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending.size() == 1);  // the old poll: to submit another would make two
  f.kernel.keeps_what_is_cancelled = false;
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);  // the old poll reports nothing for the second registration ...
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);  // ... but its own poll does
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("kernel owns its memory: after remove the slot stays in place until its packet comes") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.keeps_what_is_cancelled = true;
  REQUIRE(registration.remove());
  CHECK(f.poller->stats().registrations == 0);
  CHECK(f.poller->stats().pending_polls == 1);
  f.kernel.keeps_what_is_cancelled = false;
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.wait().empty());  // the kernel wrote into the slot now: a sanitizer report if it had been released
  CHECK(f.poller->stats().pending_polls == 0);
}

TEST_CASE("packets are checked: unrecognised packets are counted and dropped") {
  Fixture f;
  auto registration = f.add(a, Interest::readable, Mode::oneshot);
  CHECK(f.wait().empty());
  const HANDLE port = *f.kernel.open.begin();
  auto* context = static_cast<char*>(f.kernel.pending_on(base(a))->context);
  const auto poll = std::to_underlying(afd::PacketKey::poll);
  CHECK(f.kernel.post(port, nullptr, 0x1234, nullptr) == 0);     // an unknown key
  CHECK(f.kernel.post(port, nullptr, poll, nullptr) == 0);       // no context
  CHECK(f.kernel.post(port, nullptr, poll, context + 1) == 0);   // a slot that is free
  CHECK(f.kernel.post(port, nullptr, poll, context + 64) == 0);  // of a block that does not exist
  CHECK(f.kernel.post(port, nullptr, poll, context + 0x7FFFFFF0) == 0);
  CHECK(f.kernel.post(port, nullptr, poll, context + 2 * one_generation) == 0);  // another generation
  CHECK(f.kernel.post(port, nullptr, poll, &f) == 0);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 7);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
  CHECK(f.kernel.post(port, nullptr, poll, context) == 0);  // a slot without a pending poll
  CHECK(f.wait(0ns, 1).empty());
  CHECK(f.poller->stats().unknown_packets == 8);
}

TEST_CASE("nothing after remove: no wait reports the registration, although its packet was queued") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  REQUIRE(registration.remove());
  auto other = f.add(b);
  CHECK(f.wait().empty());
  CHECK(registration.modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(registration.remove().error() == std::errc::bad_file_descriptor);
}

TEST_CASE("a number is not an identity: the registration of a closed socket is retired without an event") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_LOCAL_CLOSE);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().registrations == 0);
  CHECK(registration.modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(registration.remove().has_value());
}

TEST_CASE(
    "a number is not an identity: the number of a closed socket can be added before its last packet was dequeued") {
  Fixture f;
  auto first = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_LOCAL_CLOSE);  // its packet is queued
  auto second = f.poller->add(a, Token{7}, Interest::readable);
  REQUIRE(second.has_value());
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().registrations == 1);
  CHECK(first.modify(Interest::none).error() == std::errc::bad_file_descriptor);
  CHECK(first.remove().has_value());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{7});
}

TEST_CASE("a number is not an identity: a handle that is added again has a new registration, armed or not") {
  Fixture f;
  auto first = f.add(a);
  auto second = f.poller->add(a, Token{2}, Interest::readable);
  REQUIRE(second.has_value());
  CHECK(first.modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(f.wait().empty());
  auto third = f.poller->add(a, Token{3}, Interest::readable);
  REQUIRE(third.has_value());
  CHECK(second->modify(Interest::readable).error() == std::errc::bad_file_descriptor);
  CHECK(second->remove().has_value());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);  // the poll of the second reports nothing for the third
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{3});
  CHECK(f.poller->stats().registrations == 1);
}

TEST_CASE("no lost wake: ten wakes cost one packet, and a refused post is repeated by the next wake") {
  Fixture f({}, false);
  const Waker waker = f.poller->waker();
  f.kernel.post_refusals = 3;
  waker.wake();
  CHECK(f.kernel.packets.empty());
  for (int i = 0; i < 9; i++) waker.wake();
  CHECK(f.kernel.packets.size() == 1);
  CHECK(f.kernel.posts == 4);
  // Without a time-out: the wait would never end if the wake was lost.
  CHECK(f.poller->wait(f.buffer)->woken());
  waker.wake();
  CHECK(f.poller->wait(f.buffer)->woken());
}

TEST_CASE("no lost wake: a wake that the kernel refused is posted by the next call of any kind") {
  for (const int call : {0, 1, 2, 3, 4}) {
    CAPTURE(call);
    Fixture f({}, false);
    Registration registration = f.add(a), other;
    f.kernel.post_refusals = 1;
    f.poller->waker().wake();
    CHECK(f.kernel.packets.empty());
    switch (call) {
      case 0: other = f.add(b); break;
      case 1: REQUIRE(registration.modify(Interest::readable)); break;
      case 2: REQUIRE(registration.drained(Interest::readable)); break;
      case 3: REQUIRE(registration.remove()); break;
      default: break;  // the wait itself
    }
    CHECK(f.kernel.packets.size() == (call < 4 ? 1 : 0));
    CHECK(f.poller->wait(f.buffer)->woken());
  }
}

TEST_CASE(
    "no lost wake: with a reserve object a wake cannot fail for want of memory, and queues one packet at a time") {
  Fixture f;
  f.kernel.post_refusals = 1000;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 5; i++) f.poller->waker().wake();
    CHECK(f.kernel.packets.size() == 1);
    CHECK(f.poller->wait(f.buffer)->woken());
  }
  CHECK(f.kernel.posts == 3);
}

TEST_CASE("no spin: an idle wait is one kernel call, whatever was reported before") {
  Fixture f;
  auto registration = f.add(a, Interest::readable, Mode::edge);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT;
  CHECK(f.wait().size() == 1);
  const auto before = f.poller->stats().kernel_calls();
  CHECK(f.wait(1h).empty());
  CHECK(f.poller->stats().kernel_calls() - before == 1);
}

TEST_CASE("unasked cancellation means arm again: the poll is submitted again") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), 0, STATUS_CANCELLED);
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(a)) != nullptr);
  f.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("unasked cancellation means arm again: so does success without an entry") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(base(a), 0);
  CHECK(f.wait().empty());
  CHECK(f.kernel.pending_on(base(a)) != nullptr);
}

TEST_CASE("steady state allocates nothing: waits, modify, add and remove with a hot group") {
  Fixture f;
  auto first = f.add(a, Interest::readable, Mode::oneshot);
  auto second = f.add(b);
  f.kernel.ready[base(a)] = f.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  const auto turn = [&] {
    const auto events = f.poller->wait(f.buffer, 0ns);
    CHECK(events->size() == 2);
    CHECK(first.modify(Interest::readable, Mode::oneshot).has_value());
    auto third = f.poller->add(c, Token{}, Interest::none);  // added and removed
    CHECK(third.has_value());
  };
  for (int i = 0; i < 10; i++) turn();  // until they are polled together
  const std::size_t before = allocations();
  const std::uint64_t groups = f.poller->stats().group_arms;
  for (int i = 0; i < 100; i++) turn();
  CHECK(allocations() == before);
  CHECK(f.poller->stats().group_arms == groups + 100);
}

TEST_CASE("a wait lasts until its deadline although the kernel returns early") {
  Fixture f;
  f.kernel.early = 15ms;
  const auto before = f.kernel.clock;
  CHECK(f.wait(50ms).empty());
  CHECK(f.kernel.clock - before == 50ms);
  CHECK(f.kernel.removes == 2);
}

TEST_CASE("a layered socket is polled by its base socket") {
  Fixture f;
  f.kernel.bases[static_cast<std::uintptr_t>(a)] = FakeKernel::handle(0x5000);
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  f.kernel.complete(FakeKernel::handle(0x5000), AFD_POLL_RECEIVE);
  CHECK(f.readable() == Sockets{a});
}

TEST_CASE("kernel owns its memory: a removed slot is released when its poll has completed") {
  Fixture f;
  auto registration = f.add(a);
  CHECK(f.wait().empty());
  REQUIRE(registration.remove());
  CHECK(f.kernel.cancels == 1);
  CHECK(f.poller->stats().arena_slots == 1);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().arena_slots == 0);
}

TEST_CASE("packets are checked: a slot's context under another key is unrecognised") {
  Fixture f;
  const auto registration = f.add(a);
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.post(*f.kernel.open.begin(), nullptr, 0x1234, f.kernel.pending_on(base(a))->context) == 0);
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().unknown_packets == 1);
  CHECK(f.poller->stats().pending_polls == 1);
}
