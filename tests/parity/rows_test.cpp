// SPDX-License-Identifier: MIT
// The rows of docs/semantics.md: a situation, what was asked, what exactly is told. With REACTOR_ROWS set in the
// environment they print the table of that page: what it says is what is asserted here.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>

using namespace parity;

namespace {

constexpr Readiness over = readable | writable | hung_up | failed;
constexpr Readiness over_heard = over | read_closed;

std::string cell(Readiness readiness) {
  if (readiness == none) return "–";
  std::string words = text(readiness);
  std::ranges::replace(words, '|', ' ');
  return words;
}

std::string cell(Interest asked) { return asked == asks_all ? "all" : cell(static_cast<Readiness>(asked)); }

void print_row(const char* situation, Interest asked, const On<Readiness>& row) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets it meanwhile
  if (std::getenv("REACTOR_ROWS") == nullptr) return;
  std::printf("| %s | %s | %s | %s | %s |\n", situation, cell(asked).c_str(), cell(row.linux_value).c_str(),
              cell(row.windows_value).c_str(), cell(row.wine_value).c_str());
}

/// A socket under watch, in a poller of its own.
class Watch {
 public:
  explicit Watch(const Socket& socket) : Watch(socket.native()) {}
  explicit Watch(NativeSocket socket) : registration_(must(poller_.add(socket, Token{1}, asks_nothing))) {}

  void tells(const char* situation, Interest asked, const On<Readiness>& row) {
    must(registration_.modify(asked, Mode::level));
    print_row(situation, asked, row);
    INFO(situation, ", asked for ", static_cast<Readiness>(asked));
    const Readiness wanted = row;
    const Tellings exactly = wanted == none ? nothing : Tellings{{1, wanted}};
    CHECK(settled(poller_, exactly) == exactly);
    if (wanted == none) return;
    // Level: reported again, but for hang-up and failure with Interest::none.
    const Tellings again = asked == asks_nothing ? nothing : exactly;
    CHECK(settled(poller_, again) == again);
  }
  void tells(const char* situation, Interest asked, Readiness row) { tells(situation, asked, everywhere(row)); }

  [[nodiscard]] Poller& poller() noexcept { return poller_; }
  [[nodiscard]] Registration& registration() noexcept { return registration_; }

 private:
  Poller poller_ = make_poller();
  Registration registration_;
};

/// A stream whose connect was begun where nobody listens.
TcpStream refused_stream() {
  auto listener = std::optional(must(TcpListener::bind(Address::loopback_ipv4())));
  const Address nobody = must(listener->local_address());
  listener.reset();
  return must(TcpStream::connect(nobody));
}

