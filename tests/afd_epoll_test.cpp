// SPDX-License-Identifier: MIT
//
// What the C API needs of the AFD backend, over FakeKernel: epoll's bits, registrations by number, and its end.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/epoll_bits.hpp>

#include "afd_fixture.hpp"

using namespace afd_fixture;
using afd::Epoll;

namespace {

constexpr std::uint32_t read_bits = Epoll::in | Epoll::rdnorm;
constexpr std::uint32_t write_bits = Epoll::out | Epoll::wrnorm | Epoll::wrband;
constexpr std::uint32_t failed_bits = read_bits | Epoll::out | Epoll::wrnorm | Epoll::rdhup | Epoll::err;

static_assert(afd::epoll_bits(0) == 0);
static_assert(afd::epoll_bits(AFD_POLL_RECEIVE) == read_bits);
static_assert(afd::epoll_bits(AFD_POLL_ACCEPT) == read_bits);
static_assert(afd::epoll_bits(AFD_POLL_SEND) == write_bits);
static_assert(afd::epoll_bits(AFD_POLL_RECEIVE_EXPEDITED) == (Epoll::pri | Epoll::rdband));
static_assert(afd::epoll_bits(AFD_POLL_DISCONNECT) == (read_bits | Epoll::rdhup));
static_assert(afd::epoll_bits(AFD_POLL_ABORT) == (failed_bits | Epoll::hup));
static_assert(afd::epoll_bits(AFD_POLL_CONNECT_FAIL) == failed_bits);

struct Told {
  std::uint64_t data;
  std::uint32_t bits;
  friend bool operator==(const Told&, const Told&) = default;
};

struct Port {
  FakeKernel kernel;
  std::shared_ptr<afd::AfdBackend> backend =
      std::static_pointer_cast<afd::AfdBackend>(*afd::AfdBackend::create(kernel, {}));

  ~Port() {
    backend->close();
    backend.reset();
    CHECK(kernel.violations == std::vector<std::string>{});
    CHECK(kernel.open.size() == 0);
  }
  [[nodiscard]] std::error_code add(NativeSocket socket, std::uint32_t events, std::uint64_t data = 1) {
    const auto added = backend->add(socket, afd::epoll_watch(events, data));
    return added ? std::error_code() : added.error();
  }
  [[nodiscard]] std::error_code modify(NativeSocket socket, std::uint32_t events, std::uint64_t data = 1) {
    const auto done = backend->modify(socket, afd::epoll_watch(events, data));
    return done ? std::error_code() : done.error();
  }
  [[nodiscard]] std::error_code remove(NativeSocket socket) {
    const auto done = backend->remove(socket);
    return done ? std::error_code() : done.error();
  }
  std::vector<Told> wait() {
    std::array<Event, 8> room;
    const auto count = backend->wait(room, 0ns);
    REQUIRE(count.has_value());
    std::vector<Told> told;
    for (std::size_t i = 0; i < count->events; i++) {
      told.push_back(
          {static_cast<std::uint64_t>(room[i].token()), static_cast<std::uint32_t>(room[i].error().value())});
    }
    return told;
  }
  [[nodiscard]] ULONG mask(NativeSocket socket) const {
    const auto* request = kernel.pending_on(base(socket));
    return request == nullptr ? 0 : request->mask();
  }
};

using Tellings = std::vector<Told>;
constexpr ULONG ends = AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL | AFD_POLL_LOCAL_CLOSE;

}  // namespace

TEST_CASE("epoll: what was asked for is told in epoll's bits, ERR and HUP always") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in, 7));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT;
  CHECK(port.wait() == Tellings{{7, Epoll::in}});
  REQUIRE_FALSE(port.modify(a, Epoll::in | Epoll::rdnorm | Epoll::rdhup, 8));
  CHECK(port.wait() == Tellings{{8, read_bits | Epoll::rdhup}});
  REQUIRE_FALSE(port.modify(a, Epoll::pri, 9));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_RECEIVE_EXPEDITED;
  CHECK(port.wait() == Tellings{{9, Epoll::pri}});
  REQUIRE_FALSE(port.modify(a, 0));
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == ends);
  port.kernel.ready[base(a)] = 0;
  port.kernel.complete(base(a), AFD_POLL_ABORT);
  CHECK(port.wait() == Tellings{{1, Epoll::err | Epoll::hup}});
}

TEST_CASE("epoll: a connect that failed, and a poll that failed, have no HUP") {
  Port port;
  REQUIRE_FALSE(port.add(a, ~0U & ~Epoll::et & ~Epoll::oneshot));
  port.kernel.ready[base(a)] = AFD_POLL_CONNECT_FAIL;
  CHECK(port.wait() == Tellings{{1, failed_bits}});
  port.kernel.ready[base(a)] = 0;
  CHECK(port.wait().empty());
  port.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000001));
  CHECK(port.wait() == Tellings{{1, failed_bits}});
}

TEST_CASE("epoll: EPOLLRDHUP without EPOLLIN asks for the FIN alone") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::rdhup));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == (AFD_POLL_DISCONNECT | ends));
  port.kernel.complete(base(a), AFD_POLL_DISCONNECT);
  CHECK(port.wait() == Tellings{{1, Epoll::rdhup}});
}

