// SPDX-License-Identifier: MIT
// Every operation on a simulated network, cut short in every way and at random times: before it begins, by a time-out,
// by the stop of its group, by a close, by the peer's reset, and not at all. Each seed is a random tree of tasks on a
// client, and a server that is cut short as well. What must hold whatever is cut: nothing is lost that the operation's
// description does not give up, nothing comes twice, no time-out is early, every task ends before its parent, and
// nothing is left. A seed that fails is played again by `loop_sim_test --seeds FIRST COUNT`.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <reactor/loop/handles.hpp>
#include <reactor/loop/names.hpp>
#include <reactor/loop/reader.hpp>

#include "sim_support.hpp"

namespace {

using namespace loop_sim_test;

bool is_end_by_reset(std::error_code error) {
  const bool is = error == errc::connection_reset || error == errc::broken_pipe || error == errc::connection_aborted;
  if (is) ++totals.reset;
  return is;
}

// Whether the connection is of use after such an error: those that lose nothing leave it as it was.
bool goes_on(const Connection& connection, std::error_code error, bool loses_nothing) {
  if (error == errc::operation_canceled || error == errc::timed_out) return loses_nothing;
  require(is_end_by_reset(error) || error == errc::no_message, "an operation failed with something else");
  require(connection.server_has_ended, "a connection failed that had not ended");
  return false;
}

void got(Connection& connection, std::span<const std::byte> bytes) {
  require(is_pattern(bytes, connection.client_got), "bytes were lost, came twice, or are other ones");
  connection.client_got += bytes.size();
  require(connection.client_got <= connection.server_sent, "more came than was sent");
}

Task<bool> receives(Test& test, On<TcpStream>& stream, Connection& connection) {
  std::array<std::byte, 64> buffer{};
  const std::span into = std::span(buffer).first(static_cast<std::size_t>(1 + test.below(64)));
  if (test.below(3) == 0) {
    const auto start = [&] { return stream.receive_exactly(into); };
    const auto done = co_await cut(test, start);
    if (done) got(connection, into);
    co_return done || goes_on(connection, done.error(), false);
  }
  const auto start = [&] { return stream.receive(into); };
  const auto size = co_await cut(test, start);
  if (!size) co_return goes_on(connection, size.error(), true);
  if (*size == 0) {
    require(connection.server_has_ended && connection.client_got == connection.server_sent, "the end came early");
    co_return false;
  }
  got(connection, into.first(*size));
  co_return true;
}

Task<bool> reads(Test& test, BufferedReader& reader, Connection& connection) {
  const auto size = static_cast<std::size_t>(1 + test.below(40));
  Result<std::span<const std::byte>> bytes;
  if (const int which = test.below(4); which < 2) {
    const auto line = [&] { return reader.read_line(); };
    const auto until = [&] { return reader.read_until("\n"); };
    Result<std::string_view> text;
    if (which == 0) {
      text = co_await cut(test, line);
      if (text) text = std::string_view(text->data(), text->size() + 1);  // the line's end lies behind it
    } else {
      text = co_await cut(test, until);
    }
    if (text) require(text->ends_with('\n') && text->find('\n') == text->size() - 1, "no line");
    if (text) bytes = std::as_bytes(std::span(*text));
    if (!text) bytes = failure(text.error());
  } else if (which == 2) {
    const auto exactly = [&] { return reader.read_exactly(size); };
    bytes = co_await cut(test, exactly);
    if (bytes) require(bytes->size() == size, "another size than asked for");
  } else {
    const auto some = [&] { return reader.read_some(size); };
    bytes = co_await cut(test, some);
    if (bytes) require(!bytes->empty() && bytes->size() <= size, "another size than asked for");
  }
  if (!bytes) co_return goes_on(connection, bytes.error(), true);
  got(connection, *bytes);
  co_return true;
}

Task<bool> sends(Test& test, On<TcpStream>& stream, Connection& connection) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(1 + test.below(test.below(4) == 0 ? 3000 : 60)));
  for (std::size_t i = 0; i != bytes.size(); ++i) bytes[i] = pattern(connection.client_sent_min + i);
  if (test.below(2) == 0) {
    connection.client_sent_max += bytes.size();
    const auto start = [&] { return stream.send(bytes); };
    const auto sent = co_await cut(test, start);
    if (sent) connection.client_sent_min += bytes.size();
    co_return sent || goes_on(connection, sent.error(), false);
  }
  connection.client_sent_max += bytes.size();  // the server may be faster than the result
  const auto start = [&] { return stream.send_some(bytes); };
  const auto size = co_await cut(test, start);
  connection.client_sent_max = connection.client_sent_min + size.value_or(0);
  if (!size) co_return goes_on(connection, size.error(), true);
  require(*size != 0 && *size <= bytes.size(), "sent nothing, or more than there is");
  connection.client_sent_min += *size;
  require(connection.server_got <= connection.client_sent_max, "more was sent than the operation has");
  co_return true;
}

