// SPDX-License-Identifier: MIT
//
// What the simulated kernel does beyond the conformance suite: faults, delays, and noticing what a kernel must never
// see.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>
#include <reactor/sim/sim_memory.hpp>
#include <reactor/sim/sim_random.hpp>
#include "sim/faulty_kernel.hpp"
#include "sim/sim_fixture.hpp"

using namespace reactor::nt;
using namespace std::chrono_literals;
using reactor::sim::Fixture;
using reactor::sim::Flavour;
using reactor::sim::Options;
using reactor::sim::Poll;
using reactor::sim::Polls;
using reactor::sim::SimKernel;

TEST_CASE("sim: time goes on only while a thread waits, and jumps to what is due") {
  Fixture f({.flight = {3ms, 3ms}, .completion = {5ms, 5ms}, .packet = {7ms, 7ms}});
  const auto [a, b] = f.net.tcp_pair();
  Poll poll;
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  const auto start = f.kernel.now();
  REQUIRE(f.net.send(b, 1) == 1u);
  CHECK(f.kernel.now() == start);
  CHECK_FALSE(f.net.readable(a));
  CHECK_FALSE(f.take(14ms).has_value());
  CHECK(f.kernel.now() - start == 14ms);
  CHECK(f.net.readable(a));
  CHECK(f.take(1h).has_value());
  CHECK(f.kernel.now() - start == 15ms);
}

TEST_CASE("sim: a refused connect draws its delays in the same order with every compiler") {
  const Options options{.seed = 7, .flight = {0ns, 1ms}, .refusal = {0ns, 1s}};
  Fixture f(options);
  const auto client = f.net.tcp();
  Poll poll;
  REQUIRE(f.submit(poll, client, AFD_POLL_CONNECT_FAIL) == STATUS_PENDING);
  const auto start = f.kernel.now();
  REQUIRE(f.net.connect(client, 1));
  REQUIRE(f.take(1h).has_value());
  reactor::sim::Random same(options.seed);
  auto delay = same.between(0ns, 1ms);  // to a port without a listener
  delay += same.between(0ns, 1ms);      // back
  delay += same.between(0ns, 1s);
  CHECK(f.kernel.now() - start == delay);
}

TEST_CASE("sim: memory is written when the packet is taken, and not before") {
  Fixture f({.guards_memory = false});
  const auto [a, b] = f.net.tcp_pair();
  Polls<2> poll;
  poll.iosb.Status = STATUS_PENDING;
  REQUIRE(f.submit<2>(poll, {std::pair(a, AFD_POLL_RECEIVE), std::pair(b, AFD_POLL_RECEIVE)}) == STATUS_PENDING);
  REQUIRE(f.net.send(b, 1) == 1u);
  CHECK(f.kernel.queued_packets() == 1);
  CHECK(f.kernel.pending_polls() == 0);
  CHECK(f.kernel.held_requests() == 1);
  CHECK(poll.iosb.Status == STATUS_PENDING);
  CHECK(poll.info.NumberOfHandles == 2);
  REQUIRE(f.take().has_value());
  CHECK(poll.iosb.Status == STATUS_SUCCESS);
  CHECK(poll.info.NumberOfHandles == 1);
  CHECK(poll.entries[0].Events == AFD_POLL_RECEIVE);
  CHECK(poll.entries[1].Events == 0xA5A5A5A5);  // behind the answer
  CHECK(f.kernel.held_requests() == 0);
}

TEST_CASE("sim: an event may have ended when it is reported, and others may be added to it") {
  Fixture f({.completion = {5ms, 5ms}});
  const auto [a, b] = f.net.tcp_pair();
  const auto [c, d] = f.net.tcp_pair();
  Polls<2> poll;
  REQUIRE(f.submit<2>(poll, {std::pair(a, AFD_POLL_RECEIVE), std::pair(c, AFD_POLL_RECEIVE)}) == STATUS_PENDING);
  REQUIRE(f.net.send(d, 1) == 1u);
  REQUIRE(f.net.recv(c, 1) == 1u);
  REQUIRE(f.net.send(b, 1) == 1u);
  REQUIRE(f.take(1h).has_value());
  CHECK(poll.info.NumberOfHandles == 2);
  CHECK(poll.entries[0].Handle == reinterpret_cast<HANDLE>(a));
  CHECK(poll.entries[1].Handle == reinterpret_cast<HANDLE>(c));
  CHECK_FALSE(f.net.readable(c));
}

