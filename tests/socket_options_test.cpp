// SPDX-License-Identifier: MIT
#include "socket_support.hpp"

using namespace sockets;

TEST_CASE("every socket is non-blocking and not inheritable when it is created") {
  const auto [listener, client, server] = connection();
  const UdpSocket udp = udp_socket();
  for (const Socket* socket : std::initializer_list<const Socket*>{&listener, &client, &server, &udp}) {
    CHECK_FALSE(is_inheritable(*socket));
    CHECK_FALSE(is_blocking(*socket));
  }
  std::array<std::byte, 8> buffer{};
  CHECK(error_of(listener.accept()) == std::errc::operation_would_block);
  CHECK(error_of(client.receive(buffer)) == std::errc::operation_would_block);
  CHECK(error_of(server.receive(buffer)) == std::errc::operation_would_block);
  CHECK(error_of(udp.receive_from(buffer)) == std::errc::operation_would_block);
}

TEST_CASE("tcp: sent data arrives, also after a close with linger") {
  for (const auto linger : {std::optional<std::chrono::seconds>(), std::optional(std::chrono::seconds(1))}) {
    auto [listener, client, server] = connection();
    must(client.set_linger(linger));
    CHECK(must(client.send(bytes("last"))) == 4);
    const NativeSocket number = client.native();
    client.close();
    CHECK(receive_all(server) == "last");
    CHECK(error_of(Socket(number).local_address()) != std::error_code());  // closed, on Windows too
  }
}

TEST_CASE("socket options have the values that were set") {
  const auto [listener, client, server] = connection();
  must(client.set_keepalive(true));
  CHECK(option(client, SOL_SOCKET, SO_KEEPALIVE) != 0);
  must(client.set_keepalive(false));
  CHECK(option(client, SOL_SOCKET, SO_KEEPALIVE) == 0);
  using std::chrono::seconds;
  must(client.set_keepalive(seconds(70), seconds(7)));
#ifdef TCP_KEEPINTVL
  CHECK(option(client, SOL_SOCKET, SO_KEEPALIVE) != 0);
  CHECK(option(client, IPPROTO_TCP, TCP_KEEPIDLE) == 70);
  CHECK(option(client, IPPROTO_TCP, TCP_KEEPINTVL) == 7);
#endif
  for (const auto& [idle, interval] : {std::pair(seconds(0), seconds(1)), std::pair(seconds(1), seconds(0)),
                                       std::pair(seconds(32768), seconds(1)), std::pair(seconds(1), seconds(32768)),
                                       std::pair(seconds::max(), seconds(1)), std::pair(seconds(-1), seconds(1))}) {
    CHECK(error_of(client.set_keepalive(idle, interval)) == std::errc::invalid_argument);
  }
  CHECK(option(client, IPPROTO_TCP, TCP_NODELAY) == 0);
  must(client.set_no_delay(true));
  CHECK(option(client, IPPROTO_TCP, TCP_NODELAY) != 0);
  must(client.set_no_delay(false));
  CHECK(option(client, IPPROTO_TCP, TCP_NODELAY) == 0);

  must(client.set_send_buffer(40000));
  must(client.set_receive_buffer(50000));
  const int factor = option(client, SOL_SOCKET, SO_SNDBUF) / 40000;
  CHECK((factor == 1 || factor == 2));  // Linux doubles the size, for its own bookkeeping
  CHECK(option(client, SOL_SOCKET, SO_SNDBUF) == 40000 * factor);
  CHECK(option(client, SOL_SOCKET, SO_RCVBUF) == 50000 * factor);
}

TEST_CASE("tcp: the port of a listener is in use until the listener is closed") {
  auto [listener, client, server] = connection();
  const Address at = must(listener.local_address());
  CHECK(error_of(TcpListener::bind(at)) == std::errc::address_in_use);
  // The server closes first, so that its side is in TIME_WAIT, on the listener's port.
  server.close();
  CHECK(receive_all(client).empty());
  client.close();
  listener.close();
  CHECK(must(must(TcpListener::bind(at)).local_address()) == at);
}

TEST_CASE("an IPv6 socket does not accept IPv4") {
  const auto tcp = TcpListener::bind(Address::any_ipv6(0));
  const auto udp = UdpSocket::bind(Address::any_ipv6(0));
  if (!tcp || !udp) {
    MESSAGE("skipped: " << (tcp ? error_of(udp) : error_of(tcp)).message());
    return;
  }
  CHECK(option(*tcp, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
  CHECK(option(*udp, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
}

TEST_CASE("a listener on Address::any accepts IPv6 and IPv4") {
  const TcpListener listener = must(TcpListener::bind(Address::any(0)));
  const std::uint16_t port = must(listener.local_address()).port();
  const TcpStream by_ipv4 = must(TcpStream::connect(Address::loopback_ipv4(port)));
  const auto [stream, peer] = must(until_possible([&] { return listener.accept_from(); }));
  CHECK(peer.unmapped() == must(by_ipv4.local_address()));
  if (must(listener.local_address()).family() == Address::Family::ipv4) {
    MESSAGE("skipped: this system has no IPv6");
    return;
  }
  CHECK(must(listener.local_address()) == Address::any_ipv6(port));
  CHECK(peer != must(by_ipv4.local_address()));  // in the form of an IPv6 socket
  const auto taken = error_of(TcpListener::bind(Address::any(port)));
  CHECK((taken == std::errc::address_in_use || (is_wine() && taken == std::errc::permission_denied)));
  if (const auto tried = UdpSocket::bind(Address::loopback_ipv6()); !tried) return;
  const TcpStream by_ipv6 = must(TcpStream::connect(Address::loopback_ipv6(port)));
  CHECK(must(until_possible([&] { return listener.accept_from(); })).peer == must(by_ipv6.local_address()));

  const UdpSocket udp = must(UdpSocket::bind(Address::any(0)));
  const UdpSocket from = udp_socket();
  must(from.send_to(bytes("x"), Address::loopback_ipv4(must(udp.local_address()).port())));
  CHECK(receive_datagram(udp).second.unmapped() == must(from.local_address()));
  const TcpListener same = must(TcpListener::bind(Address::any_ipv6(0), {.v6_only = false}));
  CHECK(option(same, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
}

TEST_CASE("on Linux, sockets that all ask for it share an address") {
  const auto first = TcpListener::bind(Address::loopback_ipv4(), {.reuse_port = true});
#ifdef _WIN32
  CHECK(error_of(first) == std::errc::not_supported);
#else
  REQUIRE(first.has_value());
  const Address at = must(first->local_address());
  const TcpListener second = must(TcpListener::bind(at, {.reuse_port = true}));
  CHECK(error_of(TcpListener::bind(at)) == std::errc::address_in_use);
  const UdpSocket one = must(UdpSocket::bind(Address::loopback_ipv4(), {.reuse_port = true}));
  const UdpSocket two = must(UdpSocket::bind(must(one.local_address()), {.reuse_port = true}));
  CHECK(must(two.local_address()) == must(one.local_address()));
#endif
}

TEST_CASE("udp: a bound port is in use") {
  const UdpSocket first = udp_socket();
  CHECK(error_of(UdpSocket::bind(must(first.local_address()))) == std::errc::address_in_use);
}
