// SPDX-License-Identifier: MIT
#include "socket_support.hpp"

namespace {

using namespace loop_test;

Task<> echo(On<TcpStream> stream) {
  std::array<std::byte, 4096> buffer;  // NOLINT(*-member-init): receive fills it
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) co_return;
    if (const auto sent = co_await stream.send(std::span(buffer).first(*size)); !sent) co_return;
  }
}

TEST_CASE("echo: accept, connect, send, receive_exactly, and the peer's end") {
  run([]() -> Task<> {
    auto listener = listen();
    const auto at = must(listener.socket().local_address());
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      auto accepted = must(co_await listener.accept());
      CHECK(accepted.peer.family() == Address::Family::ipv4);
      co_await echo(std::move(accepted.stream));
    });
    auto client = must(co_await connect(at));
    for (int i = 0; i != 100; ++i) {
      must(co_await client.send("hello"));
      std::array<std::byte, 5> answer{};
      must(co_await client.receive_exactly(answer));
      CHECK(text(answer) == "hello");
    }
    must(client.shutdown(Shutdown::write));
    std::array<std::byte, 5> nothing{};
    CHECK(must(co_await client.receive(nothing)) == 0);
    CHECK(error_of(co_await client.receive_exactly(nothing)) == errc::connection_aborted);
    must(co_await group.join());
  });
}

TEST_CASE("send sends all of it, however slow the peer reads") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    const std::string much(4 << 20, 'x');
    std::size_t received = 0;
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      std::array<std::byte, 50'000> buffer;  // NOLINT(*-member-init)
      for (;;) {
        const std::size_t size = must(co_await other.receive(buffer));
        if (size == 0) break;
        received += size;
        static_cast<void>(co_await yield());
      }
    });
    must(co_await one.send(much));
    must(one.shutdown(Shutdown::write));
    must(co_await group.join());
    CHECK(received == much.size());
  });
}

TEST_CASE("send_some sends what fits, and waits when nothing does") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    const std::string much(1 << 20, 'x');
    std::size_t sent = 0;
    for (;;) {
      const auto size = co_await with_timeout(50ms, one.send_some(bytes(much)));
      if (!size) break;
      sent += *size;
    }
    CHECK(sent > 0);
    std::string buffer(sent, ' ');
    must(co_await other.receive_exactly(std::as_writable_bytes(std::span(buffer))));
    CHECK(must(co_await one.send_some(bytes("y"))) == 1);
  });
}

TEST_CASE("connect: refused, and given up") {
  run([]() -> Task<> {
    Address at;
    {
      const auto listener = listen();
      at = must(listener.socket().local_address());
    }
    CHECK(error_of(co_await with_timeout(10s, connect(at))) == errc::connection_refused);
  });
}

TEST_CASE("the peer's reset ends receive and send") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      std::array<std::byte, 5> buffer{};
      auto received = co_await one.receive(buffer);
#ifdef _WIN32
      for (int i = 0; i != 10 && received && *received == 0; ++i) received = co_await one.receive(buffer);  // Wine
#endif
      CHECK(error_of(received) == errc::connection_reset);
    });
    static_cast<void>(co_await sleep_for(1ms));
    must(other.socket().set_abortive_close());
    other.close();
    must(co_await group.join());
    const std::string much(1 << 20, 'x');
    CHECK_FALSE(co_await one.send(much));
  });
}

TEST_CASE("cancelled: before, during and after receive, and nothing is lost") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    std::array<std::byte, 5> buffer{};
    // During.
    CHECK(error_of(co_await with_timeout(1ms, one.receive(buffer))) == errc::timed_out);
    must(co_await other.send("abc"));
    CHECK(must(co_await with_timeout(10s, one.receive(buffer))) == 3);
    CHECK(text(std::span(buffer).first(3)) == "abc");
    // Before: what is there stays there.
    must(co_await other.send("def"));
    TaskGroup group(co_await this_task());
    group.stop();
    group.spawn([&]() -> Task<> {
      CHECK(error_of(co_await one.receive(buffer)) == errc::operation_canceled);
      CHECK(error_of(co_await one.send("x")) == errc::operation_canceled);
    });
    must(co_await group.join());
    CHECK(must(co_await one.receive(buffer)) == 3);
    CHECK(text(std::span(buffer).first(3)) == "def");
    // After it has completed, in the same turn.
    TaskGroup late(co_await this_task());
    std::size_t size = 0;
    late.spawn([&]() -> Task<> { size = must(co_await one.receive(buffer)); });
    static_cast<void>(co_await yield());
    must(co_await other.send("ghi"));
    while (size == 0) must(co_await sleep_for(1ms));
    late.stop();
    must(co_await late.join());
    CHECK(size == 3);
  });
}

