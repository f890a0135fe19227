// SPDX-License-Identifier: MIT
//
// EPOLLERR and EPOLLHUP, which cannot be masked: an error queue is not a failure, and neither makes a wait spin.
#include <doctest/doctest.h>

#include <linux/net_tstamp.h>
#include <poll.h>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

namespace {

void set(const Fd& socket, int level, int name, int value) {
  REQUIRE(::setsockopt(socket.get(), level, name, &value, sizeof value) == 0);
}

bool has_error(const Fd& socket) {
  pollfd one{.fd = socket.get(), .events = 0, .revents = 0};
  return ::poll(&one, 1, 0) == 1 && (one.revents & POLLERR) != 0;
}

void read_error_queue(const Fd& socket) {
  std::array<std::byte, 512> control{};
  for (;;) {
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return;
  }
}

/// A connection whose error queue gets an entry with each byte sent.
struct Stamped : TcpPair {
  enum class By : std::uint8_t { timestamps, zerocopy };
  By by;
  explicit Stamped(By how = By::timestamps) : by(how) {
    constexpr int stamps = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    const bool copies = by == By::timestamps;
    set(ours, SOL_SOCKET, copies ? SO_TIMESTAMPING : SO_ZEROCOPY, copies ? stamps : 1);
  }
  void send() const {
    REQUIRE(::send(ours.get(), "x", 1, by == By::zerocopy ? MSG_ZEROCOPY : 0) == 1);
    REQUIRE(eventually([this] { return has_error(ours); }));
  }
};

std::uint64_t calls_of_idle_wait(Poller& poller) {
  const auto before = poller.stats();
  CHECK(reports_of(poller, 20ms) == nothing);
  return poller.stats().kernel_calls() - before.kernel_calls();
}

// An idle wait is one call. An acknowledgement or a completion that is still on its way may cost a few more at first.
void check_idle(Poller& poller) {
  for (int i = 0; i != 3; ++i) static_cast<void>(reports_of(poller, 0ns));
  std::uint64_t calls = 0;
  for (int i = 0; calls != 1 && i != 5; ++i) calls = calls_of_idle_wait(poller);
  CHECK(calls == 1);
}

}  // namespace

TEST_CASE("error queue: an unread entry is no failure and no event, and the connection goes on") {
  auto by = Stamped::By::timestamps;
  SUBCASE("timestamps") {}
  SUBCASE("MSG_ZEROCOPY") { by = Stamped::By::zerocopy; }
  const Stamped pair(by);
  auto poller = make_poller();
  auto registration = add(poller, pair.ours, 1);
  CHECK(reports_of(poller, 0ns) == nothing);
  pair.send();
  CHECK(reports_of(poller, 5ms) == nothing);
  check_idle(poller);

  // Level: reported in every wait while it is ready, and no longer.
  pair.peers.write();
  for (int i = 0; i != 5; ++i) CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  pair.send();
  for (int i = 0; i != 5; ++i) CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  pair.ours.read();
  CHECK(reports_of(poller, 5ms) == nothing);
  check_idle(poller);
  CHECK(registration.modify(both));
  for (int i = 0; i != 5; ++i) CHECK(reports_of(poller) == Reports{{1, Readiness::writable}});
  CHECK(registration.modify(Interest::none));
  CHECK(reports_of(poller, 5ms) == nothing);
  check_idle(poller);

  // Once the queue was read, it is an ordinary registration again.
  CHECK(registration.modify(Interest::readable));
  CHECK(reports_of(poller, 0ns) == nothing);
  read_error_queue(pair.ours);
  pair.peers.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  const auto before = poller.stats();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  CHECK(poller.stats().kernel_calls() - before.kernel_calls() == 1);
}

TEST_CASE("error queue: a oneshot and an edge registration are reported once after each modify") {
  const Stamped pair;
  auto poller = make_poller();
  auto mode = Mode::oneshot;
  SUBCASE("oneshot") {}
  SUBCASE("edge") { mode = Mode::edge; }
  auto registration = add(poller, pair.ours, 1, Interest::readable, mode);
  pair.send();
  CHECK(reports_of(poller, 5ms) == nothing);
  for (int i = 0; i != 3; ++i) {
    pair.peers.write();
    CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
    pair.send();
    if (mode == Mode::oneshot) {
      CHECK(reports_of(poller, 5ms) == nothing);
      pair.peers.write();
      CHECK(reports_of(poller, 5ms) == nothing);
      check_idle(poller);
      pair.ours.read();
    }
    pair.ours.read();
    CHECK(registration.modify(Interest::readable));
    CHECK(reports_of(poller, 5ms) == nothing);
    check_idle(poller);
  }
}

