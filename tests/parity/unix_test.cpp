// SPDX-License-Identifier: MIT
// Unix sockets: what is reported of them, on every system that has them. Elsewhere (Wine 8 and 10) the error is
// checked.
#include "rows.hpp"

#include <array>
#include <optional>
#include <string>

using namespace parity;

namespace {

/// None where the system has no Unix sockets: the error is checked here.
std::optional<TcpListener> listen_at(const SocketPath& path) {
  auto listener = TcpListener::bind(path.address());
  if (reason(listener) != std::errc::address_family_not_supported) return must(std::move(listener));
  CHECK(is_windows());
  CHECK(listener.error().message() ==
        "this system has no Unix sockets (AF_UNIX): Windows has them since Windows 10 1803");
  CHECK(reason(TcpStream::connect(path.address())) == std::errc::address_family_not_supported);
  MESSAGE("no Unix sockets here: their error was checked, and nothing else");
  return std::nullopt;
}

Pair connect(const TcpListener& listener, const SocketPath& path) {
  TcpStream client = must(TcpStream::connect(path.address()));
  Poller poller = make_poller();
  const Registration accepts = must(poller.add(listener.native(), Token{1}, asks_read));
  REQUIRE(next(poller) == Reports{{1, readable}});
  return {std::move(client), must(listener.accept())};
}

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "unix: a listener, a connection, data and a half close are reported as of TCP") {
  const SocketPath path;
  const auto listener = listen_at(path);
  if (!listener) return;
  Watch accepts(*listener);
  accepts.reports("Unix listener, no connection", asks_all, none);
  const TcpStream client = must(TcpStream::connect(path.address()));
  accepts.reports("Unix listener, a connection to accept", asks_all, readable);
  const auto [server, peer] = must(listener->accept_from());
  CHECK((peer.text() == "unix:" || (is_windows() && peer == Address())));  // a client without a name
  CHECK(must(client.peer_address()) == path.address());
  accepts.reports("Unix listener, the last connection accepted", asks_all, none);

  Watch connects(client), serves(server);
  connects.reports("Unix stream, connected", asks_all, writable);
  connects.reports("Unix stream, connected", asks_read, none);
  send_byte(client);
  serves.reports("Unix stream, data", asks_all, readable | writable);
  CHECK(receive_all(server) == 1);
  serves.reports("Unix stream, data, all of it read", asks_all, writable);
  must(client.shutdown(Shutdown::write));
  serves.reports("Unix stream, FIN alone", asks_all, readable | writable | read_closed);
  serves.reports("Unix stream, FIN alone", asks_nothing, none);
  std::array<std::byte, 4> buffer;
  CHECK(must(server.receive(buffer)) == 0);
  send_byte(server);
  connects.reports("Unix stream, our own shutdown of writing, then data", asks_all, readable | writable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "unix: a full send buffer is not writable, and is again when the peer has received") {
  const SocketPath path;
  const auto listener = listen_at(path);
  if (!listener) return;
  const Pair pair = connect(*listener, path);
  const std::size_t sent = fill(pair.client);
  Watch watch(pair.client);
  watch.reports("Unix stream, send buffer full", asks_all, none);
  std::size_t received = 0;
  while (received < sent) received += receive_all(pair.server);
  watch.reports("Unix stream, send buffer drained", asks_all, writable);
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "unix: the end of a connection is reported, and its path is not free before it is deleted") {
  const SocketPath path;
  auto listener = listen_at(path);
  if (!listener) return;
  Pair pair = connect(*listener, path);
  Poller poller = make_poller();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  pair.client.close();
  const Reports reports = next(poller);
  REQUIRE(reports.size() == 1);
  CHECK(covers(reports[0].readiness, readable | read_closed));
  std::array<std::byte, 4> buffer;
  CHECK(must(pair.server.receive(buffer)) == 0);

  CHECK(reason(TcpListener::bind(path.address())) == std::errc::address_in_use);
  listener->close();
  CHECK(reason(TcpStream::connect(path.address())) == std::errc::connection_refused);
}