Task<> talk(Test& test, On<TcpStream> stream) {
  Connection& connection = test.connections[must(stream.socket().local_address()).port()];
  BufferedReader reader(stream, 4096);
  const bool by_reader = test.below(2) == 0;
  bool is_usable = true;
  for (int left = test.below(8); left >= 0 && is_usable; --left) {
    if (test.below(3) == 0) {
      is_usable = co_await sends(test, stream, connection);
    } else if (by_reader) {
      is_usable = co_await reads(test, reader, connection);
    } else {
      is_usable = co_await receives(test, stream, connection);
    }
  }
}

Task<> connects(Test& test) {
  std::optional<Result<On<TcpStream>>> made;
  if (test.below(4) == 0) {
    std::vector<Address> addresses{test.refuses, test.server};
    auto came = co_await with_timeout(test.some_time(), connect_any(addresses, 1ms));
    made.emplace(std::move(came));
  } else {
    const auto start = [&] { return connect(test.server); };
    auto came = co_await cut(test, start);
    made.emplace(std::move(came));
  }
  if (*made) {
    ++test.connected;
    co_await talk(test, std::move(**made));
  }
}

Task<> datagrams(Test& test) {
  On<UdpSocket> one(must(UdpSocket::bind(Address::any(0))));
  On<UdpSocket> other(must(UdpSocket::bind(Address::any(0))));
  Address to = Address::loopback_ipv4(must(other.socket().local_address()).port());
  std::array<std::byte, 8> buffer{};
  std::size_t sent = 0;
  std::size_t received = 0;
  for (int left = test.below(5); left >= 0; --left) {
    const auto send = [&] { return one.send_to(std::span(buffer).first(1), to); };
    const auto was_sent = co_await cut(test, send);
    if (was_sent) ++sent;
    const auto receive = [&] { return other.receive_from(buffer); };
    const auto came = co_await cut(test, receive);
    if (came) ++received;
    require(received <= sent, "a datagram came twice, or one that was cancelled");
    if (!came && came.error() != errc::timed_out) require(came.error() == errc::operation_canceled, "receive_from");
    if (sent != received && left == 0) {
      // What a cancelled receive_from has left is still there.
      for (; received != sent; ++received) {
        const auto late = co_await with_timeout(1s, other.receive_from(buffer));
        if (!late && late.error() == errc::operation_canceled) co_return;
        require(late.has_value(), "a cancelled receive_from has lost a datagram");
      }
    }
  }
}

Task<> sets(Test& test, sim::Signal& signal, bool& is_set) {
  static_cast<void>(co_await sleep_for(test.some_time()));
  is_set = true;
  signal.set();
}

Task<> signals(Test& test) {
  sim::Signal signal(*test.client);
  HandleWatch watch(signal.native());
  bool is_set = false;
  for (int left = test.below(4); left >= 0; --left) {
    TaskGroup setting(co_await this_task());
    setting.spawn(sets(test, signal, is_set));
    const auto start = [&] { return watch.signalled(); };
    auto done = co_await cut(test, start);
    require(!done || is_set, "signalled, and nothing has set it");
    static_cast<void>(co_await setting.join());
    if (!done) {
      require(done.error() == errc::operation_canceled || done.error() == errc::timed_out, "signalled");
      done = co_await with_timeout(1s, watch.signalled());
      if (!done && done.error() == errc::operation_canceled) co_return;  // this task was stopped
      require(done.has_value(), "a cancelled signalled() has lost a signal");
    }
    if (test.below(2) == 0) continue;  // it stays set: the next one completes too
    signal.clear();
    is_set = false;
  }
  require(!watch.withdraw() || is_set, "a signal was withdrawn that had been returned");
  const auto late = co_await watch.signalled();
  const bool is_gone = !late && (late.error() == errc::bad_file_descriptor || late.error() == errc::operation_canceled);
  require(is_gone, "signalled() of what was withdrawn");
}