TEST_CASE("error queue: with Interest::priority each new entry is reported once") {
  const Stamped pair;
  auto poller = make_poller();
  const auto registration = add(poller, pair.ours, 1, Interest::priority);
  for (int i = 0; i != 3; ++i) {
    pair.send();
    CHECK(reports_of(poller) == Reports{{1, Readiness::priority}});
    read_error_queue(pair.ours);
    CHECK(reports_of(poller, 5ms) == nothing);
  }
  pair.send();
  CHECK(reports_of(poller) == Reports{{1, Readiness::priority}});
  check_idle(poller);  // although it was not read
}

TEST_CASE("error queue: a reset is still reported") {
  const Stamped pair;
  auto poller = make_poller();
  auto interest = Interest::readable;
  SUBCASE("with Interest::readable") {}
  SUBCASE("with Interest::none") { interest = Interest::none; }
  const auto registration = add(poller, pair.ours, 1, interest);
  pair.send();
  CHECK(reports_of(poller, 5ms) == nothing);
  const linger abortive{.l_onoff = 1, .l_linger = 0};
  REQUIRE(::setsockopt(pair.peers.get(), SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive) == 0);
  REQUIRE(::dup3(0, pair.peers.get(), O_CLOEXEC) >= 0);  // closes it
  constexpr auto reset = Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed;
  const auto wanted = interest == Interest::none ? reset : reset | Readiness::read_closed;
  CHECK(reports_of(poller) == Reports{{1, wanted}});
  if (interest == Interest::none) check_idle(poller);
  if (interest != Interest::none) CHECK(reports_of(poller) == Reports{{1, wanted}});
}

TEST_CASE("error queue: with unread timestamps, a shutdown of both directions is a hang-up") {
  const Stamped pair;
  auto poller = make_poller();
  const auto registration = add(poller, pair.ours, 1, Interest::readable);
  pair.send();
  REQUIRE(::shutdown(pair.peers.get(), SHUT_WR) == 0);
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable | Readiness::read_closed}});
  REQUIRE(::shutdown(pair.ours.get(), SHUT_WR) == 0);
  // The kernel's state is CLOSE a moment later, when the peer has acknowledged: then it may be taken for a failure.
  const auto reports = reports_of(poller);
  REQUIRE(reports.size() == 1);
  CHECK((reports[0].second & Readiness::hung_up) == Readiness::hung_up);
}

TEST_CASE("error queue: UDP with IP_RECVERR reports an ICMP error as readable, once, though only receives consume it") {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in closed_port{};
  closed_port.sin_family = AF_INET;
  closed_port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  {
    const Fd closed(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof closed_port;
    REQUIRE(::bind(closed.get(), reinterpret_cast<sockaddr*>(&closed_port), size) == 0);
    REQUIRE(::getsockname(closed.get(), reinterpret_cast<sockaddr*>(&closed_port), &size) == 0);
  }
  REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&closed_port), sizeof closed_port) == 0);
  set(socket, IPPROTO_IP, IP_RECVERR, 1);
  auto poller = make_poller();
  const auto registration = add(poller, socket, 1);
  CHECK(reports_of(poller, 0ns) == nothing);
  REQUIRE(::send(socket.get(), "x", 1, 0) == 1);
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
  char byte = 0;
  CHECK(::recv(socket.get(), &byte, 1, 0) == -1);
  CHECK(errno == ECONNREFUSED);
  CHECK(::recv(socket.get(), &byte, 1, 0) == -1);
  CHECK(errno == EAGAIN);
  CHECK(has_error(socket));  // the queue, which this program does not read
  check_idle(poller);
}

TEST_CASE("Interest::none: a hang-up is reported once, then nothing until modify") {
  const TcpPair pair;
  auto poller = make_poller();
  auto registration = add(poller, pair.ours, 1);
  REQUIRE(::shutdown(pair.ours.get(), SHUT_WR) == 0);
  REQUIRE(::shutdown(pair.peers.get(), SHUT_WR) == 0);
  constexpr auto end = Readiness::readable | Readiness::read_closed | Readiness::hung_up;
  REQUIRE(eventually([&] { return reports_of(poller) == Reports{{1, end}}; }));
  for (int i = 0; i != 3; ++i) {
    CHECK(registration.modify(Interest::none));
    CHECK(reports_of(poller) == Reports{{1, Readiness::hung_up}});
    check_idle(poller);
    CHECK(registration.modify(Interest::readable));
    CHECK(reports_of(poller) == Reports{{1, end}});
    CHECK(reports_of(poller) == Reports{{1, end}});
  }
  // In a new instance too.
  CHECK(registration.modify(Interest::none));
  CHECK(reports_of(poller) == Reports{{1, Readiness::hung_up}});
  const Zombie zombie(poller);
  CHECK(reports_of(poller, 5ms) == nothing);
  check_idle(poller);
}
