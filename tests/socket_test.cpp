// SPDX-License-Identifier: MIT
#include "socket_support.hpp"

using namespace sockets;

TEST_CASE("tcp: connect, accept, send, receive, half-close, on IPv4 and IPv6") {
  for (const Address& at : {Address::loopback_ipv4(), Address::loopback_ipv6()}) {
    CAPTURE(at.text());
    if (const auto tried = TcpListener::bind(at); !tried && at.family() == Address::Family::ipv6) {
      MESSAGE("skipped: " << tried.error().message());
      continue;
    }
    const auto [listener, client, server] = connection_at(at);
    CHECK(must(client.local_address()) == must(server.peer_address()));
    CHECK(must(client.peer_address()) == must(server.local_address()));
    CHECK(must(client.peer_address()) == must(listener.local_address()));
    CHECK(must(listener.local_address()).port() != 0);
    CHECK(must(client.take_error()) == std::error_code{});

    CHECK(must(client.send(bytes("ask"))) == 3);
    must(client.shutdown(Shutdown::write));
    CHECK(receive_all(server) == "ask");
    CHECK(must(server.send(bytes("answer"))) == 6);
    must(server.shutdown(Shutdown::both));
    CHECK(receive_all(client) == "answer");
    CHECK(error_of(client.send(bytes("more"))) == std::errc::broken_pipe);
  }
}

TEST_CASE("tcp: a full send buffer is would-block, and all accepted data arrives") {
  const auto [listener, client, server] = connection();
  const std::vector<std::byte> chunk(65536, std::byte{'x'});
  std::size_t sent = 0;
  auto taken = client.send(chunk);
  for (; taken; taken = client.send(chunk)) sent += *taken;
  CHECK(taken.error() == std::errc::operation_would_block);
  must(client.shutdown(Shutdown::write));
  CHECK(receive_all(server) == std::string(sent, 'x'));
}

TEST_CASE("tcp: a refused connect is reported by take_error") {
  const TcpStream stream = must(TcpStream::connect(Address::loopback_ipv4(1)));  // tcpmux, which has no server
  const auto error = must(until_possible([&]() -> Result<std::error_code> {
    const auto taken = stream.take_error();
    if (taken && !*taken) return failure(std::errc::operation_would_block);
    return taken;
  }));
  CHECK(error == std::errc::connection_refused);
  if (!is_wine()) CHECK(must(stream.take_error()) == std::error_code{});  // Wine keeps the error
}

TEST_CASE("tcp: an abortive close is a reset at the peer") {
  auto [listener, client, server] = connection();
  must(client.set_abortive_close());
  client.close();
  std::array<std::byte, 8> buffer{};
  const auto received = until_possible([&] { return server.receive(buffer); });
  // Wine's server may have taken the error from the socket already: see "recv after that" in docs/kernel-facts.md.
  const bool lost_by_wine = is_wine() && received == 0U;
  CHECK((lost_by_wine || error_of(received) == std::errc::connection_reset));
}

TEST_CASE("tcp: an urgent byte is not part of the stream") {
  const auto [listener, client, server] = connection();
  CHECK(must(client.send(bytes("a"))) == 1);
  must(client.send_urgent(std::byte{'!'}));
  CHECK(must(client.send(bytes("b"))) == 1);
  must(client.shutdown(Shutdown::write));
  CHECK(receive_all(server) == "ab");
}

TEST_CASE("tcp: an urgent byte is part of the stream with SO_OOBINLINE") {
  const auto [listener, client, server] = connection();
  must(server.set_urgent_inline(true));
  CHECK(must(client.send(bytes("a"))) == 1);
  must(client.send_urgent(std::byte{'!'}));
  CHECK(must(client.send(bytes("b"))) == 1);
  must(client.shutdown(Shutdown::write));
  CHECK(receive_all(server) == "a!b");
}

TEST_CASE("tcp: accept returns the address of the client") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  const auto [stream, peer] = must(until_possible([&] { return listener.accept_from(); }));
  CHECK(peer == must(client.local_address()));
  CHECK(peer == must(stream.peer_address()));
  CHECK(error_of(listener.accept_from()) == std::errc::operation_would_block);
}

