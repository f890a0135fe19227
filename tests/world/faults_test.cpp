// SPDX-License-Identifier: MIT
// What goes wrong on a network, and what the programs notice of it.
#include "support.hpp"

using namespace world_test;

namespace {

/// A client and an echo server, connected; then `client` goes on.
void with_connection(sim::World& world, const std::function<void(Waits&, const TcpStream&)>& client) {
  auto& server = world.host("server", "10.0.0.1");
  server.serve([] { echo_server(Address::any_ipv4(7)); });
  world.host("client", "10.0.0.2").run([&server, client] {
    Waits waits;
    const auto [stream, why] = connected(waits, server.address(7));
    REQUIRE_FALSE(why);
    send_all(waits, stream, bytes_of("1"));
    REQUIRE(receive_some(waits, stream, 1) == "1");
    client(waits, stream);
  });
  world.run_until_idle();
}

std::error_code error_of_receive(const TcpStream& stream) {
  std::array<std::byte, 16> buffer;
  const auto received = stream.receive(buffer);
  return received ? std::error_code() : received.error();
}

}  // namespace

TEST_CASE("on Windows events are reported late if that is asked for") {
  for (const auto late : {0ms, 30ms}) {
    sim::WorldOptions options = by(sim::Rules::of_windows);
    options.completion = {late, late};
    options.link.latency = {1ms, 1ms};
    sim::World world(1, options);
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      send_all(waits, stream, bytes_of("2"));
      const auto begin = Clock::now();
      CHECK(receive_some(waits, stream, 1) == "2");
      CHECK(Clock::now() - begin == 2ms + 2 * late);  // the server's and the client's own
    });
  }
}

TEST_CASE("a connect is refused, or never answered") {
  for (const auto rules : both_rules) {
    sim::World world(1, by(rules));
    auto& server = world.host("server", "10.0.0.1");
    world.host("client").run([&] {
      Waits waits;
      CHECK(connected(waits, server.address(1)).second == std::errc::connection_refused);
      const auto begin = Clock::now();
      // On Windows a time-out is no refusal that SO_ERROR has another word for.
      CHECK(connected(waits, must(Address::parse("10.9.9.9:80"))).second == std::errc::timed_out);
      CHECK(Clock::now() - begin == (rules == sim::Rules::of_linux ? 127s : 21s));
    });
    world.run_until_idle();
  }
}

TEST_CASE("a partition delays what is sent until it is healed") {
  for (const auto rules : both_rules) {
    sim::World world(2, by(rules));
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      world.partition(world.find("client"), world.find("server"));
      world.after(5s, [&] { world.heal_all(); });
      send_all(waits, stream, bytes_of("2"));
      const auto begin = Clock::now();
      CHECK(receive_some(waits, stream, 1) == "2");
      CHECK(Clock::now() - begin > 5s);
      CHECK(Clock::now() - begin < 15s);
    });
  }
}

TEST_CASE("a partition in one direction lets the request through and not the answer") {
  sim::World world(2);
  with_connection(world, [&](Waits& waits, const TcpStream& stream) {
    world.partition_one_way(world.find("server"), world.find("client"));
    send_all(waits, stream, bytes_of("2"));
    CHECK_FALSE(waits.until(stream, Interest::readable, 10s));
    world.heal(world.find("server"), world.find("client"));
    CHECK(receive_some(waits, stream, 1) == "2");
  });
}

TEST_CASE("what arrives and is not acknowledged fills the sender's buffer, and is given up") {
  for (const auto rules : both_rules) {
    sim::World world(2, by(rules));
    sim::HostOptions small;
    small.send_buffer_bytes = 1000;
    auto& server = world.host("server", "10.0.0.1");
    std::string got;
    server.run([&] {
      Waits waits;
      const auto listener = must(TcpListener::bind(Address::any_ipv4(7)));
      waits.until(listener, Interest::readable);
      const auto accepted = must(listener.accept());
      got = receive_some(waits, accepted, 1000);
    });
    auto& client = world.host("client", "10.0.0.2", small);
    client.run([&] {
      Waits waits;
      const auto [stream, why] = connected(waits, server.address(7));
      world.partition_one_way(server, client);
      const std::string much(1500, 'x');
      CHECK(must(stream.send(bytes_of(much))) == 1000);
      waits.pass(1s);
      CHECK(got.size() == 1000);
      const auto more = stream.send(bytes_of(much));
      REQUIRE_FALSE(more.has_value());
      CHECK(more.error() == std::errc::operation_would_block);
      const auto begin = Clock::now();
      CHECK(waits.until(stream, Interest::readable));
      CHECK(error_of_receive(stream) == std::errc::timed_out);
      CHECK((Clock::now() - begin > 1min) == (rules == sim::Rules::of_linux));
    });
    world.run_until_idle();
  }
}

