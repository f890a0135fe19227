// SPDX-License-Identifier: MIT
// Data through one poller and one thread: echoes, datagrams, many sockets, many connections.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

using namespace parity;

namespace {

/// An endless sequence of bytes, any part of which can be compared. Its period is a prime, so that a block that is
/// missing or comes twice is found.
class Pattern {
 public:
  static constexpr std::size_t period = 1'048'583;
  static constexpr std::size_t part_max = 262'144;

  Pattern() : bytes_(period + part_max) {
    std::uint64_t state = 1;
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      state = i == period ? 1 : state * 6364136223846793005 + 1442695040888963407;
      if (i == period) state = state * 6364136223846793005 + 1442695040888963407;
      bytes_[i] = static_cast<std::byte>(state >> 56);
    }
  }

  [[nodiscard]] std::span<const std::byte> at(std::size_t offset, std::size_t size) const {
    return std::span(bytes_).subspan(offset % period, std::min(size, part_max));
  }

 private:
  std::vector<std::byte> bytes_;
};

/// Sends `total` bytes from a client to a server that sends them back, with both ends in one poller on one thread. The
/// interest of each end is what it can use.
class Echo {
 public:
  explicit Echo(std::size_t total) : total_(total) {
    for (const TcpStream* end : {&pair_.client, &pair_.server}) {
      must(end->set_send_buffer(1 << 20));
      must(end->set_receive_buffer(1 << 20));
    }
  }

  void run() {
    std::array<Event, 4> buffer;
    while (received_ < total_) {
      must(client_.modify(sent_ < total_ ? asks_both : asks_read));
      must(server_.modify(held_begin_ < held_end_ ? asks_write : asks_read));
      const auto events = must(poller_.wait(buffer, time_limit));
      REQUIRE_FALSE(events.empty());
      for (const Event& event : events) {
        if (event.token() == Token{1} && event.writable()) client_sends();
        if (event.token() == Token{1} && event.readable()) client_receives();
        if (event.token() == Token{2}) server_echoes();
      }
    }
    CHECK(received_ == total_);
    CHECK(is_same_);
  }

 private:
  void client_sends() {
    while (sent_ < total_) {
      const auto sent = pair_.client.send(pattern_.at(sent_, total_ - sent_));
      if (!sent) return would_block(sent);
      sent_ += *sent;
    }
  }

  void client_receives() {
    for (;;) {
      const auto received = pair_.client.receive(buffer_);
      if (!received) return would_block(received);
      REQUIRE(*received > 0);
      const auto wanted = pattern_.at(received_, *received);
      is_same_ = is_same_ && std::memcmp(wanted.data(), buffer_.data(), *received) == 0;
      received_ += *received;
    }
  }

  void server_echoes() {
    for (;;) {
      if (held_begin_ == held_end_) {
        const auto received = pair_.server.receive(held_);
        if (!received) return would_block(received);
        held_begin_ = 0;
        held_end_ = *received;
      }
      const auto sent = pair_.server.send(std::span(held_).subspan(held_begin_, held_end_ - held_begin_));
      if (!sent) return would_block(sent);
      held_begin_ += *sent;
    }
  }

  static void would_block(const Result<std::size_t>& result) {
    REQUIRE(reason(result) == std::errc::operation_would_block);
  }

  std::size_t total_, sent_ = 0, received_ = 0;
  std::size_t held_begin_ = 0, held_end_ = 0;  // what the server has received and not sent
  bool is_same_ = true;
  Pattern pattern_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(Pattern::part_max);
  std::vector<std::byte> held_ = std::vector<std::byte>(Pattern::part_max);
  Pair pair_ = make_pair();
  Poller poller_ = make_poller();
  Registration client_ = must(poller_.add(pair_.client.native(), Token{1}, asks_both));
  Registration server_ = must(poller_.add(pair_.server.native(), Token{2}, asks_read));
};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "echo: 1 MiB") { Echo(std::size_t{1} << 20).run(); }

TEST_CASE_FIXTURE(NothingIsLeft, "echo: 64 MiB") { Echo(std::size_t{64} << 20).run(); }