TEST_CASE("epoll: a oneshot socket that has told is watched for its end, and is EEXIST until then") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in | Epoll::oneshot));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(port.wait() == Tellings{{1, Epoll::in}});
  CHECK(port.mask(a) == 0);
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == AFD_POLL_LOCAL_CLOSE);
  CHECK(port.add(a, Epoll::in) == std::errc::file_exists);
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == AFD_POLL_LOCAL_CLOSE);
  SUBCASE("MOD ends the silence") {
    REQUIRE_FALSE(port.modify(a, Epoll::in | Epoll::oneshot, 2));
    CHECK(port.wait() == Tellings{{2, Epoll::in}});
  }
  SUBCASE("closed, it drops out") {
    port.kernel.complete(base(a), AFD_POLL_LOCAL_CLOSE);
    CHECK(port.wait().empty());
    CHECK(port.backend->stats().registrations == 0);
    CHECK(port.modify(a, Epoll::in) == std::errc::no_such_file_or_directory);
  }
  SUBCASE("closed, and its number another's") {
    port.kernel.complete(base(a), AFD_POLL_LOCAL_CLOSE);
    REQUIRE_FALSE(port.add(a, Epoll::in, 3));
    CHECK(port.wait() == Tellings{{3, Epoll::in}});
  }
}

TEST_CASE("epoll: MOD before the next wait costs no watch") {
  Port port;
  port.kernel.ready[base(a)] = AFD_POLL_SEND;
  REQUIRE_FALSE(port.add(a, Epoll::out | Epoll::oneshot));
  CHECK(port.wait() == Tellings{{1, Epoll::out}});
  const int polls = port.kernel.polls, cancels = port.kernel.cancels;
  REQUIRE_FALSE(port.modify(a, Epoll::out | Epoll::oneshot));
  CHECK(port.wait() == Tellings{{1, Epoll::out}});
  CHECK(port.kernel.polls == polls + 1);
  CHECK(port.kernel.cancels == cancels);
}

TEST_CASE("epoll: what is only watched for its end is polled alone, so that MOD cancels nobody else's poll") {
  Port port;
  std::vector<NativeSocket> sockets;
  for (NativeSocket socket = 200; socket < 200 + 4 * 16; socket += 4) sockets.push_back(socket);
  for (const NativeSocket socket : sockets) REQUIRE_FALSE(port.add(socket, Epoll::in | Epoll::oneshot));
  for (const NativeSocket socket : sockets) port.kernel.ready[base(socket)] = AFD_POLL_RECEIVE;
  for (int round = 0; round < 20; round++) {  // often enough for them to be hot
    while (!port.wait().empty()) continue;
    CHECK(port.wait().empty());
    CHECK(port.kernel.pending.size() == sockets.size());
    for (const auto& request : port.kernel.pending) CHECK(request.asked.size() == 1);
    for (const NativeSocket socket : sockets) REQUIRE_FALSE(port.modify(socket, Epoll::in | Epoll::oneshot));
  }
}

TEST_CASE("epoll: by number, what is not registered is ENOENT") {
  Port port;
  CHECK(port.modify(a, Epoll::in) == std::errc::no_such_file_or_directory);
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  REQUIRE_FALSE(port.add(a, Epoll::in));
  CHECK(port.add(a, Epoll::in) == std::errc::file_exists);
  CHECK(port.wait().empty());
  REQUIRE_FALSE(port.remove(a));  // the kernel has it still
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  CHECK(port.modify(a, Epoll::in) == std::errc::no_such_file_or_directory);
}

TEST_CASE("epoll: after retire everything is EBADF, and close gives everything back") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in));
  CHECK(port.wait().empty());
  port.backend->retire();
  CHECK(port.kernel.posts == 0);  // nobody waits
  std::array<Event, 1> room;
  const auto waited = port.backend->wait(room, 0ns);
  REQUIRE_FALSE(waited.has_value());
  CHECK(waited.error() == std::errc::bad_file_descriptor);
  CHECK(port.add(b, Epoll::in) == std::errc::bad_file_descriptor);
  CHECK(port.modify(a, Epoll::in) == std::errc::bad_file_descriptor);
  CHECK(port.remove(a) == std::errc::bad_file_descriptor);
  CHECK(port.kernel.pending.size() == 1);
  port.backend->close();
  CHECK(port.kernel.pending.empty());
}

TEST_CASE("epoll: a layered socket is found by its number, and what lies below it is not it") {
  Port port;
  port.kernel.bases[static_cast<std::uintptr_t>(a)] = base(b);
  CHECK(!port.add(a, Epoll::in));
  CHECK(port.modify(b, Epoll::in) == std::errc::no_such_file_or_directory);
  CHECK(port.add(b, Epoll::in) == std::errc::file_exists);
  CHECK(!port.modify(a, Epoll::out, 7));
  port.kernel.ready[base(b)] = AFD_POLL_SEND;
  CHECK(port.wait() == std::vector<Told>{{7, Epoll::out}});
  CHECK(!port.remove(a));
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
}