TEST_CASE("a connection over a partition that lasts is given up") {
  for (const auto rules : both_rules) {
    sim::World world(2, by(rules));
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      world.partition(world.find("client"), world.find("server"));
      send_all(waits, stream, bytes_of("2"));
      CHECK(waits.until(stream, Interest::readable, 1h));
      CHECK(error_of_receive(stream) == std::errc::timed_out);
      CHECK(world.elapsed() > (rules == sim::Rules::of_linux ? 10min : 5s));
      CHECK(world.elapsed() < (rules == sim::Rules::of_linux ? 30min : 60s));
    });
  }
}

TEST_CASE("after a power cut no packet comes, and after the restart a reset") {
  for (const auto rules : both_rules) {
    sim::World world(3, by(rules));
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      world.find("server").crash(sim::Crash::power_cut);
      CHECK_FALSE(world.find("server").is_up());
      CHECK_FALSE(waits.until(stream, Interest::readable, 1h));
      world.find("server").restart();
      CHECK_FALSE(waits.until(stream, Interest::readable, 1h));
      send_all(waits, stream, bytes_of("2"));
      CHECK(waits.until(stream, Interest::readable, 1s));
      CHECK(error_of_receive(stream) == std::errc::connection_reset);
      // Its programs have begun again.
      const auto [again, why] = connected(waits, world.find("server").address(7));
      CHECK_FALSE(why);
      send_all(waits, again, bytes_of("3"));
      CHECK(receive_some(waits, again, 1) == "3");
    });
  }
}

TEST_CASE("keepalive finds a peer that has lost its power") {
  for (const auto rules : both_rules) {
    sim::World world(3, by(rules));
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      must(stream.set_keepalive(10s, 5s));
      waits.pass(1h);
      CHECK(error_of_receive(stream) == std::errc::operation_would_block);
      world.find("server").crash();
      const auto begin = Clock::now();
      CHECK(waits.until(stream, Interest::readable, 1h));
      CHECK(error_of_receive(stream) == std::errc::timed_out);
      CHECK(Clock::now() - begin < 2min);
    });
  }
}

TEST_CASE("a process that is killed resets its connections") {
  for (const auto rules : both_rules) {
    sim::World world(4, by(rules));
    with_connection(world, [&](Waits& waits, const TcpStream& stream) {
      world.find("server").crash(sim::Crash::process_kill);
      CHECK(waits.until(stream, Interest::readable, 1s));
      CHECK(error_of_receive(stream) == std::errc::connection_reset);
      CHECK(connected(waits, world.find("server").address(7)).second == std::errc::connection_refused);
    });
    CHECK(world.find("server").open_descriptors() == 0);
  }
}

TEST_CASE("a host that pauses buffers what comes") {
  sim::World world(4);
  with_connection(world, [&](Waits& waits, const TcpStream& stream) {
    world.find("server").pause(30s);
    send_all(waits, stream, bytes_of("2"));
    const auto begin = Clock::now();
    CHECK(receive_some(waits, stream, 1) == "2");
    CHECK(Clock::now() - begin >= 29s);
  });
}

TEST_CASE("flow control: a reader that does not read stops the sender, and then gets every byte") {
  for (const auto rules : both_rules) {
    sim::World world(5, by(rules));
    std::size_t received = 0, sent = 0;
    auto& server = world.host("server", "10.0.0.1");
    server.run([&] {
      Waits waits;
      const TcpListener listener = must(TcpListener::bind(Address::any_ipv4(7)));
      waits.until(listener, Interest::readable);
      const TcpStream stream = must(listener.accept());
      waits.pass(1min);
      received = receive_some(waits, stream, 10'000'000).size();
    });
    world.host("client").run([&] {
      Waits waits;
      TcpStream stream = connected(waits, server.address(7)).first;
      const std::string text(1000, 'x');
      do {
        while (const auto one = stream.send(bytes_of(text))) sent += *one;
      } while (waits.until(stream, Interest::writable, 30s));
      CHECK(sent == 2 * 65536);
    });
    world.run_until_idle();
    CHECK(received == sent);
  }
}

TEST_CASE("bandwidth and loss of TCP are time, and no byte is lost") {
  for (const int lost : {0, 100}) {
    sim::WorldOptions options;
    options.link.bytes_per_second = 1'000'000;
    options.link.lost = lost;
    options.faults.short_reads = options.faults.short_writes = 200;
    sim::World world(6, options);
    std::string received, text;
    for (int i = 0; i < 1'000'000; i++) text += static_cast<char>('a' + i % 23);
    auto& server = world.host("server", "10.0.0.1");
    server.run([&] {
      Waits waits;
      const TcpListener listener = must(TcpListener::bind(Address::any_ipv4(7)));
      waits.until(listener, Interest::readable);
      received = receive_some(waits, must(listener.accept()), 2'000'000);
    });
    world.host("client").run([&] {
      Waits waits;
      const TcpStream stream = connected(waits, server.address(7)).first;
      send_all(waits, stream, bytes_of(text));
    });
    world.run_until_idle();
    CHECK(received == text);
    CHECK(world.elapsed() >= 1s);
    CHECK((world.elapsed() < 2s) == (lost == 0));
  }
}

