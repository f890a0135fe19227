// SPDX-License-Identifier: MIT
//
// What the C API needs of the AFD backend, over FakeKernel: epoll's bits, registrations by number, retire and close.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/epoll_bits.hpp>
#include <reactor/afd/group_policy.hpp>

#include "afd/fixture.hpp"

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

struct Report {
  std::uint64_t data;
  std::uint32_t bits;
  friend bool operator==(const Report&, const Report&) = default;
};

class ReportSink final : public afd::EventSink {
 public:
  ReportSink() noexcept : EventSink(8) {}
  std::vector<Report> reports;

 private:
  afd::Directions write(std::size_t, const afd::Answer& answer) noexcept override {
    const std::uint32_t bits = afd::epoll_events(answer);
    if (bits == 0) return afd::Directions::none;
    reports.push_back({static_cast<std::uint64_t>(answer.token), bits});
    return answer.directions;
  }
};

struct Port {
  FakeKernel kernel;
  std::shared_ptr<afd::AfdBackend> backend = *afd::AfdBackend::create(kernel, {});

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
  std::vector<Report> wait() {
    ReportSink sink;
    REQUIRE(backend->wait(sink, 0ns).has_value());
    return sink.reports;
  }
  [[nodiscard]] ULONG mask(NativeSocket socket) const {
    const auto* request = kernel.pending_on(base(socket));
    return request == nullptr ? 0 : request->mask();
  }
};

using Reports = std::vector<Report>;
constexpr ULONG ends = AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL | AFD_POLL_LOCAL_CLOSE;

}  // namespace

TEST_CASE("epoll: events have the bits that were asked for, and EPOLLERR and EPOLLHUP in any case") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in, 7));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT;
  CHECK(port.wait() == Reports{{7, Epoll::in}});
  REQUIRE_FALSE(port.modify(a, Epoll::in | Epoll::rdnorm | Epoll::rdhup, 8));
  CHECK(port.wait() == Reports{{8, read_bits | Epoll::rdhup}});
  REQUIRE_FALSE(port.modify(a, Epoll::pri, 9));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE | AFD_POLL_RECEIVE_EXPEDITED;
  CHECK(port.wait() == Reports{{9, Epoll::pri}});
  REQUIRE_FALSE(port.modify(a, 0));
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == ends);
  port.kernel.ready[base(a)] = 0;
  port.kernel.complete(base(a), AFD_POLL_ABORT);
  CHECK(port.wait() == Reports{{1, Epoll::err | Epoll::hup}});
}

TEST_CASE("epoll: a failed connect and a failed poll are reported without EPOLLHUP") {
  Port port;
  REQUIRE_FALSE(port.add(a, ~0U & ~Epoll::et & ~Epoll::oneshot));
  port.kernel.ready[base(a)] = AFD_POLL_CONNECT_FAIL;
  CHECK(port.wait() == Reports{{1, failed_bits}});
  port.kernel.ready[base(a)] = 0;
  CHECK(port.wait().empty());
  port.kernel.complete(base(a), 0, static_cast<NTSTATUS>(0xC0000001));
  CHECK(port.wait() == Reports{{1, failed_bits}});
}

TEST_CASE("epoll: a busy socket that is not AFD's any more is reported once, and never polled with others again") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in, 1));
  REQUIRE_FALSE(port.add(b, Epoll::in, 2));
  // Each becomes busy while the other one's poll is pending, so both are polled alone.
  for (const NativeSocket busy : {b, a}) {
    CHECK(port.wait().empty());
    port.kernel.complete(base(busy), AFD_POLL_RECEIVE);
    port.kernel.ready[base(busy)] = AFD_POLL_RECEIVE;
    for (int round = 0; round < afd::GroupPolicy::hot_score + 2; round++) CHECK(port.wait().size() == 1);
    if (busy == b) port.kernel.ready[base(b)] = 0;
  }
  port.kernel.not_of_afd.insert(base(a));
  REQUIRE_FALSE(port.modify(a, Epoll::in, 1));
  port.kernel.complete(base(b), AFD_POLL_RECEIVE);
  port.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  CHECK(port.wait() == Reports{{1, Epoll::in | Epoll::err}, {2, Epoll::in}});
  port.kernel.not_of_afd.clear();
  CHECK(port.wait() == Reports{{2, Epoll::in}});
}