Task<> node(Test& test, int& siblings, int depth) {
  const Guard guard(siblings);
  switch (depth > 2 ? test.below(5) : test.below(8)) {
    case 0:
    case 1:
    case 2: co_await connects(test); break;
    case 3: co_await datagrams(test); break;
    case 4: co_await signals(test); break;
    case 5: {
      int children = 0;
      const auto limit = test.some_time();
      const auto begin = Clock::now();
      const auto done = co_await with_timeout(limit, node(test, children, depth + 1));
      require(children == 0, "a task outlived its time-out");
      const ThisTask self = co_await this_task();
      if (!done) require(Clock::now() - begin >= limit || self.is_stopped(), "a time-out came early");
      break;
    }
    default: {
      int children = 0;
      {
        TaskGroup group(co_await this_task(), OnFailure::keep_going);
        for (int i = test.below(3); i >= 0; --i) group.spawn(node(test, children, depth + 1));
        if (test.below(4) == 0) {
          static_cast<void>(co_await sleep_for(test.some_time()));
          group.stop();
        }
        if (test.below(8) != 0) {  // else they are destroyed where they stand
          static_cast<void>(co_await group.join());
          require(children == 0, "a task outlived the join of its group");
        }
      }
      require(children == 0, "a task outlived its group");
    }
  }
}

// The server's half of a connection.
Task<> server_sends(Test& test, On<TcpStream>& stream, Connection& connection) {
  while (connection.server_sent < connection.server_sends) {
    const auto size =
        std::min(connection.server_sends - connection.server_sent, static_cast<std::size_t>(1 + test.below(30)));
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i != size; ++i) bytes[i] = pattern(connection.server_sent + i);
    connection.server_sent += size;
    const auto sent = co_await stream.send(bytes);
    if (!sent) co_return;
    if (test.below(2) == 0) static_cast<void>(co_await sleep_for(test.some_time()));
  }
  connection.server_has_ended = true;
  if (connection.server_resets) {
    must(stream.socket().set_linger(0s));
    stream.close();
  } else {
    static_cast<void>(stream.shutdown(Shutdown::write));
  }
}

Task<> server_talks(Test& test, On<TcpStream> stream, Connection& connection) {
  connection.server_sends = static_cast<std::size_t>(test.below(150));
  connection.server_resets = test.below(3) == 0;
  TaskGroup sending(co_await this_task());
  sending.spawn(server_sends(test, stream, connection));
  std::array<std::byte, 256> buffer{};
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) break;
    require(is_pattern(std::span(buffer).first(*size), connection.server_got), "the server got other bytes");
    connection.server_got += *size;
    require(connection.server_got <= connection.client_sent_max, "the server got more than was sent");
    if (test.below(4) == 0) static_cast<void>(co_await sleep_for(test.some_time()));
  }
  static_cast<void>(co_await sending.join());
}

// Accepts with time-outs and stops all the time: no connection may be lost by that.
Task<> serve(Test& test) {
  On<TcpListener> listener(must(TcpListener::bind(Address::any(port))));
  TaskGroup clients(co_await this_task(), OnFailure::keep_going);
  while (!test.is_over) {
    const auto start = [&] { return listener.accept(); };
    auto accepted = co_await cut(test, start);
    if (!accepted) continue;
    ++test.accepted;
    Connection& connection = test.connections[accepted->peer.port()];
    clients.spawn(server_talks(test, std::move(accepted->stream), connection));
  }
  for (;;) {
    const auto rest = co_await with_timeout(1s, listener.accept());  // what has come meanwhile
    if (!rest) break;
    ++test.accepted;
  }
  static_cast<void>(co_await clients.join());
}

void play(sim::World& world) {
  Test test(world);
  auto& server = world.host("server");
  auto& client = world.host("client");
  test.server = server.address(port);
  test.refuses = server.address(port + 1);
  test.client = &client;
  server.serve([&] {
    Loop loop = must(Loop::create());
    must(loop.run(serve(test)));
  });
  client.run([&] {
    Loop loop = must(Loop::create());
    int children = 0;
    must(loop.run(node(test, children, 0)));
    test.is_over = true;
    require(children == 0, "a task has not ended");
    require(loop.stats().tasks == 0, "a task is left");
    require(loop.stats().armed_timers == 0, "a timer is left");
    require(loop.poller_stats().registrations == 0, "a registration is left");
  });
  world.run_until_idle();
  require(client.open_descriptors() == 0, "a socket is left");
  require(test.accepted >= test.connected, "an accept that was cancelled has lost a connection");
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 1;
  std::uint64_t count = 1000;
  if (argc == 4 && std::strcmp(argv[1], "--seeds") == 0) {
    first = std::strtoull(argv[2], nullptr, 10);
    count = std::strtoull(argv[3], nullptr, 10);
  }
  for (const auto rules : {sim::Rules::of_linux, sim::Rules::of_windows}) {
    sim::CheckOptions options;
    options.world.rules = rules;
    options.world.faults.short_reads = options.world.faults.short_writes = 100;
    const auto outcome = sim::check({first, count}, play, options);
    if (!outcome) {
      std::printf("%s's rules: %s\n", rules == sim::Rules::of_linux ? "Linux" : "Windows", outcome.message.c_str());
      return 1;
    }
  }
  std::puts("PASS loop_sim_test");
  return 0;
}
