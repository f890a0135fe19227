// SPDX-License-Identifier: MIT
//
// What AFD reports of sockets: connects, data, FIN and reset. Each test is named after its row of docs/kernel-facts.md.
#include "kernel/bench.hpp"

using namespace conformance;

namespace {

constexpr auto STATUS_CONNECTION_REFUSED = static_cast<NTSTATUS>(0xC0000236);
// CONNECT is never polled (fact connected.again).
constexpr ULONG all_but_connect = everything & ~AFD_POLL_CONNECT;

std::string text(const reactor::Result<std::size_t>& received) {
  if (received) return "returns " + std::to_string(*received);
  return received.error() == std::errc::connection_reset ? "connection reset" : "another error";
}

}  // namespace

TEST_CASE_TEMPLATE("never_connected.mask: a new TCP socket has no events", System, ALL_KERNELS) {
  Bench<System> b;
  const ULONG mask = b.now(b.system.tcp());
  b.fact("never_connected.mask", "a socket that never connected, polled for everything", code(mask));
  CHECK(mask == 0);
}

TEST_CASE_TEMPLATE("refused.packet, refused.mask, refused.status: a refused connect, while pending and polled again",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.tcp();
  Request& request = b.request({{socket, all_but_connect}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.connect_to_closed_port(socket);
  const Answer expected{STATUS_SUCCESS, {{socket, AFD_POLL_CONNECT_FAIL, STATUS_CONNECTION_REFUSED}}};
  CHECK(b.answer(request) == expected);
  CHECK(b.ask({{socket, all_but_connect}}) == expected);
}

TEST_CASE_TEMPLATE("connected.mask, connected.again: CONNECT and SEND, and CONNECT stays for ever", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener(), client = b.system.tcp();
  Request& request = b.request({{client, AFD_POLL_SEND | AFD_POLL_CONNECT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.connect(client, listener);
  const Answer answer = b.answer(request);
  b.fact("connected.mask", "a connect that succeeds, polled for SEND|CONNECT", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{client, AFD_POLL_SEND | AFD_POLL_CONNECT}}});
  CHECK(b.now(client, AFD_POLL_CONNECT) == AFD_POLL_CONNECT);
  const ULONG again = b.now(client, AFD_POLL_CONNECT);
  b.fact("connected.again", "polled again for CONNECT: it never goes away", code(again));
  CHECK(again == AFD_POLL_CONNECT);
  CHECK(b.now(client) == (AFD_POLL_SEND | AFD_POLL_CONNECT));
  b.await(listener, AFD_POLL_ACCEPT);
  const auto served = b.system.accept(listener);
  REQUIRE(served.has_value());
  CHECK(b.now(*served) == (AFD_POLL_SEND | AFD_POLL_CONNECT));
}

TEST_CASE_TEMPLATE("data.mask: RECEIVE while data is unread", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  CHECK(b.now(x, all_but_connect) == AFD_POLL_SEND);
  REQUIRE(b.system.send(y, 2) == 2);
  b.await(x, AFD_POLL_RECEIVE);
  REQUIRE(b.system.recv(x, 1) == 1u);
  const ULONG unread = b.now(x, all_but_connect);
  CHECK(unread == (AFD_POLL_RECEIVE | AFD_POLL_SEND));
  REQUIRE(b.system.recv(x, 1) == 1u);
  const ULONG read = b.now(x, all_but_connect);
  b.fact("data.mask", "one of two bytes read: all but CONNECT; then the other", code(unread) + "; " + code(read));
  CHECK(read == AFD_POLL_SEND);
  CHECK(b.system.recv(x, 1).error() == std::errc::operation_would_block);
}

TEST_CASE_TEMPLATE("fin.behind_data, fin.data: a FIN behind unread data", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  REQUIRE(b.system.send(y, 1) == 1);
  b.system.shutdown(y, Shutdown::write);
  b.await(x, AFD_POLL_RECEIVE);
  // Wine reports the FIN when all data was read, Windows at once.
  if (!b.expects_wine()) b.await(x, AFD_POLL_DISCONNECT);
  const ULONG mask_now = b.now(x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT);
  b.fact("fin.behind_data", "a byte and a FIN behind it: polled for DISCONNECT alone",
         code(b.now(x, AFD_POLL_DISCONNECT)));
  b.fact("fin.data", "polled for RECEIVE|DISCONNECT", code(mask_now));
  CHECK(mask_now == (b.expects_wine() ? AFD_POLL_RECEIVE : AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT));
  REQUIRE(b.system.recv(x, 100) == 1u);
  b.await(x, AFD_POLL_DISCONNECT);
  CHECK(b.now(x, all_but_connect) == (AFD_POLL_DISCONNECT | AFD_POLL_SEND));
  CHECK(b.system.recv(x, 100) == 0u);
}

TEST_CASE_TEMPLATE(
    "fin.alone, fin.both, end.client, end.client_all, end.server, end.server_all: SEND after our own FIN", System,
    ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.shutdown(y, Shutdown::write);
  const Answer answer = b.answer(request);
  b.fact("fin.alone", "a FIN and nothing unread: polled for RECEIVE|DISCONNECT|ABORT", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_DISCONNECT}}});
  CHECK(b.now(x, all_but_connect) == (AFD_POLL_DISCONNECT | AFD_POLL_SEND));
  b.system.shutdown(x, Shutdown::write);
  const ULONG both = b.now(x, all_but_connect);
  b.fact("fin.both", "half-closed by us as well: all but CONNECT", code(both));
  CHECK(both == (AFD_POLL_DISCONNECT | AFD_POLL_SEND));
  b.await(y, AFD_POLL_DISCONNECT);
  constexpr ULONG receive = AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT;
  const ULONG client = b.now(x, receive), server = b.now(y, receive), all = b.now(y, all_but_connect);
  b.fact("end.client", "the end that half-closed last, polled for RECEIVE|DISCONNECT", code(client));
  b.fact("end.client_all", "polled for all but CONNECT", code(both));
  b.fact("end.server", "the end that half-closed first, polled for RECEIVE|DISCONNECT", code(server));
  b.fact("end.server_all", "polled for all but CONNECT", code(all));
  CHECK(client == AFD_POLL_DISCONNECT);
  CHECK(server == AFD_POLL_DISCONNECT);
  CHECK(all == (AFD_POLL_DISCONNECT | AFD_POLL_SEND));
}

