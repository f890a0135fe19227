// SPDX-License-Identifier: MIT
//
// What reactor/epoll_post.h needs of the AFD backend, over FakeKernel: each post is delivered once, in order, and
// shares a small buffer with the sockets.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/epoll_bits.hpp>

#include "afd/fixture.hpp"
#include "allocation_count.hpp"

using namespace afd_fixture;

namespace {

using Delivered = std::vector<std::uint64_t>;

/// Tokens, of sockets and of posts alike.
class TokenSink final : public afd::EventSink {
 public:
  explicit TokenSink(std::size_t size) noexcept : EventSink(size) { tokens.resize(size); }
  [[nodiscard]] Delivered delivered() const { return {tokens.begin(), tokens.begin() + static_cast<long>(count())}; }

 private:
  afd::Directions write(std::size_t index, const afd::Answer& answer) noexcept override {
    tokens[index] = static_cast<std::uint64_t>(answer.token);
    return answer.directions;
  }
  void write_post(std::size_t index, Token posted) noexcept override {
    tokens[index] = static_cast<std::uint64_t>(posted);
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