TEST_CASE("datagrams are lost, repeated and reordered") {
  sim::WorldOptions options;
  options.link.lost = 100;
  options.link.repeated = 100;
  options.link.reordered = 100;
  sim::World world(7, options);
  std::vector<int> got;
  auto& server = world.host("server", "10.0.0.1");
  server.serve([&] {
    Waits waits;
    const UdpSocket socket = must(UdpSocket::bind(Address::any_ipv4(7)));
    for (;;) {
      waits.until(socket, Interest::readable);
      int value = 0;
      while (socket.receive_from(std::as_writable_bytes(std::span(&value, 1)))) got.push_back(value);
    }
  });
  world.host("client").run([&] {
    Waits waits;
    const UdpSocket socket = must(UdpSocket::bind(Address::any_ipv4(0)));
    for (int i = 0; i < 1000; i++) {
      static_cast<void>(must(socket.send_to(std::as_bytes(std::span(&i, 1)), server.address(7))));
      waits.pass(1ms);
    }
  });
  world.run_until_idle();
  std::map<int, int> times;
  for (const int value : got) times[value]++;
  const auto repeated = std::ranges::count_if(times, [](const auto& one) { return one.second == 2; });
  CHECK(times.size() > 850);
  CHECK(times.size() < 950);
  CHECK(repeated > 50);
  CHECK(repeated < 150);
  CHECK_FALSE(std::ranges::is_sorted(got));
}

TEST_CASE("Unix sockets of one host") {
  for (const auto rules : both_rules) {
    sim::World world(8, by(rules));
    const Address path = must(Address::unix_path("/run/x.sock"));
    auto& host = world.host("a");
    host.serve([&] { echo_server(path); });
    std::string got;
    host.run([&] {
      Waits waits;
      waits.pass(1s);
      const auto [stream, why] = connected(waits, path);
      CHECK_FALSE(why);
      CHECK(must(stream.peer_address()) == path);
      send_all(waits, stream, bytes_of("local"));
      got = receive_some(waits, stream, 5);
    });
    world.host("b").run([&] {
      const auto missing = TcpStream::connect(path);
      const bool is_linux = rules == sim::Rules::of_linux;
      CHECK(missing.error() == (is_linux ? std::errc::no_such_file_or_directory : std::errc::network_down));
      const auto datagrams = UdpSocket::bind(path);
      CHECK(datagrams.error() == std::errc::address_family_not_supported);
      CHECK(datagrams.error().message().contains("not for datagrams"));
    });
    world.run_until_idle();
    CHECK(got == "local");
  }
}

TEST_CASE("descriptors run out") {
  for (const auto rules : both_rules) {
    sim::World world(9, by(rules));
    sim::HostOptions small;
    small.descriptors_max = 3;
    auto& host = world.host("small", {}, small);
    host.run([&] {
      std::vector<UdpSocket> sockets;
      for (;;) {
        auto socket = UdpSocket::bind(Address::any_ipv4(0));
        if (!socket) CHECK(socket.error() == std::errc::too_many_files_open);
        if (!socket) break;
        sockets.push_back(std::move(*socket));
      }
      CHECK(sockets.size() == 3);
      CHECK(host.open_descriptors() == 3);
    });
    world.run_until_idle();
    CHECK(host.open_descriptors() == 0);
  }
}

TEST_CASE("faults by themselves: crashes, partitions and pauses, the same for the same seed") {
  const auto run = [](std::uint64_t seed) {
    sim::WorldOptions options;
    options.faults.crashes = options.faults.partitions = options.faults.pauses = 60;
    options.faults.refused_memory = options.faults.refused_descriptors = 10;
    options.records_trace = true;
    sim::World world(seed, options);
    auto& server = world.host("server", "10.0.0.1");
    server.serve([] { echo_server(Address::any_ipv4(7)); });
    int answers = 0;
    world.host("client").serve([&] {
      Waits waits;
      for (;;) {
        waits.pass(1s);
        const auto stream = TcpStream::connect(server.address(7));
        if (!stream || !waits.until(*stream, Interest::writable, 2s) || !stream->send(bytes_of("x"))) continue;
        if (waits.until(*stream, Interest::readable, 2s)) answers++;
      }
    });
    try {
      world.run_for(1h);
    } catch (const std::runtime_error&) {
      // the echo server takes a refusal for a reason to end
    }
    CHECK(world.trace_text().find("CRASH") != std::string::npos);
    CHECK(answers > 0);
    return world.trace_hash();
  };
  CHECK(run(1) == run(1));
}
