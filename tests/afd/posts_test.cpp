// SPDX-License-Identifier: MIT
//
// What a program queues itself, over FakeKernel: its posts (reactor/epoll_post.h), and its packets (Poller::associate,
// Poller::completion_key). Each is delivered once, in order, and shares a small buffer with the sockets.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/epoll_bits.hpp>
#include <reactor/afd/packet_key.hpp>

#include "afd/fixture.hpp"
#include "allocation_count.hpp"
#include "native_handle.hpp"

using namespace afd_fixture;

namespace {

using Delivered = std::vector<std::uint64_t>;

/// Tokens, of sockets, posts and packets alike.
class TokenSink final : public afd::EventSink {
 public:
  explicit TokenSink(std::size_t size) noexcept : EventSink(size) { tokens.resize(size); }
  std::vector<afd::ProgramPacket> packets;
  [[nodiscard]] Delivered delivered() const { return {tokens.begin(), tokens.begin() + static_cast<long>(count())}; }

 private:
  afd::Directions write(std::size_t index, const afd::Answer& answer) noexcept override {
    tokens[index] = static_cast<std::uint64_t>(answer.token);
    return answer.directions;
  }
  void write_post(std::size_t index, Token posted) noexcept override {
    tokens[index] = static_cast<std::uint64_t>(posted);
  }
  void write_packet(std::size_t index, const afd::ProgramPacket& packet) noexcept override {
    tokens[index] = static_cast<std::uint64_t>(packet.token);
    packets.push_back(packet);
  }

  Delivered tokens;
};

struct Port {
  FakeKernel kernel;
  std::shared_ptr<afd::AfdBackend> backend;

  explicit Port(bool has_reserves = true) {
    kernel.has_reserves = has_reserves;
    backend = *afd::AfdBackend::create(kernel, {});
  }
  ~Port() {
    backend->close();
    backend.reset();
    CHECK(kernel.violations == std::vector<std::string>{});
  }
  void post(std::uint64_t data) { REQUIRE(backend->post(Token{data}).has_value()); }
  void add(NativeSocket socket, std::uint64_t data) {
    REQUIRE(backend->add(socket, afd::epoll_watch(afd::Epoll::in, data)).has_value());
  }
  Delivered wait(std::size_t size = 8, std::chrono::nanoseconds timeout = 0ns) {
    TokenSink sink(size);
    const auto waited = backend->wait(sink, timeout);
    REQUIRE(waited.has_value());
    CHECK(waited->events == sink.count());
    CHECK_FALSE(waited->woken);
    return sink.delivered();
  }
  void queue(std::uintptr_t key, void* context = nullptr) {
    REQUIRE(kernel.post(backend->port(), nullptr, key, context) == STATUS_SUCCESS);
  }
  std::uintptr_t key(std::uint64_t token) {
    const auto made = backend->completion_key(Token{token});
    REQUIRE(made.has_value());
    return *made;
  }
  std::error_code associate(HANDLE file, std::uint64_t token) {
    const auto associated = backend->associate(native_of(file), Token{token});
    return associated ? std::error_code() : associated.error();
  }
};

}  // namespace

TEST_CASE("posts: each is delivered once, in order, whatever the size of the buffer") {
  Port port;
  for (std::uint64_t data = 1; data <= 40; data++) port.post(data);
  Delivered all;
  for (std::size_t size = 1; all.size() < 40; size++) {
    const Delivered some = port.wait(size);
    REQUIRE_FALSE(some.empty());
    all.insert(all.end(), some.begin(), some.end());
    port.post(40 + size);
    if (size == 3) REQUIRE(all == Delivered{1, 2, 3, 4, 5, 6});
  }
  for (std::size_t i = 0; i < all.size(); i++) CHECK(all[i] == i + 1);
}

TEST_CASE("posts: no kernel call while no thread sleeps") {
  Port port;
  port.post(1);
  port.post(2);
  CHECK(port.kernel.posts == 0);
  CHECK(port.wait() == Delivered{1, 2});
  CHECK(port.wait().empty());
}