TEST_CASE("tcp: connect from a given local address") {
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const Address to = must(listener.local_address());
  const Address some_port = must(Address::parse("127.0.0.2:0"));
  const Address from =
      must(must(TcpListener::bind(some_port)).local_address());  // the listener is closed: the port is free again
  for (const Address& local : {some_port, from}) {
    const TcpStream client = must(TcpStream::connect(to, local));
    const auto [stream, peer] = must(until_possible([&] { return listener.accept_from(); }));
    CHECK(peer == must(client.local_address()));
    CHECK(peer.text() == "127.0.0.2:" + std::to_string(local == from ? from.port() : peer.port()));
  }
  CHECK(error_of(TcpStream::connect(to, to)) == std::errc::address_in_use);
  CHECK(error_of(TcpStream::connect({}, from)) == std::errc::address_family_not_supported);
  CHECK(error_of(TcpStream::connect(to, {})) == std::errc::address_family_not_supported);
}

TEST_CASE("tcp: the parts of a message are sent and received in order") {
  const auto [listener, client, server] = connection();
  const std::array parts{bytes("ab"), bytes(""), bytes("cde"), bytes("f")};
  CHECK(must(client.send_parts(parts)) == 6);
  CHECK(must(client.send_parts({})) == 0);
  std::array<std::byte, 4> first{};
  std::array<std::byte, 8> second{};
  const std::array<std::span<std::byte>, 2> into{first, second};
  CHECK(must(until_possible([&] { return server.receive_parts(into); })) == 6);
  CHECK(text(first) == "abcd");
  CHECK(text(std::span(second).first(2)) == "ef");
  CHECK(error_of(server.receive_parts(into)) == std::errc::operation_would_block);

  // More parts than a call takes: the first of them are sent.
  const std::vector many(100, bytes("x"));
  CHECK(must(client.send_parts(many)) == TcpStream::parts_max);
  must(client.shutdown(Shutdown::write));
  std::vector<std::byte> all(100);
  std::vector<std::span<std::byte>> single;
  for (std::byte& one : all) single.emplace_back(&one, 1);
  CHECK(must(until_possible([&] { return server.receive_parts(single); })) == TcpStream::parts_max);
  CHECK(must(until_possible([&] { return server.receive_parts(single); })) == 0);
  CHECK(error_of(client.send_parts(parts)) == std::errc::broken_pipe);
}

TEST_CASE("udp: batches") {
  const UdpSocket a = udp_socket();
  const UdpSocket b = udp_socket();
  const UdpSocket c = udp_socket();
  must(a.connect(must(b.local_address())));
  const std::array<UdpSocket::DatagramToSend, 3> out{
      {{.data = bytes("one"), .to = {}}, {.data = {}, .to = {}}, {.data = bytes("three"), .to = {}}}};
  CHECK(must(a.send_batch(out)) == 3);
  const std::array<UdpSocket::DatagramToSend, 1> other{{{.data = bytes("c"), .to = must(b.local_address())}}};
  CHECK(must(c.send_batch(other)) == 1);

  std::array<std::array<std::byte, 4>, 8> buffers{};
  std::array<UdpSocket::DatagramToFill, 8> in{};
  for (std::size_t i = 0; i < in.size(); i++) in[i].buffer = buffers[i];
  std::size_t count = 0;
  while (count < 4) count += must(until_possible([&] { return b.receive_batch(std::span(in).subspan(count)); }));
  REQUIRE(count == 4);
  const auto is = [&](const UdpSocket::DatagramToFill& datagram, std::string_view wanted, const UdpSocket& from) {
    CHECK(text(datagram.buffer.first(datagram.size)) == wanted);
    CHECK(datagram.is_cut == (wanted == "thre"));
    CHECK(datagram.from == must(from.local_address()));
  };
  is(in[0], "one", a);
  is(in[1], "", a);
  is(in[2], "thre", a);
  is(in[3], "c", c);
  CHECK(error_of(b.receive_batch(in)) == std::errc::operation_would_block);

  // No more datagrams than a call takes. One that cannot be sent ends the batch, and is the error of the next call.
  const std::vector<UdpSocket::DatagramToSend> many(100, {.data = bytes("x"), .to = must(b.local_address())});
  CHECK(must(c.send_batch(many)) == UdpSocket::batch_max);
  const std::vector<std::byte> huge(70000);
  const std::array<UdpSocket::DatagramToSend, 2> too_long{
      {{.data = bytes("x"), .to = must(b.local_address())}, {.data = huge, .to = must(b.local_address())}}};
  CHECK(must(c.send_batch(too_long)) == 1);
  CHECK(error_of(c.send_batch(std::span(too_long).subspan(1))) == std::errc::message_size);
  CHECK(must(c.send_batch({})) == 0);
}