TEST_CASE("sim: a fault comes in its time, and end_poll at once") {
  for (const NTSTATUS status : {STATUS_SUCCESS, STATUS_CANCELLED}) {
    Fixture f({.faults = {.spurious = status == STATUS_SUCCESS ? 1000 : 0,
                          .unasked_cancel = status == STATUS_CANCELLED ? 1000 : 0}});
    const auto a = f.net.tcp_pair().first;
    Poll poll;
    REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
    REQUIRE(f.take(10ms).has_value());
    CHECK(poll.iosb.Status == status);
    CHECK(poll.info.NumberOfHandles == (status == STATUS_SUCCESS ? 0 : 1));
    f.kernel.set_faults({});
    Poll again;
    REQUIRE(f.submit(again, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
    CHECK_FALSE(f.take(1h).has_value());
    REQUIRE(f.kernel.end_poll(a, status));
    REQUIRE(f.take().has_value());
    CHECK(again.iosb.Status == status);
    CHECK_FALSE(f.kernel.end_poll(a, status));
  }
}

TEST_CASE("sim: a cancel that comes too late finds nothing, and the completion comes") {
  Fixture f({.faults = {.cancel_late = 1000}});
  Poll poll;
  REQUIRE(f.submit(poll, f.net.tcp_pair().first, AFD_POLL_RECEIVE) == STATUS_PENDING);
  CHECK(f.kernel.cancel(f.helper, &poll.iosb) == STATUS_NOT_FOUND);
  REQUIRE(f.take().has_value());
  CHECK(poll.iosb.Status == STATUS_SUCCESS);
  CHECK(poll.info.NumberOfHandles == 0);
}

TEST_CASE("sim: a time-out that ends early is up to 15 ms early, and waiting on gets to its end") {
  Fixture f({.faults = {.early_time_out = 1000}});
  const auto start = f.kernel.now();
  CHECK_FALSE(f.take(100ms).has_value());
  CHECK(f.kernel.now() - start >= 85ms);
  CHECK(f.kernel.now() - start < 100ms);
  int waits = 1;
  while (f.kernel.now() - start < 100ms) {
    waits++;
    CHECK_FALSE(f.take(100ms - (f.kernel.now() - start)).has_value());
  }
  CHECK(waits < 100);
}

TEST_CASE("sim: each call can be refused") {
  SimKernel kernel({.faults = {.port_refused = 1000}});
  CHECK(kernel.create_port().error() == std::errc::not_enough_memory);
  kernel.set_faults({.helper_refused = 1000});
  const HANDLE port = *kernel.create_port();
  CHECK(kernel.open_helper(port, 1).error() == std::errc::not_enough_memory);
  kernel.set_faults({.poll_invalid = 1000,
                     .post_refused = 1000,
                     .base_refused = 1000,
                     .skip_refused = 1000,
                     .dequeue_refused = 1000});
  const HANDLE helper = *kernel.open_helper(port, 1);
  const auto socket = kernel.net().udp();
  Poll poll;
  poll.entries[0] = {reinterpret_cast<HANDLE>(socket), AFD_POLL_SEND, 0};
  const auto ask = [&] { return kernel.poll(helper, poll.iosb, poll.info, poll.size_bytes(), &poll); };
  CHECK(ask() == STATUS_INVALID_HANDLE);
  CHECK(kernel.post(port, nullptr, 1, nullptr) == STATUS_INSUFFICIENT_RESOURCES);
  CHECK(kernel.base_socket(socket).error() == std::errc::not_supported);
  CHECK_FALSE(kernel.skip_packet_on_success(helper));
  std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
  ULONG removed = 0;
  CHECK(kernel.dequeue(port, packet, removed, 0s) == STATUS_INSUFFICIENT_RESOURCES);
  kernel.set_faults({.cancel_refused = 1000, .poll_refused = 1000});
  std::set<NTSTATUS> statuses;
  for (int i = 0; i < 50; i++) statuses.insert(ask());
  CHECK(statuses == std::set<NTSTATUS>(reactor::sim::shortages.begin(), reactor::sim::shortages.end()));
  CHECK(kernel.cancel(helper, nullptr) == STATUS_INSUFFICIENT_RESOURCES);
  kernel.close(helper);
  kernel.close(port);
  CHECK(kernel.held_requests() == 0);
  CHECK(kernel.complaint() == "");
}

TEST_CASE("sim: the n-th call fails, and only that one, in the kernel and in a decorator of one") {
  SimKernel below;
  reactor::sim::FaultyKernel above(below);
  for (const bool decorated : {false, true}) {
    CAPTURE(decorated);
    Kernel& kernel = decorated ? static_cast<Kernel&>(above) : below;
    reactor::sim::NthFault& fault = decorated ? above.fault() : below.nth_fault();
    fault.set(2, STATUS_INSUFFICIENT_RESOURCES);
    const auto port = kernel.create_port();
    REQUIRE(port.has_value());
    CHECK_FALSE(fault.has_failed());
    CHECK(kernel.open_helper(*port, 1).error() == std::errc::not_enough_memory);
    CHECK(fault.has_failed());
    const auto helper = kernel.open_helper(*port, 1);
    REQUIRE(helper.has_value());
    CHECK(fault.seen() == 3);
    fault.set(1, STATUS_INVALID_HANDLE);
    CHECK(kernel.base_socket(below.net().udp()).error() == std::errc::bad_file_descriptor);
    fault.set(0, STATUS_SUCCESS);
    kernel.close(*helper);
    kernel.close(*port);
  }
  CHECK(below.open_handles() == 0);
  CHECK(above.count(reactor::sim::Call::open_helper) == 2);
}

TEST_CASE("sim: without an effect of skip_packet_on_success a packet comes all the same") {
  Fixture f({.skips = false});
  CHECK(f.kernel.skip_packet_on_success(f.helper));
  Poll poll;
  CHECK(f.submit(poll, f.net.udp(), AFD_POLL_SEND) == STATUS_SUCCESS);
  CHECK(f.take().has_value());
}

TEST_CASE("sim: a layered socket has a base, a hidden one has none, and the number on top cannot be polled") {
  Fixture f;
  const auto base = f.net.udp(), on_top = f.net.layered(base);
  CHECK(f.kernel.base_socket(on_top) == reinterpret_cast<HANDLE>(base));
  CHECK(f.kernel.base_socket(f.net.hidden()).error() == std::errc::not_supported);
  Poll poll;
  CHECK(f.submit(poll, on_top, AFD_POLL_SEND) == STATUS_OBJECT_TYPE_MISMATCH);
  CHECK(f.submit(poll, base, AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.net.close(on_top));
  CHECK_FALSE(f.net.is_open(base));
  REQUIRE(f.take().has_value());
  CHECK(poll.entries[0].Events == AFD_POLL_LOCAL_CLOSE);
}

TEST_CASE("sim: two polls on one socket are a violation, and Windows swaps their results or never finishes one") {
  bool swapped = false, lost = false;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    Poll first, second;  // outlive the fixture, which takes back what is pending
    Fixture f({.seed = seed});
    const auto [a, b] = f.net.tcp_pair();
    REQUIRE(f.submit(first, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
    REQUIRE(f.submit(second, a, AFD_POLL_DISCONNECT) == STATUS_PENDING);
    CHECK(f.saw("poll: two polls are pending on socket"));
    REQUIRE(f.net.send(b, 1) == 1u);
    const auto packet = f.take();
    if (!packet) {
      lost = true;
      continue;
    }
    swapped = swapped || packet->ApcContext == &second;
    if (packet->ApcContext == &second) CHECK(second.entries[0].Events == AFD_POLL_RECEIVE);
  }
  CHECK(swapped);
  CHECK(lost);
}

TEST_CASE("sim: what the kernel holds is guarded until its packet is taken") {
  Poll poll;
  Fixture f;
  const auto a = f.net.udp();
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  const auto guarded = [&] {
    return std::array{reactor::sim::is_guarded(&poll.iosb), reactor::sim::is_guarded(&poll.info),
                      reactor::sim::is_guarded(&poll.entries[0])};
  };
  const auto all = [](bool is) { return std::array{is, is, is}; };
  CHECK(guarded() == all(reactor::sim::guards_memory));
  CHECK(f.kernel.cancel(f.helper, &poll.iosb) == STATUS_SUCCESS);
  CHECK(guarded() == all(reactor::sim::guards_memory));
  REQUIRE(f.take().has_value());
  CHECK(guarded() == all(false));
  REQUIRE(f.submit(poll, a, AFD_POLL_SEND) == STATUS_SUCCESS);  // its packet is queued
  CHECK(guarded() == all(reactor::sim::guards_memory));
  REQUIRE(f.take().has_value());
  CHECK(guarded() == all(false));
}

TEST_CASE("sim: what a kernel must never see is noticed") {
  Poll held, other;
  Polls<2> two;
  Fixture f({.guards_memory = false});
  const auto a = f.net.udp(), b = f.net.udp();
  REQUIRE(f.submit(held, a, AFD_POLL_RECEIVE) == STATUS_PENDING);

  SUBCASE("a request that is touched while the kernel has it") {
    held.entries[0].Events = 0;
    REQUIRE(f.kernel.end_poll(a, STATUS_SUCCESS));
    REQUIRE(f.take().has_value());
    CHECK(f.saw("a request was changed"));
  }
  SUBCASE("a status block that is") {
    SUBCASE("its status") { held.iosb.Status = STATUS_CANCELLED; }
    SUBCASE("its information") { held.iosb.Information = 0; }
    REQUIRE(f.kernel.end_poll(a, STATUS_SUCCESS));
    REQUIRE(f.take().has_value());
    CHECK(f.saw("a status block was changed"));
  }
  SUBCASE("a status block that it has already") {
    other.entries[0] = {reinterpret_cast<HANDLE>(b), AFD_POLL_SEND, 0};
    CHECK(f.kernel.poll(f.helper, held.iosb, other.info, other.size_bytes(), nullptr) == STATUS_SUCCESS);
    CHECK(f.saw("poll: its status block is the kernel's already"));
    REQUIRE(f.kernel.end_poll(a, STATUS_SUCCESS));
    REQUIRE(f.take().has_value());
    f.kernel.forget_violations();  // the first one's status block was changed by the second
  }
  SUBCASE("a buffer that it has already") {
    IO_STATUS_BLOCK iosb{};
    held.entries[0].Handle = reinterpret_cast<HANDLE>(b);
    held.entries[0].Events = AFD_POLL_SEND;
    CHECK(f.kernel.poll(f.helper, iosb, held.info, held.size_bytes(), nullptr) == STATUS_SUCCESS);
    CHECK(f.saw("poll: its buffer is the kernel's already"));
    REQUIRE(f.kernel.end_poll(a, STATUS_SUCCESS));
    REQUIRE(f.take().has_value());
    f.kernel.forget_violations();  // the first one's request was changed by the second
  }
  SUBCASE("a socket twice in one request") {
    CHECK(f.submit<2>(two, {std::pair(b, AFD_POLL_RECEIVE), std::pair(b, AFD_POLL_RECEIVE)}) == STATUS_PENDING);
    CHECK(f.saw("poll: one socket is listed twice"));
  }
  SUBCASE("a size that is not the request's") {
    Poll poll;
    poll.entries[0] = {reinterpret_cast<HANDLE>(b), AFD_POLL_SEND, 0};
    CHECK(f.kernel.poll(f.helper, poll.iosb, poll.info, sizeof poll.info, &poll) < 0);
    CHECK(f.saw("poll: size_bytes"));
    poll.info.NumberOfHandles = 0;
    CHECK(f.kernel.poll(f.helper, poll.iosb, poll.info, poll.size_bytes(), &poll) < 0);
    CHECK(f.saw("poll: NumberOfHandles"));
  }
  SUBCASE("handles that are not open") {
    f.kernel.close(reinterpret_cast<HANDLE>(0x7777));
    CHECK(f.saw("close:"));
    f.kernel.close(reinterpret_cast<HANDLE>(b));  // a socket is not for the kernel to close
    CHECK(f.saw("close:"));
    CHECK(f.kernel.cancel(f.port, nullptr) == STATUS_INVALID_HANDLE);
    CHECK(f.saw("cancel:"));
    CHECK(f.kernel.post(f.helper, nullptr, 1, nullptr) == STATUS_INVALID_HANDLE);
    CHECK(f.saw("post:"));
  }
  SUBCASE("a helper that is closed while a poll is pending on it") {
    const HANDLE second = *f.kernel.open_helper(f.port, 1);
    Poll poll;
    poll.entries[0] = {reinterpret_cast<HANDLE>(b), AFD_POLL_RECEIVE, 0};
    CHECK(f.kernel.poll(second, poll.iosb, poll.info, poll.size_bytes(), &poll) == STATUS_PENDING);
    f.kernel.close(second);
    CHECK(f.saw("helper "));
    CHECK_FALSE(f.take().has_value());  // under Windows it goes on
    REQUIRE(f.kernel.end_poll(b, STATUS_SUCCESS));
    REQUIRE(f.take().has_value());
  }
  SUBCASE("a poll that waits and has no context") {
    other.entries[0] = {reinterpret_cast<HANDLE>(b), AFD_POLL_RECEIVE, 0};
    CHECK(f.kernel.poll(f.helper, other.iosb, other.info, other.size_bytes(), nullptr) == STATUS_PENDING);
    CHECK(f.saw("poll: it has to wait and has no context"));
    CHECK(f.kernel.cancel(f.helper, &other.iosb) == STATUS_SUCCESS);
  }
}

TEST_CASE("sim: packets overtake each other when they are shuffled, and none is lost") {
  Fixture f({.faults = {.shuffled_packet = 1000}});
  std::vector<std::uintptr_t> seen;
  for (std::uintptr_t i = 0; i < 50; i++) REQUIRE(f.kernel.post(f.port, nullptr, 1, reinterpret_cast<void*>(i)) == 0);
  while (const auto packet = f.take()) seen.push_back(reinterpret_cast<std::uintptr_t>(packet->ApcContext));
  CHECK_FALSE(std::ranges::is_sorted(seen));
  std::ranges::sort(seen);
  REQUIRE(seen.size() == 50);
  for (std::uintptr_t i = 0; i < 50; i++) CHECK(seen[i] == i);
}

TEST_CASE("sim: a close completes its polls at once, whatever delays there are, and a cancel after it finds nothing") {
  Polls<2> poll;
  Fixture f({.completion = {5ms, 5ms}, .packet = {5ms, 5ms}});
  const auto [a, b] = f.net.tcp_pair();
  const auto c = f.net.udp();
  REQUIRE(f.submit<2>(poll, {std::pair(a, AFD_POLL_RECEIVE), std::pair(c, AFD_POLL_RECEIVE)}) == STATUS_PENDING);
  REQUIRE(f.net.send(b, 1) == 1u);  // this one's completion is on its way
  REQUIRE(f.net.close(c));
  CHECK(f.kernel.cancel(f.helper, &poll.iosb) == STATUS_NOT_FOUND);
  REQUIRE(f.take(1h).has_value());
  CHECK(poll.info.NumberOfHandles == 2);
  CHECK(poll.entries[0].Events == AFD_POLL_RECEIVE);
  CHECK(poll.entries[1].Events == AFD_POLL_LOCAL_CLOSE);
}