TEST_CASE("a socket that is closed ends the operations that wait for it") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    auto listener = listen();
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      std::array<std::byte, 5> buffer{};
      CHECK(error_of(co_await one.receive(buffer)) == errc::operation_canceled);
    });
    group.spawn([&]() -> Task<> { CHECK(error_of(co_await listener.accept()) == errc::operation_canceled); });
    static_cast<void>(co_await sleep_for(1ms));
    one.close();
    listener.close();
    must(co_await group.join());
  });
}

TEST_CASE("a task that waits for a socket may be destroyed, and the socket used on") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    std::array<std::byte, 5> buffer{};
    {
      TaskGroup group(co_await this_task());
      group.spawn([&]() -> Task<> { must(co_await one.receive(buffer)); });
      static_cast<void>(co_await sleep_for(1ms));
    }
    must(co_await other.send("abc"));
    CHECK(must(co_await one.receive(buffer)) == 3);
  });
}

TEST_CASE("datagrams") {
  run([]() -> Task<> {
    On<UdpSocket> one(must(UdpSocket::bind(Address::loopback_ipv4())));
    On<UdpSocket> other(must(UdpSocket::bind(Address::loopback_ipv4())));
    std::array<std::byte, 100> buffer{};
    CHECK(error_of(co_await with_timeout(1ms, one.receive_from(buffer))) == errc::timed_out);
    must(co_await other.send_to(bytes("ping"), must(one.socket().local_address())));
    const auto datagram = must(co_await one.receive_from(buffer));
    CHECK(text(std::span(buffer).first(datagram.size)) == "ping");
    CHECK(datagram.from == must(other.socket().local_address()));
  });
}

TEST_CASE("a reader: lines, up to a delimiter, sizes, limits and the end") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    BufferedReader reader(one, 100);
    must(co_await other.send("first\r\nsecond\n\nGET /\r\nHost: x\r\n\r\n12345rest"));
    CHECK(must(co_await reader.read_line()) == "first");
    CHECK(must(co_await reader.read_line()) == "second");
    CHECK(must(co_await reader.read_line()).empty());
    CHECK(must(co_await reader.read_until("\r\n\r\n")) == "GET /\r\nHost: x\r\n\r\n");
    CHECK(text(must(co_await reader.read_exactly(5))) == "12345");
    CHECK(text(must(co_await reader.read_some(2))) == "re");
    CHECK(text(must(co_await reader.read_some(200))) == "st");
    CHECK(error_of(co_await reader.read_exactly(101)) == errc::message_size);

    // A delimiter that comes in pieces; a cancelled read loses nothing.
    must(co_await other.send("ab\r"));
    CHECK(error_of(co_await with_timeout(5ms, reader.read_until("\r\n\r\n"))) == errc::timed_out);
    must(co_await other.send("\n\r"));
    CHECK(error_of(co_await with_timeout(5ms, reader.read_until("\r\n\r\n"))) == errc::timed_out);
    must(co_await other.send("\nc"));
    CHECK(must(co_await reader.read_until("\r\n\r\n")) == "ab\r\n\r\n");
    must(co_await other.send(std::string(98, 'd') + "\n"));
    CHECK(must(co_await reader.read_line()).size() == 99);
    must(co_await other.send(std::string(100, 'e') + "\n"));
    CHECK(error_of(co_await reader.read_line()) == errc::message_size);
    CHECK(must(co_await reader.read_exactly(100)).size() == 100);
    CHECK(must(co_await reader.read_line()).empty());

    must(co_await other.send("cut"));
    other.close();
    CHECK(error_of(co_await reader.read_line()) == errc::connection_aborted);
    CHECK(text(must(co_await reader.read_some(10))) == "cut");
    CHECK(error_of(co_await reader.read_line()) == errc::no_message);
  });
}

TEST_CASE("a reader takes what is longer than its first buffer") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    BufferedReader reader(one, 1 << 20);
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      for (int i = 0; i != 3; ++i) must(co_await other.send(std::string(300'000, 'x') + "\n"));
    });
    for (int i = 0; i != 3; ++i) CHECK(must(co_await reader.read_line()).size() == 300'000);
    must(co_await group.join());
  });
}

TEST_CASE("a task whose operations all complete at once lets others run") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    bool others_run = false;
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> {
      others_run = true;
      co_return;
    });
    int sends = 0;
    for (; !others_run && sends != 1000; ++sends) must(co_await one.send("x"));
    CHECK(sends < 100);
    must(co_await group.join());
  });
}

TEST_CASE("in a steady state a connection allocates nothing") {
  run([]() -> Task<> {
    auto [one, other] = co_await pair();
    TaskGroup group(co_await this_task());
    group.spawn(echo(std::move(other)));
    BufferedReader reader(one);
    std::size_t before = 0;
    for (int i = 0; i != 200; ++i) {
      if (i == 100) before = allocations();
      must(co_await one.send("hello\n"));
      CHECK((must(co_await with_timeout(10s, reader.read_line())) == "hello"));
    }
    if (keeps_frames) CHECK(allocations() == before);
    must(one.shutdown(Shutdown::write));
    must(co_await group.join());
  });
}

}  // namespace