TEST_CASE("udp: datagrams keep their size, also the empty one") {
  const UdpSocket a = udp_socket();
  const UdpSocket b = udp_socket();
  const Address to_b = must(b.local_address());
  CHECK(must(a.send_to(bytes("one"), to_b)) == 3);
  CHECK(must(a.send_to({}, to_b)) == 0);
  CHECK(must(a.send_to(bytes("two"), to_b)) == 3);
  for (const auto text : {"one", "", "two"}) {
    const auto [received, from] = receive_datagram(b);
    CHECK(received == text);
    CHECK(from == must(a.local_address()));
  }
}

TEST_CASE("udp: a datagram that does not fit is message_size, and is lost") {
  const UdpSocket a = udp_socket();
  const UdpSocket b = udp_socket();
  for (const auto text : {"12345", "1234", "end"}) must(a.send_to(bytes(text), must(b.local_address())));
  std::array<std::byte, 4> buffer{};
  CHECK(error_of(until_possible([&] { return b.receive_from(buffer); })) == std::errc::message_size);
  CHECK(must(until_possible([&] { return b.receive_from(buffer); })).size == 4);
  CHECK(receive_datagram(b).first == "end");
  CHECK(error_of(a.send_to(std::vector<std::byte>(70000), must(b.local_address()))) == std::errc::message_size);
}

TEST_CASE("udp: a connected socket receives from its peer only") {
  const UdpSocket a = udp_socket();
  const UdpSocket b = udp_socket();
  const UdpSocket stranger = udp_socket();
  CHECK(error_of(b.peer_address()) == std::errc::not_connected);
  must(b.connect(must(a.local_address())));
  CHECK(must(b.peer_address()) == must(a.local_address()));
  must(stranger.send_to(bytes("no"), must(b.local_address())));
  must(a.send_to(bytes("yes"), must(b.local_address())));
  CHECK(receive_datagram(b).first == "yes");
  CHECK(must(b.send(bytes("back"))) == 4);
  CHECK(receive_datagram(a).first == "back");
}

TEST_CASE("each call on a closed or moved-from socket is bad_file_descriptor") {
  const auto all_fail = [](const TcpStream& stream, const TcpListener& listener, const UdpSocket& udp) {
    std::array<std::byte, 8> buffer{};
    const Address to = Address::loopback_ipv4(1);
    CHECK_FALSE(stream.is_open());
    // NOLINTBEGIN(clang-analyzer-cplusplus.Move): this tests what a move leaves
    const std::array errors{error_of(stream.local_address()),
                            error_of(stream.peer_address()),
                            error_of(stream.take_error()),
                            error_of(stream.set_send_buffer(1)),
                            error_of(stream.set_receive_buffer(1)),
                            error_of(stream.set_abortive_close()),
                            error_of(stream.set_linger({})),
                            error_of(stream.set_keepalive(true)),
                            error_of(stream.set_keepalive(std::chrono::seconds(1), std::chrono::seconds(1))),
                            error_of(stream.set_urgent_inline(true)),
                            error_of(stream.send_parts({})),
                            error_of(stream.receive_parts({})),
                            error_of(listener.accept_from()),
                            error_of(udp.send_batch({})),
                            error_of(udp.receive_batch({})),
                            error_of(udp.shutdown(Shutdown::both)),
                            error_of(stream.set_no_delay(true)),
                            error_of(stream.receive(buffer)),
                            error_of(stream.send(buffer)),
                            error_of(stream.send_urgent(buffer[0])),
                            error_of(stream.shutdown(Shutdown::read)),
                            error_of(listener.accept()),
                            error_of(udp.connect({})),
                            error_of(udp.connect(to)),
                            error_of(udp.send_to(buffer, to)),
                            error_of(udp.send(buffer)),
                            error_of(udp.receive_from(buffer))};
    for (const std::error_code error : errors) {
      CHECK(error == std::errc::bad_file_descriptor);
    }
    // NOLINTEND(clang-analyzer-cplusplus.Move)
  };
  all_fail({}, {}, {});

  auto [listener, client, server] = connection();
  UdpSocket udp = udp_socket();
  TcpStream moved_stream = std::move(client);
  TcpListener moved_listener = std::move(listener);
  UdpSocket moved_udp = std::move(udp);
  all_fail(client, listener, udp);  // NOLINT(bugprone-use-after-move)
  moved_stream.close();
  moved_stream.close();  // has no effect the second time
  moved_listener.close();
  moved_udp.close();
  all_fail(moved_stream, moved_listener, moved_udp);
}

