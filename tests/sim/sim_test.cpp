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

#include "sim/faulty_kernel.hpp"
#include "sim/sim_kernel.hpp"
#include "sim/sim_memory.hpp"

using namespace reactor::nt;
using namespace std::chrono_literals;
using sim::Flavour;
using sim::Options;
using sim::SimKernel;

namespace {

template <std::size_t count>
struct Polls {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{poll_never_times_out, count, 0};
  std::array<AFD_POLL_HANDLE_INFO, count> entries{};

  [[nodiscard]] ULONG size_bytes() const { return sizeof info + sizeof entries; }
};
using Poll = Polls<1>;

struct Fixture {
  SimKernel kernel;
  sim::SimNet& net = kernel.net();
  HANDLE port = *kernel.create_port();
  HANDLE helper = *kernel.open_helper(port, 1);

  explicit Fixture(const Options& options = {}) : kernel(options) {}
  ~Fixture() {
    kernel.set_faults({});
    kernel.cancel(helper, nullptr);
    while (take(1h)) {
    }
    kernel.close(helper);
    kernel.close(port);
    CHECK(kernel.complaint() == "");
    CHECK(kernel.held_requests() == 0);
    CHECK(kernel.open_handles() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  template <std::size_t count>
  NTSTATUS submit(Polls<count>& poll, const std::array<std::pair<sim::SocketNumber, ULONG>, count>& asked) {
    for (std::size_t i = 0; i < count; i++) {
      poll.entries[i] = {reinterpret_cast<HANDLE>(asked[i].first), asked[i].second, 0};
    }
    return kernel.poll(helper, poll.iosb, poll.info, poll.size_bytes(), &poll);
  }
  NTSTATUS submit(Poll& poll, sim::SocketNumber socket, ULONG mask) {
    return submit<1>(poll, {std::pair(socket, mask)});
  }
  std::optional<FILE_IO_COMPLETION_INFORMATION> take(std::chrono::nanoseconds timeout = 0s) {
    std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
    ULONG removed = 0;
    const NTSTATUS status = kernel.dequeue(port, packet, removed, timeout);
    return status == STATUS_SUCCESS ? std::optional(packet[0]) : std::nullopt;
  }
  bool saw(const std::string& what) {
    const auto all = kernel.violations();
    const bool found = std::ranges::any_of(all, [&](const auto& one) { return one.starts_with(what); });
    kernel.forget_violations();
    return found;
  }
};

}  // namespace

TEST_CASE("sim: time goes on only while somebody waits, and jumps to what is due") {
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

TEST_CASE("sim: an event may be over when it is told, and others have joined it") {
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
  CHECK(statuses == std::set<NTSTATUS>(sim::shortages.begin(), sim::shortages.end()));
  CHECK(kernel.cancel(helper, nullptr) == STATUS_INSUFFICIENT_RESOURCES);
  kernel.close(helper);
  kernel.close(port);
  CHECK(kernel.held_requests() == 0);
  CHECK(kernel.complaint() == "");
}

TEST_CASE("sim: the n-th call fails, and only that one, in the kernel and in a decorator of one") {
  SimKernel below;
  sim::FaultyKernel above(below);
  for (const bool decorated : {false, true}) {
    CAPTURE(decorated);
    Kernel& kernel = decorated ? static_cast<Kernel&>(above) : below;
    sim::NthFault& fault = decorated ? above.fault() : below.nth_fault();
    fault.set(2, STATUS_INSUFFICIENT_RESOURCES);
    const auto port = kernel.create_port();
    REQUIRE(port.has_value());
    CHECK_FALSE(fault.has_struck());
    CHECK(kernel.open_helper(*port, 1).error() == std::errc::not_enough_memory);
    CHECK(fault.has_struck());
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
  CHECK(above.count(sim::Call::open_helper) == 2);
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
    return std::array{sim::is_guarded(&poll.iosb), sim::is_guarded(&poll.info), sim::is_guarded(&poll.entries[0])};
  };
  const auto all = [](bool is) { return std::array{is, is, is}; };
  CHECK(guarded() == all(sim::guards_memory));
  CHECK(f.kernel.cancel(f.helper, &poll.iosb) == STATUS_SUCCESS);
  CHECK(guarded() == all(sim::guards_memory));
  REQUIRE(f.take().has_value());
  CHECK(guarded() == all(false));
  REQUIRE(f.submit(poll, a, AFD_POLL_SEND) == STATUS_SUCCESS);  // its packet is queued
  CHECK(guarded() == all(sim::guards_memory));
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

TEST_CASE("sim: under Wine a helper that is closed ends its polls") {
  Poll poll;
  Fixture f({.flavour = Flavour::wine});
  const HANDLE second = *f.kernel.open_helper(f.port, 1);
  poll.entries[0] = {reinterpret_cast<HANDLE>(f.net.udp()), AFD_POLL_RECEIVE, 0};
  CHECK(f.kernel.poll(second, poll.iosb, poll.info, poll.size_bytes(), &poll) == STATUS_PENDING);
  f.kernel.close(second);
  CHECK(f.saw("helper "));
  REQUIRE(f.take().has_value());
  CHECK(poll.iosb.Status == STATUS_CANCELLED);
}

TEST_CASE("sim: an inherited socket stays open until the child ends, whatever its number means meanwhile") {
  Poll poll;
  Fixture f;
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.net.inherit(a));
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.net.close(a));
  REQUIRE(f.net.udp() == a);
  CHECK_FALSE(f.take().has_value());
  SUBCASE("its end is the socket's") {
    f.net.end_child();
    REQUIRE(f.take().has_value());
    CHECK(poll.entries[0].Events == AFD_POLL_LOCAL_CLOSE);
    CHECK(f.net.recv(b, 1) == 0u);
  }
  SUBCASE("until then its events are reported") {
    REQUIRE(f.net.send(b, 1) == 1u);
    REQUIRE(f.take().has_value());
    CHECK(poll.entries[0].Events == AFD_POLL_RECEIVE);
    f.net.end_child();
  }
  CHECK(f.net.inherited() == 0);
}

TEST_CASE("sim: a socket that is not AFD's is its own base and can never be polled") {
  for (const auto flavour : {Flavour::windows, Flavour::wine}) {
    Fixture f({.flavour = flavour});
    const auto a = f.net.not_afd();
    CHECK(f.kernel.base_socket(a) == reinterpret_cast<HANDLE>(a));
    Poll poll;
    const auto refusal = flavour == Flavour::windows ? STATUS_INVALID_HANDLE : STATUS_OBJECT_TYPE_MISMATCH;
    for (int i = 0; i < 2; i++) CHECK(f.submit(poll, a, AFD_POLL_RECEIVE) == refusal);
    CHECK(f.net.events(a) == 0);
  }
}

TEST_CASE("sim: an answer in the call may have no entry though the socket is ready, and a poll be denied") {
  Fixture f({.faults = {.empty_answer = 1000}});
  const auto a = f.net.udp();
  Poll poll;
  CHECK(f.submit(poll, a, AFD_POLL_SEND) == STATUS_SUCCESS);
  REQUIRE(f.take().has_value());
  CHECK(poll.info.NumberOfHandles == 0);
  f.kernel.set_faults({.poll_denied = 1000});
  CHECK(f.submit(poll, a, AFD_POLL_SEND) == sim::STATUS_ACCESS_DENIED);
}

TEST_CASE("sim: two numbers of one socket in one request: each answers in the call, one of them later") {
  std::set<sim::SocketNumber> answered;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    Polls<2> poll;
    Fixture f({.seed = seed});
    const auto [a, b] = f.net.tcp_pair();
    const auto again = f.net.duplicate(a);
    const auto ask = [&, first = a] {
      return f.submit<2>(poll, {std::pair(first, AFD_POLL_RECEIVE), std::pair(again, AFD_POLL_RECEIVE)});
    };
    REQUIRE(ask() == STATUS_PENDING);
    REQUIRE(f.net.send(b, 1) == 1u);
    REQUIRE(f.take().has_value());
    REQUIRE(poll.info.NumberOfHandles == 1);
    answered.insert(reinterpret_cast<sim::SocketNumber>(poll.entries[0].Handle) == a ? 0 : 1);
    poll.info = {poll_never_times_out, 2, 0};
    REQUIRE(ask() == STATUS_SUCCESS);
    REQUIRE(f.take().has_value());
    CHECK(poll.info.NumberOfHandles == 2);
  }
  CHECK(answered.size() == 2);
}

TEST_CASE("sim: two polls through two numbers of one socket each get their answer when they are not entangled") {
  Poll first, second;
  Fixture f({.entangles = false});
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.submit(first, a, AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.submit(second, f.net.duplicate(a), AFD_POLL_RECEIVE) == STATUS_PENDING);
  REQUIRE(f.net.send(b, 1) == 1u);
  REQUIRE(f.take().has_value());
  REQUIRE(f.take().has_value());
}

TEST_CASE("sim: a reset under Windows: ABORT alone for a poll that is pending, SEND and CONNECT too for one after it") {
  Poll poll;
  Fixture f;
  const auto [a, b] = f.net.tcp_pair();
  REQUIRE(f.submit(poll, a, AFD_POLL_RECEIVE | AFD_POLL_ABORT) == STATUS_PENDING);
  REQUIRE(f.net.reset(b));
  REQUIRE(f.take().has_value());
  CHECK(poll.entries[0].Events == AFD_POLL_ABORT);
  poll.info = {poll_never_times_out, 1, 0};
  REQUIRE(f.submit(poll, a, 0x1FF) == STATUS_SUCCESS);
  REQUIRE(f.take().has_value());
  CHECK(poll.entries[0].Events == (AFD_POLL_ABORT | AFD_POLL_SEND | AFD_POLL_CONNECT));
}

TEST_CASE("sim: a failed connect stays so until a new one") {
  Fixture f;
  auto& net = f.net;
  const auto listener = net.listener(), a = net.tcp();
  REQUIRE(net.connect(a, 1));
  for (int i = 0; i < 2; i++) CHECK(net.events(a) == AFD_POLL_CONNECT_FAIL);
  f.kernel.set_delays({1ms, 1ms}, {}, {});
  REQUIRE(net.connect(a, net.port_of(listener)));
  CHECK(net.events(a) == 0);
  f.kernel.settle();
  CHECK(net.events(a) == (AFD_POLL_CONNECT | AFD_POLL_SEND));
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
