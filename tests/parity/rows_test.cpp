// SPDX-License-Identifier: MIT
// The rows of docs/semantics.md: a situation, an interest, and exactly what is reported. shutdown_rows_test.cpp has
// more.
#include "rows.hpp"

#include <array>
#include <optional>

using namespace parity;

namespace {

/// A stream that connects to a port without a listener.
TcpStream refused_stream() {
  auto listener = std::optional(must(TcpListener::bind(Address::loopback_ipv4())));
  const Address closed_port = must(listener->local_address());
  listener.reset();
  return must(TcpStream::connect(closed_port));
}

/// Connects that stay pending, as the backlog of their listener is full. Empty on Windows, which refuses them.
struct Blackhole {
  TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4(), 1));
  std::vector<TcpStream> clients;

  [[nodiscard]] bool open() {
    const Address address = must(listener.local_address());
    for (int i = 0; i < 16; ++i) {
      clients.push_back(must(TcpStream::connect(address)));
      Poller poller = make_poller();
      const Registration registration = must(poller.add(clients.back().native(), Token{1}, asks_write));
      const Reports reports = next(poller, milliseconds(250));
      if (reports.empty()) return true;
      if (reports != Reports{{1, writable}}) return false;
    }
    return false;
  }
};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "row: data") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  watch.reports("connected, nothing to read", asks_all, writable);
  watch.reports("connected, nothing to read", asks_read, none);
  watch.reports("connected, nothing to read", asks_nothing, none);
  send_byte(pair.client);
  watch.reports("data", asks_all, readable | writable);
  watch.reports("data", asks_read, readable);
  watch.reports("data", asks_write, writable);
  watch.reports("data", asks_nothing, none);
  CHECK(receive_all(pair.server) == 1);
  watch.reports("data, all of it read", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: data behind FIN") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  send_byte(pair.client);
  must(pair.client.shutdown(Shutdown::write));
  // Wine reports DISCONNECT only when all data was read (kernel-facts: fin.behind_data).
  watch.reports("data and a FIN behind it", asks_all,
                on(readable | writable | read_closed, readable | writable | read_closed, readable | writable));
  watch.reports("data and a FIN behind it", asks_read, on(readable | read_closed, readable | read_closed, readable));
  CHECK(receive_all(pair.server) == 1);
  watch.reports("data and a FIN behind it, all of it read", asks_all, readable | writable | read_closed);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: FIN alone") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.client.shutdown(Shutdown::write));
  watch.reports("FIN alone", asks_all, readable | writable | read_closed);
  watch.reports("FIN alone", asks_read, readable | read_closed);
  watch.reports("FIN alone", asks_write, writable);
  watch.reports("FIN alone", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::write));
  watch.reports("our own shutdown of writing", asks_all, writable);
  watch.reports("our own shutdown of writing", asks_nothing, none);
  must(pair.client.shutdown(Shutdown::write));
  // AFD does not report the shutdown of its own side.
  watch.reports("both sides shut writing", asks_all,
                on(readable | writable | read_closed | hung_up, readable | writable | read_closed));
  watch.reports("both sides shut writing", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown of both directions") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::both));
  watch.reports("our own shutdown of both directions", asks_all,
                on(readable | writable | read_closed | hung_up, writable));
  watch.reports("our own shutdown of both directions", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: RST") {
  for (const Interest asked : {asks_all, asks_both, asks_read, asks_write, asks_nothing}) {
    Pair pair = make_pair();
    Watch watch(pair.server);
    reset(pair.client);
    const bool wants_read = (asked & asks_read) != asks_nothing;
    watch.reports("RST", asked, wants_read ? broken_read_closed : broken);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: RST behind data") {
  Pair pair = make_pair();
  Watch watch(pair.server);
  send_byte(pair.client);
  watch.reports("data, and then RST: before it", asks_read, readable);
  reset(pair.client);
  watch.reports("data, and then RST", asks_both, broken_read_closed);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: refused connect") {
  for (const Interest asked : {asks_all, asks_write, asks_nothing}) {
    const TcpStream stream = refused_stream();
    Watch watch(stream);
    const bool wants_read = (asked & asks_read) != asks_nothing;
    watch.reports("refused connect", asked, wants_read ? broken_read_closed : broken);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: refused connect, and its error") {
  const TcpStream stream = refused_stream();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(stream.native(), Token{1}, asks_write, Mode::oneshot));
  std::array<Event, 4> buffer;
  const auto events = must(poller.wait(buffer, time_limit));
  REQUIRE(reports_of(events) == Reports{{1, broken}});
  const std::error_code error = must(stream.take_error());
  CHECK(error.message() == (is_windows() ? "connection refused (Winsock 10061)" : "connection refused (errno 111)"));
  CHECK(Reason{error} == std::errc::connection_refused);
  // Linux does not report the error with the event.
  CHECK(events[0].error() == (is_windows() ? error : std::error_code()));
  // Wine then returns WSAENOTCONN.
  if (!is_wine()) CHECK_FALSE(must(stream.take_error()));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: successful connect") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const TcpStream stream = must(TcpStream::connect(must(listener.local_address())));
  Watch watch(stream);
  watch.reports("successful connect", asks_write, writable);
  watch.reports("successful connect", asks_all, writable);
  watch.reports("successful connect", asks_read, none);
  CHECK_FALSE(must(stream.take_error()));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: connect to a blackhole, then close") {
  Blackhole blackhole;
  if (!blackhole.open()) {
    MESSAGE("skipped: this system refuses a connect when the listener's backlog is full");
    return;
  }
  Watch watch(blackhole.clients.back());
  watch.reports("connect without an answer", asks_all, none);
  watch.reports("connect without an answer", asks_nothing, none);
  must(watch.registration().modify(asks_all));
  CHECK(next(watch.poller(), nanoseconds::zero()) == nothing);
  blackhole.clients.pop_back();
  print_row("connect without an answer, closed", asks_all, everywhere(none));
  CHECK(next(watch.poller(), quiet) == nothing);
  CHECK(reason(watch.registration().modify(asks_all)) == std::errc::bad_file_descriptor);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: listener") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  Watch watch(listener);
  watch.reports("listener, no connection", asks_all, none);
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  watch.reports("listener, a connection to accept", asks_all, readable);
  watch.reports("listener, a connection to accept", asks_write, none);
  const TcpStream server = must(listener.accept());
  watch.reports("listener, the last connection accepted", asks_all, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: full send buffer, then drained") {
  const Pair pair = make_pair();
  const std::size_t taken = fill(pair.client);
  Watch watch(pair.client);
  watch.reports("send buffer full", asks_all, none);
  std::size_t read = 0;
  while (read < taken) read += receive_all(pair.server);
  watch.reports("send buffer drained", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: urgent data") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.client.send_urgent(std::byte{'!'}));
  watch.reports("urgent data", asks_all, writable | priority);
  watch.reports("urgent data", Interest::priority, priority);
  watch.reports("urgent data", asks_both, writable);
  watch.reports("urgent data", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: UDP datagram") {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
  Watch watch(to);
  watch.reports("UDP, no datagram", asks_all, writable);
  constexpr std::byte byte{'x'};
  CHECK(must(from.send_to({&byte, 1}, must(to.local_address()))) == 1);
  watch.reports("UDP datagram", asks_all, readable | writable);
  watch.reports("UDP datagram", asks_read, readable);
  watch.reports("UDP datagram", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: empty UDP datagram") {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
  Watch watch(to);
  CHECK(must(from.send_to({}, must(to.local_address()))) == 0);
  watch.reports("empty UDP datagram", asks_all, readable | writable);
  watch.reports("empty UDP datagram", asks_read, readable);
  std::array<std::byte, 4> buffer;
  CHECK(must(to.receive_from(buffer)).size == 0);
  watch.reports("empty UDP datagram, received", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: UDP port unreachable") {
  auto closed = std::optional(must(UdpSocket::bind(Address::loopback_ipv4())));
  const Address closed_port = must(closed->local_address());
  closed.reset();
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  must(from.connect(closed_port));
  constexpr std::byte byte{'x'};
  CHECK(must(from.send({&byte, 1})) == 1);
  Watch watch(from);
  // On Windows a receive fails with WSAECONNRESET. Under Wine there was no event (kernel-facts).
  watch.reports("UDP port unreachable", asks_all, on(readable | writable | failed, readable | writable, writable));
  watch.reports("UDP port unreachable", asks_nothing, on(readable | writable | failed, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: TCP that never connected") {
  const TcpStream stream = unconnected_stream();
  Watch watch(stream);
  watch.reports("TCP that never connected", asks_all, on(readable | writable | hung_up, none));
  watch.reports("TCP that never connected", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: socket closed while registered") {
  Pair pair = make_pair();
  Watch watch(pair.server);
  watch.reports("socket open, nothing to read", asks_read, none);
  must(watch.registration().modify(asks_all));
  pair.server.close();
  print_row("socket closed while registered", asks_all, everywhere(none));
  CHECK(next(watch.poller(), quiet) == nothing);
  CHECK(reason(watch.registration().modify(asks_all)) == std::errc::bad_file_descriptor);
  CHECK(reason(watch.registration().drained(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(watch.registration().remove().has_value());
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: duplicated socket closed once") {
  Pair pair = make_pair();
  const TcpStream other = duplicate(pair.server);
  Watch watch(pair.server);
  watch.reports("duplicated socket, before it was closed once", asks_read, none);
  pair.server.close();
  print_row("duplicated socket closed once", asks_read, everywhere(none));
  CHECK(next(watch.poller(), quiet) == nothing);  // still the same connection, on both systems
  send_byte(pair.client);
  print_row("duplicated socket closed once, then data", asks_read, everywhere(readable));
  CHECK(next(watch.poller()) == Reports{{1, readable}});
  // Windows polls again by the closed number, and so finds out; epoll has registered the connection.
  const On<Readiness> again = on(readable, none);
  print_row("the same, in the next wait", asks_read, again);
  CHECK(next(watch.poller(), quiet) == (Readiness{again} == none ? nothing : Reports{{1, again}}));
  CHECK(watch.registration().remove().has_value());
  CHECK(next(watch.poller(), quiet) == nothing);
}