TEST_CASE_FIXTURE(NothingIsLeft, "UDP ping-pong, 1,000 rounds") {
  const UdpSocket left = must(UdpSocket::bind(Address::loopback_ipv4()));
  const UdpSocket right = must(UdpSocket::bind(Address::loopback_ipv4()));
  Poller poller = make_poller();
  const Registration left_one = must(poller.add(left.native(), Token{1}, asks_read));
  const Registration right_one = must(poller.add(right.native(), Token{2}, asks_read));
  const Address left_address = must(left.local_address());
  const Address right_address = must(right.local_address());
  for (std::uint32_t round = 0; round < 1000; ++round) {
    const auto ping = std::as_bytes(std::span(&round, 1));
    REQUIRE(must(left.send_to(ping, right_address)) == sizeof round);
    REQUIRE(next(poller) == Reports{{2, readable}});
    std::array<std::byte, 16> bytes;
    const auto arrived = must(right.receive_from(bytes));
    REQUIRE(arrived.size == sizeof round);
    REQUIRE(arrived.from == left_address);
    REQUIRE(std::ranges::equal(std::span(bytes).first(arrived.size), ping));
    REQUIRE(must(right.send_to(std::span(bytes).first(arrived.size), arrived.from)) == sizeof round);
    REQUIRE(next(poller) == Reports{{1, readable}});
    REQUIRE(must(left.receive_from(bytes)).from == right_address);
    REQUIRE(std::ranges::equal(std::span(bytes).first(sizeof round), ping));
  }
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "a buffer smaller than the number of ready sockets: each of them is reported") {
  constexpr std::size_t sockets = 64;
  Loopback loopback;
  Poller poller = make_poller();
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  for (std::size_t i = 0; i < sockets; ++i) {
    pairs.push_back(loopback.connect());
    send_byte(pairs.back().client);
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read)));
  }
  REQUIRE(settled(poller, next(poller)).size() == sockets);  // all of them are ready and polled
  for (const std::size_t size : {1U, 4U, 5U, 63U}) {
    CAPTURE(size);
    std::vector<Event> buffer(size);
    const std::size_t waits = (sockets + size - 1) / size;
    for (int pass = 0; pass < 3; ++pass) {
      std::set<std::uint64_t> reports;
      for (std::size_t i = 0; i < waits; ++i) {
        const Reports events = reports_of(must(poller.wait(buffer, time_limit)));
        CHECK(events.size() == size);
        for (const auto& [token, readiness] : events) {
          CHECK(readiness == readable);
          reports.insert(token);
        }
      }
      CHECK(reports.size() == sockets);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "2,000 sockets are reported at once") {
  constexpr std::size_t sockets = 2000;
  Loopback loopback;
  Poller poller = make_poller();
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  for (std::size_t i = 0; i < sockets; ++i) {
    pairs.push_back(loopback.connect());
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read)));
  }
  CHECK(next(poller, quiet) == nothing);
  CHECK(poller.stats().registrations == sockets);
  for (const std::size_t stride : {7U, 1U}) {
    std::set<std::uint64_t> wanted;
    for (std::size_t i = 0; i < sockets; i += stride) {
      send_byte(pairs[i].client);
      wanted.insert(i);
    }
    std::set<std::uint64_t> reports;
    while (reports.size() < wanted.size()) {
      const Reports events = next(poller);
      REQUIRE_FALSE(events.empty());
      for (const auto& [token, readiness] : events) {
        REQUIRE(wanted.contains(token));
        REQUIRE(readiness == readable);
        REQUIRE(receive_all(pairs[static_cast<std::size_t>(token)].server) == 1);
        reports.insert(token);
      }
    }
    CHECK(reports == wanted);
    CHECK(next(poller, quiet) == nothing);
  }
  registrations.clear();
  CHECK(poller.stats().registrations == 0);
  CHECK(next(poller, quiet) == nothing);
  CHECK(poller.stats().pending_polls == 0);
}

TEST_CASE_FIXTURE(NothingIsLeft, "10,000 connects and disconnects leave no handle, no registration and no block") {
  constexpr std::uint64_t connections = 10'000;
  constexpr Readiness over = readable | writable | hung_up | failed;
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const Address address = must(listener.local_address());
  Poller poller = make_poller();
  const Registration accepts = must(poller.add(listener.native(), Token{0}, asks_read));
  reactor::Stats first;
  int first_handles = 0;
  for (std::uint64_t i = 1; i <= connections; ++i) {
    TcpStream client = must(TcpStream::connect(address));
    const Registration connects = must(poller.add(client.native(), Token{1}, asks_write, Mode::oneshot));
    const Reports both{{0, readable}, {1, writable}};
    Reports reports = next(poller);
    while (reports != both) {  // one may come before the other, and the listener stays ready
      if (reports == Reports{{1, writable}}) break;
      REQUIRE(reports == Reports{{0, readable}});
      reports = next(poller);
    }
    TcpStream server = must(listener.accept());
    Registration accepted = must(poller.add(server.native(), Token{2}, i % 3 == 0 ? asks_nothing : asks_write));
    if (i % 2 == 0) reset(client);
    if (i % 2 == 1) {  // closed without remove, with its poll pending
      if (i % 3 == 0) CHECK(next(poller, nanoseconds::zero()) == nothing);
      must(server.set_abortive_close());
      server.close();
    } else {
      REQUIRE(settled(poller, {{2, over}}) == Reports{{2, over}});
      must(accepted.remove());
    }
    if (i != 1000 && i != connections) continue;
    client.close();
    CHECK(settled(poller, nothing) == nothing);
    const auto stats = poller.stats();
    const int handles = open_handles();
    if (i == 1000) {
      first = stats;
      first_handles = handles;
      continue;
    }
    CHECK(stats.registrations == first.registrations);
    CHECK(stats.arena_blocks == first.arena_blocks);
    CHECK(stats.pending_polls == first.pending_polls);
    CHECK(stats.helper_handles == first.helper_handles);
    CHECK(stats.memory_bytes == first.memory_bytes);
    CHECK(stats.unknown_packets == 0);
    CHECK(handles == first_handles);
  }
}