/// Connects that stay pending, for their listener's backlog is full. Windows itself refuses those: then there is none.
struct Blackhole {
  TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4(), 1));
  std::vector<TcpStream> clients;

  [[nodiscard]] bool open() {
    const Address address = must(listener.local_address());
    for (int i = 0; i < 16; ++i) {
      clients.push_back(must(TcpStream::connect(address)));
      Poller poller = make_poller();
      const Registration registration = must(poller.add(clients.back().native(), Token{1}, asks_write));
      const Tellings told = next(poller, milliseconds(250));
      if (told.empty()) return true;
      if (told != Tellings{{1, writable}}) return false;
    }
    return false;
  }
};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "row: data") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  watch.tells("connected, nothing to read", asks_all, writable);
  watch.tells("connected, nothing to read", asks_read, none);
  watch.tells("connected, nothing to read", asks_nothing, none);
  send_byte(pair.client);
  watch.tells("data", asks_all, readable | writable);
  watch.tells("data", asks_read, readable);
  watch.tells("data", asks_write, writable);
  watch.tells("data", asks_nothing, none);
  CHECK(receive_all(pair.server) == 1);
  watch.tells("data, all of it read", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: data behind FIN") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  send_byte(pair.client);
  must(pair.client.shutdown(Shutdown::write));
  // Wine says DISCONNECT only when all is read (kernel-facts: fin.behind_data).
  watch.tells("data and a FIN behind it", asks_all,
              on(readable | writable | read_closed, readable | writable | read_closed, readable | writable));
  watch.tells("data and a FIN behind it", asks_read, on(readable | read_closed, readable | read_closed, readable));
  CHECK(receive_all(pair.server) == 1);
  watch.tells("data and a FIN behind it, all of it read", asks_all, readable | writable | read_closed);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: FIN alone") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.client.shutdown(Shutdown::write));
  watch.tells("FIN alone", asks_all, readable | writable | read_closed);
  watch.tells("FIN alone", asks_read, readable | read_closed);
  watch.tells("FIN alone", asks_write, writable);
  watch.tells("FIN alone", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::write));
  watch.tells("our own shutdown of writing", asks_all, writable);
  watch.tells("our own shutdown of writing", asks_nothing, none);
  must(pair.client.shutdown(Shutdown::write));
  // AFD has no word for it: it does not tell what this side has shut.
  watch.tells("both sides shut writing", asks_all,
              on(readable | writable | read_closed | hung_up, readable | writable | read_closed));
  watch.tells("both sides shut writing", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: our own shutdown of both directions") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.server.shutdown(Shutdown::both));
  watch.tells("our own shutdown of both directions", asks_all,
              on(readable | writable | read_closed | hung_up, writable));
  watch.tells("our own shutdown of both directions", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: RST") {
  for (const Interest asked : {asks_all, asks_both, asks_read, asks_write, asks_nothing}) {
    Pair pair = make_pair();
    Watch watch(pair.server);
    reset(pair.client);
    const bool hears_end = (asked & asks_read) != asks_nothing;
    watch.tells("RST", asked, hears_end ? over_heard : over);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: RST behind data") {
  Pair pair = make_pair();
  Watch watch(pair.server);
  send_byte(pair.client);
  watch.tells("data, and then RST: before it", asks_read, readable);
  reset(pair.client);
  watch.tells("data, and then RST", asks_both, over_heard);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: refused connect") {
  for (const Interest asked : {asks_all, asks_write, asks_nothing}) {
    const TcpStream stream = refused_stream();
    Watch watch(stream);
    const bool hears_end = (asked & asks_read) != asks_nothing;
    watch.tells("refused connect", asked, hears_end ? over_heard : over);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: refused connect, and why") {
  const TcpStream stream = refused_stream();
  Poller poller = make_poller();
  const Registration registration = must(poller.add(stream.native(), Token{1}, asks_write, Mode::oneshot));
  std::array<Event, 4> room;
  const auto events = must(poller.wait(room, patience));
  REQUIRE(tellings(events) == Tellings{{1, over}});
  // Linux does not say it with the event.
  if (is_windows()) CHECK(Reason{events[0].error()} == std::errc::connection_refused);
  if (!is_windows()) CHECK_FALSE(events[0].error());
  CHECK(Reason{must(stream.take_error())} == std::errc::connection_refused);
  // Wine goes on to say WSAENOTCONN.
  if (!is_wine()) CHECK_FALSE(must(stream.take_error()));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: successful connect") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const TcpStream stream = must(TcpStream::connect(must(listener.local_address())));
  Watch watch(stream);
  watch.tells("successful connect", asks_write, writable);
  watch.tells("successful connect", asks_all, writable);
  watch.tells("successful connect", asks_read, none);
  CHECK_FALSE(must(stream.take_error()));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: connect to a blackhole, then close") {
  Blackhole blackhole;
  if (!blackhole.open()) {
    MESSAGE("skipped: this system refuses a connect when the listener's backlog is full");
    return;
  }
  Watch watch(blackhole.clients.back());
  watch.tells("connect that nobody answers", asks_all, none);
  watch.tells("connect that nobody answers", asks_nothing, none);
  must(watch.registration().modify(asks_all));
  CHECK(next(watch.poller(), nanoseconds::zero()) == nothing);
  blackhole.clients.pop_back();
  print_row("connect that nobody answers, closed", asks_all, everywhere(none));
  CHECK(next(watch.poller(), quiet) == nothing);
  CHECK(reason(watch.registration().modify(asks_all)) == std::errc::bad_file_descriptor);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: listener") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  Watch watch(listener);
  watch.tells("listener, nobody there", asks_all, none);
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  watch.tells("listener, a connection to accept", asks_all, readable);
  watch.tells("listener, a connection to accept", asks_write, none);
  const TcpStream server = must(listener.accept());
  watch.tells("listener, the last connection accepted", asks_all, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: full send buffer, then drained") {
  const Pair pair = make_pair();
  const std::size_t taken = fill(pair.client);
  Watch watch(pair.client);
  watch.tells("send buffer full", asks_all, none);
  std::size_t read = 0;
  while (read < taken) read += receive_all(pair.server);
  watch.tells("send buffer drained", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: urgent data") {
  const Pair pair = make_pair();
  Watch watch(pair.server);
  must(pair.client.send_urgent(std::byte{'!'}));
  watch.tells("urgent data", asks_all, writable | priority);
  watch.tells("urgent data", Interest::priority, priority);
  watch.tells("urgent data", asks_both, writable);
  watch.tells("urgent data", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: UDP datagram") {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
  Watch watch(to);
  watch.tells("UDP, nothing there", asks_all, writable);
  constexpr std::byte byte{'x'};
  CHECK(must(from.send_to({&byte, 1}, must(to.local_address()))) == 1);
  watch.tells("UDP datagram", asks_all, readable | writable);
  watch.tells("UDP datagram", asks_read, readable);
  watch.tells("UDP datagram", asks_nothing, none);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: empty UDP datagram") {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  const UdpSocket to = must(UdpSocket::bind(Address::loopback_ipv4()));
  Watch watch(to);
  CHECK(must(from.send_to({}, must(to.local_address()))) == 0);
  watch.tells("empty UDP datagram", asks_all, readable | writable);
  watch.tells("empty UDP datagram", asks_read, readable);
  std::array<std::byte, 4> room;
  CHECK(must(to.receive_from(room)).size == 0);
  watch.tells("empty UDP datagram, received", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: UDP port unreachable") {
  auto closed = std::optional(must(UdpSocket::bind(Address::loopback_ipv4())));
  const Address nobody = must(closed->local_address());
  closed.reset();
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  must(from.connect(nobody));
  constexpr std::byte byte{'x'};
  CHECK(must(from.send({&byte, 1})) == 1);
  Watch watch(from);
  // Windows lets a receive fail with WSAECONNRESET; no event was seen under Wine (kernel-facts).
  watch.tells("UDP port unreachable", asks_all, on(readable | writable | failed, readable | writable, writable));
  watch.tells("UDP port unreachable", asks_nothing, on(readable | writable | failed, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: TCP that never connected") {
  const TcpStream stream = unconnected_stream();
  Watch watch(stream);
  watch.tells("TCP that never connected", asks_all, on(readable | writable | hung_up, none));
  watch.tells("TCP that never connected", asks_nothing, on(hung_up, none));
}

TEST_CASE_FIXTURE(NothingIsLeft, "row: socket closed while registered") {
  Pair pair = make_pair();
  Watch watch(pair.server);
  watch.tells("socket open, nothing to read", asks_read, none);
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
  watch.tells("duplicated socket, before it was closed once", asks_read, none);
  pair.server.close();
  print_row("duplicated socket closed once", asks_read, everywhere(none));
  CHECK(next(watch.poller(), quiet) == nothing);  // on both systems it is still the same connection
  send_byte(pair.client);
  print_row("duplicated socket closed once, then data", asks_read, everywhere(readable));
  CHECK(next(watch.poller()) == Tellings{{1, readable}});
  // Windows asks again by a number that is closed, and so notices; epoll has it by the connection.
  const On<Readiness> again = on(readable, none);
  print_row("the same, in the next wait", asks_read, again);
  CHECK(next(watch.poller(), quiet) == (Readiness{again} == none ? nothing : Tellings{{1, again}}));
  CHECK(watch.registration().remove().has_value());
  CHECK(next(watch.poller(), quiet) == nothing);
}