TEST_CASE_TEMPLATE("end.close: the peer's close is a FIN too", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  REQUIRE(b.system.send(y, 3) == 3);
  b.system.close(y);
  b.await(x, AFD_POLL_RECEIVE);
  CHECK(b.system.recv(x, 100) == 3u);
  b.await(x, AFD_POLL_DISCONNECT);
  b.fact("end.close", "the peer closes behind data that is then read: RECEIVE|DISCONNECT",
         code(b.now(x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT)));
  CHECK(b.system.recv(x, 100) == 0u);
}

// A poll that was pending and asked for neither SEND nor CONNECT gets ABORT alone, a new one all three. What one gets
// that was pending and asked for them is not known: the simulated Windows adds them for half of its sockets.
TEST_CASE_TEMPLATE("reset.mask, reset.all, reset.pending, reset.recv", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.reset(y);
  CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_ABORT}}});
  const ULONG mask = b.now(x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT);
  b.fact("reset.mask", "the peer reset: polled for RECEIVE|DISCONNECT|ABORT", code(mask));
  CHECK(mask == AFD_POLL_ABORT);
  const auto got = b.system.recv(x, 100);
  b.fact("reset.recv", "recv after that", text(got));
  if (b.expects_wine_8()) {
    CHECK(got == 0u);  // its own poll has read SO_ERROR, which clears the error
  } else {
    CHECK(got.error() == std::errc::connection_reset);
  }
  const ULONG mask_now = b.now(x);
  b.fact("reset.all", "polled for everything", code(mask_now));
  CHECK(mask_now == (AFD_POLL_ABORT | AFD_POLL_SEND | AFD_POLL_CONNECT));
}

// Wine 8 (here Linux) keeps unread data and still reports only the reset. Wine 10 and the simulated Windows discard the
// data.
TEST_CASE_TEMPLATE("reset.behind_data: a reset behind unread data", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  REQUIRE(b.system.send(y, 1) == 1);
  b.await(x, AFD_POLL_RECEIVE);
  b.system.reset(y);
  b.await(x, AFD_POLL_ABORT);
  CHECK(b.now(x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT) == AFD_POLL_ABORT);
  const auto got = b.system.recv(x, 100);
  b.fact("reset.behind_data", "a reset behind an unread byte: recv after the poll", text(got));
  if (b.expects_wine_8()) {
    CHECK(got == 1u);
  } else if (b.system.is_unknown()) {
    MESSAGE("recv " << (got ? "returns what was unread" : "fails"));
  } else {
    CHECK(got.error() == std::errc::connection_reset);
  }
}

