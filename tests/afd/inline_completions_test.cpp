// SPDX-License-Identifier: MIT
//
// Polls that complete synchronously, without a packet, and the probe that finds out whether the kernel does that.
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <reactor/afd/helper_handles.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("without inline completions each poll completes by a packet, and the events are the same") {
  for (const bool wanted : {true, false}) {
    CAPTURE(wanted);
    Fixture f(PollerOptions{.inline_completions = wanted});
    f.kernel.can_skip = false;  // this kernel always queues a packet, and the probe has to find that out
    auto first = f.add(a);
    auto second = f.add(b);
    f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
    CHECK(f.readable() == Sockets{a});
    CHECK(f.readable() == Sockets{a});
    CHECK(f.poller->stats().inline_completions == 0);
    f.kernel.complete(base(b), AFD_POLL_RECEIVE);
    CHECK(f.readable() == Sockets{a, b});
  }
}

TEST_CASE("the memory of a probe whose packet never comes is leaked, since the kernel may still write to it") {
  static auto& kernel = *new FakeKernel;  // never destroyed: the leaked memory stays reachable
  kernel.can_skip = false;
  kernel.dequeue_refusals = 2;
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    REQUIRE(poller.add(a, Token{1}, Interest::readable).has_value());
  }
  CHECK(kernel.dequeue_refusals == 0);
  REQUIRE(kernel.packets.size() == 1);
  REQUIRE(kernel.packets[0].request.has_value());
  kernel.packets[0].request->iosb->Status = STATUS_SUCCESS;  // a sanitizer report if it was freed
  CHECK(kernel.violations.empty());
}

TEST_CASE("when each dequeue of the probe is refused, inline completions are off") {
  SimFixture f({.faults = {.dequeue_refused = 1000}});
  const auto registration = f.add(f.kernel.net().udp(), Interest::writable);
  f.kernel.set_faults({});
  CHECK(f.wait(1s).size() == 1);
  CHECK(f.poller->stats().inline_completions == 0);
}

TEST_CASE("a probe that had no result is repeated with the next helper handle") {
  Fixture f;
  f.kernel.poll_refusals = {STATUS_INSUFFICIENT_RESOURCES};
  std::vector<Registration> registrations;
  constexpr auto first_of_the_next = static_cast<int>(afd::HelperHandles::sockets_per_handle);
  for (int i = 0; i <= first_of_the_next; i++) registrations.push_back(f.add(hot(i)));
  f.kernel.ready[base(hot(0))] = f.kernel.ready[base(hot(first_of_the_next))] = AFD_POLL_RECEIVE;
  CHECK(f.wait().size() == 2);
  CHECK(f.poller->stats().inline_completions == 1);
}

// The poll of the probe must have completed before its memory is freed.
TEST_CASE("the probe for inline completions survives the failure of any kernel call") {
  for (std::uint64_t nth = 1; nth <= 10; nth++) {
    CAPTURE(nth);
    SimFixture f({.skips = false});
    const auto [a, b] = f.kernel.net().tcp_pair();
    f.kernel.nth_fault().set(nth, STATUS_INSUFFICIENT_RESOURCES);
    const auto added = f.poller->add(static_cast<NativeSocket>(a), Token{a}, Interest::writable);
    f.kernel.nth_fault().set(0, STATUS_SUCCESS);
    if (added) CHECK(f.wait(0ms).size() == 1);
  }
}