TEST_CASE("posts: one ends a sleep, with one packet for many") {
  Port port;
  port.add(a, 100);
  port.kernel.when_asleep = [&, is_posted = false]() mutable {
    if (std::exchange(is_posted, true)) return false;
    port.post(1);
    port.post(2);
    return true;
  };
  auto before = port.kernel.clock;
  CHECK(port.wait(8, 10s) == Delivered{1, 2});
  CHECK(port.kernel.clock == before);
  CHECK(port.kernel.posts == 1);
  before = port.kernel.clock;
  CHECK(port.wait(8, 5s).empty());
  CHECK(port.kernel.clock - before >= 5s);
}

TEST_CASE("posts: what a wait has no place for ends the sleep of another thread") {
  Port port;
  Delivered others;
  port.kernel.when_asleep = [&] {  // another thread sleeps meanwhile
    port.kernel.when_asleep = nullptr;
    port.post(1);
    port.post(2);
    port.kernel.thread = 2;
    others = port.wait(1);
    port.kernel.thread = 1;
    return true;
  };
  port.kernel.thread = 1;
  CHECK(port.wait(8, 10s) == Delivered{2});
  CHECK(others == Delivered{1});
}

TEST_CASE("posts: neither they nor sockets that are always ready keep the other out of a buffer of one") {
  Port port;
  port.add(a, 100);
  int posts = 0, sockets = 0;
  SUBCASE("a synchronous completion") { port.kernel.ready[base(a)] = AFD_POLL_RECEIVE; }
  SUBCASE("a completion by a packet") { port.kernel.can_skip = false; }
  for (int round = 0; round < 60; round++) {
    port.post(1);
    if (!port.kernel.can_skip && port.kernel.pending_on(base(a)) != nullptr) {
      port.kernel.complete(base(a), AFD_POLL_RECEIVE);
    }
    for (const std::uint64_t token : port.wait(1)) token == 1 ? posts++ : sockets++;
  }
  CHECK(posts >= 15);
  CHECK(sockets >= 15);
}

TEST_CASE("posts: they come beside the events of sockets, in one wait") {
  Port port;
  port.add(a, 100);
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  port.post(1);
  CHECK(port.wait() == Delivered{100, 1});
}

TEST_CASE("posts: a packet that the kernel refuses is owed, and the post is not lost") {
  Port port(false);
  port.kernel.post_refusals = 1;
  port.kernel.when_asleep = [&, is_posted = false]() mutable {
    if (std::exchange(is_posted, true)) return false;
    port.post(1);
    return true;
  };
  CHECK(port.wait(8, 1s) == Delivered{1});  // its packet never came, so at the end of the time
  CHECK(port.wait(8, 1s) == Delivered{});
}

TEST_CASE("posts: after retire they are EBADF, and what was not delivered is dropped") {
  Port port;
  port.post(1);
  port.backend->retire();
  const auto posted = port.backend->post(Token{2});
  REQUIRE_FALSE(posted.has_value());
  CHECK(posted.error() == std::errc::bad_file_descriptor);
  TokenSink sink(8);
  const auto waited = port.backend->wait(sink, 0ns);
  REQUIRE_FALSE(waited.has_value());
  CHECK(waited.error() == std::errc::bad_file_descriptor);
  CHECK(sink.count() == 0);
}

TEST_CASE("posts: nothing is allocated while no more wait than did before") {
  Port port;
  for (std::uint64_t data = 0; data < 100; data++) port.post(data);
  TokenSink sink(100);
  REQUIRE(port.backend->wait(sink, 0ns).has_value());
  REQUIRE(sink.count() == 100);
  const std::size_t before = allocations();
  for (std::uint64_t data = 0; data < 100; data++) static_cast<void>(port.backend->post(Token{data}));
  CHECK(allocations() == before);
}