TEST_CASE_TEMPLATE("reset.unread: closing with unread data resets the peer", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  REQUIRE(b.system.send(x, 1) == 1);
  b.await(y, AFD_POLL_RECEIVE);
  Request& request = b.request({{x, AFD_POLL_DISCONNECT | AFD_POLL_ABORT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.close(y);
  const Answer answer = b.answer(request);
  b.fact("reset.unread", "the peer closes with a byte unread: DISCONNECT|ABORT", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_ABORT}}});
}

TEST_CASE_TEMPLATE("reset.late: sending to a peer that has closed", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  b.system.close(y);
  b.await(x, AFD_POLL_DISCONNECT);
  Request& request = b.request({{x, AFD_POLL_ABORT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.system.send(x, 1) == 1);
  const Answer answer = b.answer(request);
  b.fact("reset.late", "a byte sent to a peer that has closed: ABORT", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_ABORT}}});
}

TEST_CASE_TEMPLATE("send.full, send.drained: no SEND while the send buffer is full, and SEND again when it has space",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  std::size_t sent = 0;
  // Until it stays full: data on its way frees space again.
  do {
    for (std::size_t taken = 0; (taken = b.system.send(x, 65536)) > 0;) sent += taken;
  } while (!b.is_quiet() || (b.now(x, AFD_POLL_SEND) != 0 && sent < (1U << 30)));
  const ULONG full = b.now(x, all_but_connect);
  b.fact("send.full", "sent until it would block: all but CONNECT", code(full));
  CHECK(full == 0);
  Request& request = b.request({{x, AFD_POLL_SEND}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  std::size_t received = 0;
  while (received < sent) {
    b.await(y, AFD_POLL_RECEIVE);
    received += b.system.recv(y, 65536).value_or(0);
  }
  CHECK(received == sent);
  const Answer answer = b.answer(request);
  b.fact("send.drained", "polled for SEND, then the peer receives all", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_SEND}}});
}

TEST_CASE_TEMPLATE("urgent.mask: RECEIVE_EXPEDITED until it is read", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE_EXPEDITED}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.send_urgent(y);
  CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE_EXPEDITED}}});
  const ULONG urgent = b.now(x, all_but_connect);
  CHECK(urgent == (AFD_POLL_RECEIVE_EXPEDITED | AFD_POLL_SEND));
  b.system.recv_urgent(x);
  const ULONG read = b.now(x, all_but_connect);
  b.fact("urgent.mask", "an urgent byte arrives: all but CONNECT; then it is read", code(urgent) + "; " + code(read));
  CHECK(read == AFD_POLL_SEND);
}

TEST_CASE_TEMPLATE("udp.mask: SEND always, RECEIVE with a datagram, an empty one too", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket x = b.system.udp(), y = b.system.udp();
  const ULONG idle = b.now(x);
  CHECK(idle == AFD_POLL_SEND);
  std::string masks = code(idle);
  for (const std::size_t bytes : {std::size_t{3}, std::size_t{0}}) {
    Request& request = b.request({{x, all_but_connect & ~AFD_POLL_SEND}});
    REQUIRE(b.submit(request) == STATUS_PENDING);
    b.system.send_to(y, x, bytes);
    const Answer answer = b.answer(request);
    masks += "; " + text(answer);
    CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
    CHECK(b.system.recv(x, 100) == bytes);
    CHECK(b.now(x) == AFD_POLL_SEND);
  }
  b.fact("udp.mask", "a UDP socket: everything; a datagram, then an empty one: all but SEND", masks);
}

// Windows: the next receive fails with WSAECONNRESET, so there is something to receive [libuv#5242]. Wine: no event.
TEST_CASE_TEMPLATE("udp.unreachable: an ICMP port unreachable", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket x = b.system.udp();
  Request& request = b.request({{x, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.send_to_closed_port(x);
  if (b.expects_wine()) {
    const bool quiet = b.is_quiet();
    b.fact("udp.unreachable", "after an ICMP port unreachable: polled for RECEIVE", quiet ? "nothing" : "a packet");
    CHECK(quiet);
    return;
  }
  const Answer answer = b.answer(request);
  b.fact("udp.unreachable", "after an ICMP port unreachable: polled for RECEIVE", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
  CHECK(b.system.recv(x, 100).error() == std::errc::connection_reset);
  CHECK(b.now(x) == AFD_POLL_SEND);
}

TEST_CASE_TEMPLATE("idle.packets: nothing happens, so nothing is reported", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  REQUIRE(b.submit(b.request({{x, all_but_connect & ~AFD_POLL_SEND}})) == STATUS_PENDING);
  REQUIRE(b.submit(b.request({{y, all_but_connect & ~AFD_POLL_SEND}})) == STATUS_PENDING);
  CHECK_FALSE(b.take(300ms).has_value());
}
