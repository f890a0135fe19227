// SPDX-License-Identifier: MIT
// Rows of docs/semantics.md in which the systems differ most: our own shutdowns, urgent bytes inline, the error of a
// reset.
#include "rows.hpp"

#include <array>

using namespace parity;

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown of reading") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::read));
  const On<Readiness> readable_on_linux = on(readable | read_closed, none);
  watch.reports("our own shutdown of reading", asks_all, on(readable | writable | read_closed, writable));
  watch.reports("our own shutdown of reading", asks_read, readable_on_linux);
  watch.reports("our own shutdown of reading", asks_nothing, none);
  std::array<std::byte, 4> buffer;
  const auto nothing_read = pair.server.receive(buffer);
  if (!is_windows()) CHECK(must(nothing_read) == 0);
  if (is_windows()) CHECK(reason(nothing_read) == std::errc::broken_pipe);

  send_byte(pair.client);
  watch.reports("our own shutdown of reading, then data", asks_all,
                on(readable | writable | read_closed, readable | writable));
  watch.reports("our own shutdown of reading, then data", asks_read, on(readable | read_closed, readable));
  if (!is_windows()) CHECK(receive_all(pair.server) == 1);
  // Windows does not return the data, so level reports it for ever: modify the interest then.
  if (is_windows()) CHECK(reason(pair.server.receive(buffer)) == std::errc::broken_pipe);
  watch.reports("the same, after a receive", asks_read, on(readable | read_closed, readable));
  watch.reports("the same, after a receive", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown of reading, and a FIN") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::read));
  must(pair.client.shutdown(Shutdown::write));
  watch.reports("our own shutdown of reading, then FIN", asks_all, readable | writable | read_closed);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: shutdown of a UDP socket") {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  constexpr std::byte byte{'x'};
  struct Case {
    Shutdown which;
    const char* situation;
    const char* with_datagram;
    On<Readiness> alone, datagram;
  };
  const std::array cases{
      Case{Shutdown::read, "UDP, connected, shut for reading", "the same, and a datagram",
           on(readable | writable | read_closed, writable), on(readable | writable | read_closed, readable | writable)},
      Case{Shutdown::write, "UDP, connected, shut for writing", "the same, and a datagram", everywhere(writable),
           everywhere(readable | writable)},
      Case{Shutdown::both, "UDP, connected, shut for both", "the same, and a datagram",
           on(readable | writable | read_closed | hung_up, writable),
           on(readable | writable | read_closed | hung_up, readable | writable)},
  };
  for (const auto& [which, situation, with_datagram, alone, datagram] : cases) {
    const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
    must(to.connect(must(from.local_address())));
    Watch watch(to);
    must(to.shutdown(which));
    watch.reports(situation, asks_all, alone);
    CHECK(must(from.send_to({&byte, 1}, must(to.local_address()))) == 1);
    watch.reports(with_datagram, asks_all, datagram);
    std::array<std::byte, 4> buffer;
    const auto received = to.receive_from(buffer);
    const bool is_refused = is_windows() && which != Shutdown::write;
    if (is_refused) CHECK(reason(received) == std::errc::broken_pipe);
    if (!is_refused) CHECK(must(received).size == 1);
    if (which != Shutdown::read) CHECK(reason(to.send({&byte, 1})) == std::errc::broken_pipe);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: shutdown of a UDP socket that is not connected") {
  const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
  Watch watch(to);
  // Linux shuts it down and returns an error.
  const auto done = to.shutdown(Shutdown::both);
  if (!is_windows()) CHECK(reason(done) == std::errc::not_connected);
  if (is_windows()) CHECK(done.has_value());
  watch.reports("UDP, not connected, shut for both", asks_all,
                on(readable | writable | read_closed | hung_up, writable));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: shutdown of a listener") {
  TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const Address address = must(listener.local_address());
  Watch watch(listener);
  const TcpStream alias(listener.release());
  const auto done = alias.shutdown(Shutdown::read);
  if (!is_windows()) CHECK(done.has_value());
  if (is_windows()) CHECK(reason(done) == std::errc::not_connected);
  // On Linux it does not listen any more, on Windows it does.
  watch.reports("listener, shut for reading", asks_all, on(readable | writable | hung_up, none));
  watch.reports("listener, shut for reading", asks_read, on(readable | hung_up, none));
  const TcpStream client = must(TcpStream::connect(address));
  watch.reports("the same, and a connect to it", asks_read, on(readable | hung_up, readable));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: shutdown of a listener for writing") {
  TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const Address address = must(listener.local_address());
  Watch watch(listener);
  const TcpStream alias(listener.release());
  const auto done = alias.shutdown(Shutdown::write);
  if (!is_windows()) CHECK(done.has_value());
  if (is_windows()) CHECK(reason(done) == std::errc::not_connected);
  watch.reports("listener, shut for writing", asks_all, none);
  const TcpStream client = must(TcpStream::connect(address));
  watch.reports("the same, and a connect to it", asks_all, readable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: urgent data inline") {
  const Pair pair = make_pair();
  must(pair.server.set_urgent_inline(true));
  Watch watch(pair.server);
  must(pair.client.send_urgent(std::byte{'!'}));
  watch.reports("urgent data, inline (SO_OOBINLINE)", asks_all,
                on(readable | writable | priority, readable | writable));
  watch.reports("urgent data, inline (SO_OOBINLINE)", asks_read, readable);
  watch.reports("urgent data, inline (SO_OOBINLINE)", Interest::priority, on(priority, none));
  CHECK(receive_all(pair.server) == 1);
  watch.reports("urgent data, inline, received", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: RST, and its error") {
  Pair pair = make_pair();
  Watch watch(pair.server);
  reset(pair.client);
  CHECK(settled(watch.poller(), {{1, broken}}) == Reports{{1, broken}});
  // Windows has no error in SO_ERROR; there a receive returns it.
  const std::error_code taken = must(pair.server.take_error());
  if (!is_windows()) CHECK(Reason{taken} == std::errc::connection_reset);
  if (is_windows()) CHECK_FALSE(taken);
  std::array<std::byte, 4> buffer;
  const auto received = pair.server.receive(buffer);
  // On Linux take_error has consumed it. Wine 8 loses it when it was polled (kernel-facts: "recv after that").
  const bool is_lost = !is_windows() || is_wine_8();
  if (is_lost) CHECK(must(received) == 0);
  if (!is_lost) CHECK(reason(received) == std::errc::connection_reset);
}