TEST_CASE("the empty address is address_family_not_supported") {
  constexpr auto error = std::errc::address_family_not_supported;
  const UdpSocket udp = udp_socket();
  CHECK(error_of(TcpStream::connect({})) == error);
  CHECK(error_of(TcpListener::bind({})) == error);
  CHECK(error_of(UdpSocket::bind({})) == error);
  CHECK(error_of(udp.connect({})) == error);
  CHECK(error_of(udp.send_to({}, {})) == error);
}

TEST_CASE("a socket is closed by its last owner, not by one that released it") {
  auto [listener, client, server] = connection();
  TcpStream owner = std::move(client);
  TcpStream* const alias = &owner;
  owner = std::move(*alias);
  REQUIRE(owner.is_open());

  const NativeSocket native = owner.release();
  CHECK_FALSE(owner.is_open());
  owner.close();
  {
    const TcpStream adopted(native);
    CHECK(adopted.native() == native);
    CHECK(must(adopted.send(bytes("x"))) == 1);
  }
  CHECK(receive_all(server) == "x");  // and the end of the stream: its new owner closed it

  auto [other_listener, other_client, other_server] = connection();
  other_client = TcpStream{};
  CHECK(receive_all(other_server).empty());
}

namespace {

/// A path for a Unix socket; its file is deleted at the end.
class SocketPath {
 public:
  explicit SocketPath(const char* end)
      : path_(std::filesystem::temp_directory_path() /
              ("reactor_socket_test." + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) +
               end)) {}
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;
  ~SocketPath() {
#ifdef _WIN32
    ::DeleteFileW(path_.c_str());  // std::filesystem asks for the kind of file first, which fails there
#else
    std::filesystem::remove(path_);
#endif
  }

  [[nodiscard]] Address address() const {
    const auto utf8 = path_.u8string();  // which Windows expects, whatever the code page
    return must(Address::unix_path({reinterpret_cast<const char*>(utf8.data()), utf8.size()}));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("unix: stream sockets connect, send and receive") {
  const SocketPath path(".listener"), client_path(".client");
  const Address at = path.address();
  const auto listener = TcpListener::bind(at);
  if (error_of(listener) == std::errc::address_family_not_supported) {
    CHECK(is_windows);
    CHECK(listener.error().message() ==
          "this system has no Unix sockets (AF_UNIX): Windows has them since Windows 10 1803");
    MESSAGE("no Unix sockets here: the error was checked, and nothing else");
    return;
  }
  REQUIRE(listener.has_value());
  CHECK(must(listener->local_address()) == at);
  CHECK_FALSE(is_inheritable(*listener));
  const TcpStream client = must(TcpStream::connect(at));
  const TcpStream server = must(until_possible([&] { return listener->accept(); }));
  CHECK(must(client.peer_address()) == at);
  const Address nameless = must(server.peer_address());
  CHECK((nameless.text() == "unix:" || (is_windows && nameless == Address())));
  CHECK(must(client.send(bytes("hello"))) == 5);
  must(client.shutdown(Shutdown::write));
  CHECK(receive_all(server) == "hello");
  CHECK(error_of(TcpListener::bind(at)) == std::errc::address_in_use);

  const Address from = client_path.address();
  const TcpStream named = must(TcpStream::connect(at, from));
  CHECK(must(until_possible([&] { return listener->accept_from(); })).peer == from);
}

TEST_CASE("unix: datagrams, or an error that says what is missing") {
  const SocketPath path(".datagrams"), peer_path(".peer");
  const auto ours = UdpSocket::bind(path.address());
  if (is_windows) {
    CHECK(error_of(ours) == std::errc::address_family_not_supported);
    CHECK(ours.error().message() == "this system has Unix sockets (AF_UNIX) for streams at most, not for datagrams");
    return;
  }
  const UdpSocket peer = must(UdpSocket::bind(peer_path.address()));
  CHECK(must(peer.send_to(bytes("x"), path.address())) == 1);
  std::array<std::byte, 4> buffer{};
  CHECK(must(ours->receive_from(buffer)).from == peer_path.address());
}

#ifndef _WIN32
TEST_CASE("udp: a datagram of a Unix socket without a name has an empty address") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const UdpSocket ours(pair[0]);
  const UdpSocket peer(pair[1]);
  CHECK(must(peer.send(bytes("x"))) == 1);
  std::array<std::byte, 4> buffer{};
  const auto received = must(ours.receive_from(buffer));
  CHECK(received.size == 1);
  CHECK(received.from.family() == Address::Family::none);
}
#endif