TEST_CASE("epoll: EPOLLRDHUP without EPOLLIN reports a FIN and no data") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::rdhup));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == (AFD_POLL_DISCONNECT | ends));
  port.kernel.complete(base(a), AFD_POLL_DISCONNECT);
  CHECK(port.wait() == Reports{{1, Epoll::rdhup}});
}

TEST_CASE("epoll: a oneshot registration that has fired is disarmed until MOD or ADD") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in | Epoll::oneshot));
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(port.wait() == Reports{{1, Epoll::in}});
  CHECK(port.wait().empty());
  CHECK(port.mask(a) == 0);
  SUBCASE("MOD arms it again") {
    REQUIRE_FALSE(port.modify(a, Epoll::in | Epoll::oneshot, 2));
    CHECK(port.wait() == Reports{{2, Epoll::in}});
  }
  SUBCASE("ADD replaces it, as the number may be another socket's by now") {
    REQUIRE_FALSE(port.add(a, Epoll::in, 3));
    CHECK(port.wait() == Reports{{3, Epoll::in}});
    CHECK(port.backend->stats().registrations == 1);
  }
  SUBCASE("MOD of a closed socket is EBADF") {
    port.kernel.closed.insert(base(a));
    CHECK(port.modify(a, Epoll::in, 2) == std::errc::bad_file_descriptor);
    CHECK(port.wait().empty());
  }
}

TEST_CASE("epoll: MOD polls a number again whose earlier socket was not AFD's") {
  Port port;
  port.kernel.not_of_afd.insert(base(a));
  REQUIRE_FALSE(port.add(a, Epoll::in, 1));
  CHECK(port.wait() == Reports{{1, Epoll::in | Epoll::err}});
  CHECK(port.wait().empty());
  port.kernel.not_of_afd.clear();  // another socket has the number now
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  REQUIRE_FALSE(port.modify(a, Epoll::in, 2));
  CHECK(port.wait() == Reports{{2, Epoll::in}});
}

TEST_CASE("epoll: a number that now means a layered socket is not registered any more") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in, 1));
  port.kernel.bases[static_cast<std::uintptr_t>(a)] = base(b);
  CHECK(port.modify(a, Epoll::in, 2) == std::errc::no_such_file_or_directory);
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  REQUIRE_FALSE(port.add(a, Epoll::in, 3));
  port.kernel.ready[base(b)] = AFD_POLL_RECEIVE;
  CHECK(port.wait() == Reports{{3, Epoll::in}});
}

TEST_CASE("epoll: after MOD the socket of the number is polled anew, whatever the earlier poll reports") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in, 1));
  CHECK(port.wait().empty());
  SUBCASE("the LOCAL_CLOSE of the old socket is queued") {
    port.kernel.complete(base(a), AFD_POLL_LOCAL_CLOSE);
    REQUIRE_FALSE(port.modify(a, Epoll::in, 2));
  }
  SUBCASE("the old socket is open in another handle, and its poll is pending") {
    REQUIRE_FALSE(port.modify(a, Epoll::in, 2));
    CHECK(port.wait().empty());
    CHECK(port.kernel.cancels == 1);
  }
  SUBCASE("an event of the old socket is queued") {
    port.kernel.complete(base(a), AFD_POLL_RECEIVE);
    REQUIRE_FALSE(port.modify(a, Epoll::in, 2));
    CHECK(port.wait().empty());
  }
  port.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  if (port.kernel.pending_on(base(a)) != nullptr) port.kernel.complete(base(a), AFD_POLL_RECEIVE);
  CHECK(port.wait() == Reports{{2, Epoll::in}});
}

TEST_CASE("epoll: MOD before the next wait costs no additional poll and no cancel") {
  Port port;
  port.kernel.ready[base(a)] = AFD_POLL_SEND;
  REQUIRE_FALSE(port.add(a, Epoll::out | Epoll::oneshot));
  CHECK(port.wait() == Reports{{1, Epoll::out}});
  const int polls = port.kernel.polls, cancels = port.kernel.cancels;
  REQUIRE_FALSE(port.modify(a, Epoll::out | Epoll::oneshot));
  CHECK(port.wait() == Reports{{1, Epoll::out}});
  CHECK(port.kernel.polls == polls + 1);
  CHECK(port.kernel.cancels == cancels);
}