TEST_CASE("packets: what ends on a handle of the program is delivered with its token, context, bytes and status") {
  Port port;
  const HANDLE pipe = FakeKernel::handle(0x500);
  int operation = 0;
  REQUIRE(port.associate(pipe, 7) == std::error_code());
  port.kernel.complete_file(pipe, &operation, STATUS_SUCCESS, 5);
  port.kernel.complete_file(pipe, nullptr, STATUS_CANCELLED, 0);
  TokenSink sink(8);
  REQUIRE(port.backend->wait(sink, 0ns).has_value());
  CHECK(sink.delivered() == Delivered{7, 7});
  REQUIRE(sink.packets.size() == 2);
  CHECK(sink.packets[0].context == &operation);
  CHECK(sink.packets[0].information == 5);
  CHECK(sink.packets[0].status == STATUS_SUCCESS);
  CHECK(sink.packets[1].context == nullptr);
  CHECK(sink.packets[1].status == STATUS_CANCELLED);
  CHECK(port.backend->stats().events == 2);
  CHECK(port.backend->stats().registrations == 0);
}

TEST_CASE("packets: a Poller's event has the token, no readiness, and an error only of an operation that has failed") {
  Fixture f;
  const HANDLE pipe = FakeKernel::handle(0x500);
  REQUIRE(f.poller->associate(native_of(pipe), Token{7}).has_value());
  for (const NTSTATUS status : {STATUS_SUCCESS, STATUS_TIMEOUT, STATUS_CANCELLED}) {
    f.kernel.complete_file(pipe, &f, status, 5);
    const auto events = f.wait();
    REQUIRE(events.size() == 1);
    CHECK(events[0].token() == Token{7});
    CHECK(events[0].readiness() == Readiness::none);
    CHECK((events[0].error() == std::errc::operation_canceled) == (status == STATUS_CANCELLED));
    CHECK(static_cast<bool>(events[0].error()) == (status == STATUS_CANCELLED));
#ifdef _WIN32
    REQUIRE(events[0].completion().has_value());
    CHECK(events[0].completion()->overlapped == &f);
    CHECK(events[0].completion()->bytes == 5);
#endif
  }
}

TEST_CASE("packets: until a key was asked for they are unrecognised") {
  Port port;
  port.queue(afd::program_bit | 7);
  CHECK(port.wait().empty());
  CHECK(port.backend->stats().unknown_packets == 1);
  port.queue(port.key(7));
  port.queue(7);
  CHECK(port.key(7) == (afd::program_bit | 7));
  CHECK(port.wait() == Delivered{7});
  CHECK(port.backend->stats().unknown_packets == 2);
}

TEST_CASE("packets: a token that is no key, and a handle that cannot be associated, are refused") {
  Port port;
  const HANDLE pipe = FakeKernel::handle(0x500), closed = FakeKernel::handle(0x504);
  port.kernel.closed.insert(closed);
  const std::uint64_t largest = afd::program_bit - 1;
  CHECK(port.associate(pipe, largest + 1) == std::errc::invalid_argument);
  CHECK(port.associate(pipe, ~std::uint64_t{0}) == std::errc::invalid_argument);
  CHECK(port.associate(nullptr, 1) == std::errc::bad_file_descriptor);
  CHECK(port.associate(FakeKernel::handle(~std::uintptr_t{0}), 1) == std::errc::bad_file_descriptor);
  CHECK(port.associate(closed, 1) == std::errc::bad_file_descriptor);
  CHECK(port.associate(pipe, largest) == std::error_code());
  CHECK(port.associate(pipe, 1) == std::errc::invalid_argument);
  port.queue(port.key(0));
  port.kernel.complete_file(pipe, nullptr, STATUS_SUCCESS, 0);
  CHECK(port.wait() == Delivered{0, largest});
  port.backend->retire();
  CHECK(port.backend->completion_key(Token{1}).error() == std::errc::bad_file_descriptor);
  CHECK(port.associate(FakeKernel::handle(0x508), 1) == std::errc::bad_file_descriptor);
}

TEST_CASE("packets: what does not fit into a buffer stays in the port, in order") {
  Port port;
  for (std::uint64_t token = 1; token <= 60; token++) {
    if (token % 20 == 1) port.queue(0x1234);  // which brings nothing, so that the next dequeue may ask for many
    port.queue(port.key(token));
  }
  Delivered all;
  for (std::size_t size = 1; all.size() < 60; size = size % 5 + 1) {
    const Delivered some = port.wait(size);
    REQUIRE_FALSE(some.empty());
    all.insert(all.end(), some.begin(), some.end());
  }
  for (std::size_t i = 0; i < all.size(); i++) CHECK(all[i] == i + 1);
  CHECK(port.backend->stats().unknown_packets == 3);
}

TEST_CASE("packets: one dequeue takes many, although no poll is pending") {
  Port port;
  for (std::uint64_t token = 1; token <= 16; token++) port.queue(port.key(token));
  port.kernel.removes = 0;
  CHECK(port.wait(32).size() == 16);
  CHECK(port.kernel.removes <= 2);
}

TEST_CASE("packets: sockets do not take their space, and lose nothing") {
  Port port;
  port.kernel.can_skip = false;
  for (int i = 0; i < 4; i++) port.add(hot(i), 100 + static_cast<std::uint64_t>(i));
  CHECK(port.wait().empty());
  for (int i = 0; i < 4; i++) {
    port.kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
    port.kernel.complete(base(hot(i)), AFD_POLL_RECEIVE);
    port.queue(port.key(static_cast<std::uint64_t>(i)));
  }
  std::multiset<std::uint64_t> packets, sockets;
  for (int i = 0; i < 12; i++) {
    for (const std::uint64_t token : port.wait(2)) (token < 100 ? packets : sockets).insert(token);
  }
  CHECK(packets == std::multiset<std::uint64_t>{0, 1, 2, 3});
  for (std::uint64_t token = 100; token < 104; token++) CHECK(sockets.count(token) > 0);
}

TEST_CASE("packets: sockets that are always ready do not keep them waiting") {
  Port port;
  port.add(a, 100);
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(port.wait(1) == Delivered{100});
  port.queue(port.key(1));
  Delivered all;
  for (int i = 0; i < 4; i++) all.push_back(port.wait(1).at(0));
  CHECK(std::ranges::count(all, std::uint64_t{1}) == 1);
}

TEST_CASE("packets: one ends a sleep, and each goes to one of the threads that wait") {
  Port port;
  const std::uintptr_t first = port.key(1);
  Delivered others;
  port.kernel.when_asleep = [&, is_done = false]() mutable {  // another thread waits meanwhile
    if (std::exchange(is_done, true)) return false;
    for (std::uintptr_t i = 0; i < 3; i++) port.queue(first + i);
    port.kernel.thread = 2;
    others = port.wait(1);
    port.kernel.thread = 1;
    return true;
  };
  port.kernel.thread = 1;
  CHECK(port.wait(8, 10s) == Delivered{2, 3});
  CHECK(others == Delivered{1});
}

TEST_CASE("packets: the first come while a thread sleeps that has just dequeued what brought nothing") {
  Port port;
  for (int i = 0; i < 4; i++) port.add(hot(i), 100);
  CHECK(port.wait().empty());
  port.queue(0x1234);
  port.kernel.when_asleep = [&, is_done = false]() mutable {
    if (std::exchange(is_done, true)) return false;
    for (std::uint64_t token = 1; token <= 3; token++) port.queue(port.key(token));
    return true;
  };
  for (std::uint64_t token = 1; token <= 3; token++) CHECK(port.wait(1, 10s) == Delivered{token});
}

TEST_CASE("packets: nothing is allocated, and at the end what is queued is dropped") {
  Port port;
  const std::uintptr_t key = port.key(1);
  for (int i = 0; i < 100; i++) port.queue(key);
  TokenSink sink(100);
  sink.packets.reserve(100);
  const std::size_t before = allocations();
  const auto waited = port.backend->wait(sink, 0ns);
  CHECK(allocations() == before);
  CHECK(waited.has_value());
  CHECK(sink.count() == 100);
  port.queue(key);
}