TEST_CASE("epoll: MOD and DEL of a number that is not registered return ENOENT") {
  Port port;
  CHECK(port.modify(a, Epoll::in) == std::errc::no_such_file_or_directory);
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  REQUIRE_FALSE(port.add(a, Epoll::in));
  CHECK(port.wait().empty());
  REQUIRE_FALSE(port.remove(a));  // the kernel still holds its poll
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  CHECK(port.modify(a, Epoll::in) == std::errc::no_such_file_or_directory);
}

TEST_CASE("epoll: after retire each call returns EBADF, and after close the kernel holds nothing") {
  Port port;
  REQUIRE_FALSE(port.add(a, Epoll::in));
  const RegistrationId id = port.backend->add(c, Token{1}, Interest::readable, Mode::level).value();
  CHECK(port.wait().empty());
  port.backend->retire();
  CHECK(port.kernel.posts == 0);  // no thread waits, so none is woken
  std::array<Event, 1> buffer;
  const auto waited = port.backend->wait(buffer, 0ns);
  REQUIRE_FALSE(waited.has_value());
  CHECK(waited.error() == std::errc::bad_file_descriptor);
  CHECK(port.add(b, Epoll::in) == std::errc::bad_file_descriptor);
  CHECK(port.modify(a, Epoll::in) == std::errc::bad_file_descriptor);
  CHECK(port.remove(a) == std::errc::bad_file_descriptor);
  CHECK(port.kernel.pending.size() == 2);
  CHECK(port.backend->modify(id, Interest::writable, {}).error() == std::errc::bad_file_descriptor);
  port.backend->close();
  CHECK(port.kernel.pending.empty());
}

TEST_CASE("epoll: a layered socket is found by its own number, and not by the number of its base socket") {
  Port port;
  port.kernel.bases[static_cast<std::uintptr_t>(a)] = base(b);
  CHECK(!port.add(a, Epoll::in));
  CHECK(port.modify(b, Epoll::in) == std::errc::no_such_file_or_directory);
  CHECK(!port.modify(a, Epoll::out, 7));
  port.kernel.ready[base(b)] = AFD_POLL_SEND;
  CHECK(port.wait() == std::vector<Report>{{7, Epoll::out}});
  CHECK(!port.add(b, Epoll::out, 8));  // the same base socket: it replaces the other registration
  CHECK(port.wait() == std::vector<Report>{{8, Epoll::out}});
  CHECK(port.remove(a) == std::errc::no_such_file_or_directory);
  CHECK(!port.remove(b));
}

TEST_CASE("epoll: members of a group that are modified by number are still reported") {
  FakeKernel kernel;
  const auto backend = *afd::AfdBackend::create(kernel, {});
  std::array<Event, 8> buffer;
  const afd::Watch watch{Token{1}, afd::directions_of(Interest::readable), Mode::level};
  for (int i = 0; i < 3; i++) {
    REQUIRE(backend->add(hot(i), watch).has_value());
    kernel.ready[base(hot(i))] = AFD_POLL_RECEIVE;
  }
  for (int round = 0; round < 6; round++) {
    const std::uint64_t groups = backend->stats().group_arms;
    for (int i = 0; i < 3; i++) REQUIRE(backend->modify(hot(i), watch).has_value());
    const auto waited = backend->wait(buffer, 0ns);
    REQUIRE(waited.has_value());
    CHECK(waited->events == 3);
    if (round >= 4) CHECK(backend->stats().group_arms == groups + 1);
  }
  backend->close();
  CHECK(kernel.violations == std::vector<std::string>{});
}

TEST_CASE("no lost wake: a call by number posts a wake that the kernel had refused") {
  FakeKernel kernel;
  kernel.has_reserves = false;
  const auto backend = *afd::AfdBackend::create(kernel, {});
  kernel.post_refusals = 1;
  backend->wake();
  CHECK(kernel.packets.empty());
  CHECK(backend->remove(a).error() == std::errc::no_such_file_or_directory);
  CHECK(kernel.packets.size() == 1);
  backend->close();
}
