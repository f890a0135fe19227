// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <reactor/clock.hpp>

namespace parity {

Reports reports_of(std::span<const Event> events) {
  Reports result;
  for (const Event& event : events) result.push_back({std::to_underlying(event.token()), event.readiness()});
  std::ranges::sort(result, {}, &Report::token);
  return result;
}

std::string text(Readiness readiness) {
  constexpr std::array names{"readable", "writable", "priority", "read_closed", "hung_up", "failed"};
  std::string result;
  for (std::size_t bit = 0; bit < names.size(); ++bit) {
    if ((std::to_underlying(readiness) >> bit & 1) == 0) continue;
    if (!result.empty()) result += '|';
    result += names[bit];
  }
  return result.empty() ? "none" : result;
}

Poller make_poller() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread sets it
  static const bool is_inline = std::getenv("REACTOR_NO_INLINE") == nullptr;
  return must(Poller::create({.inline_completions = is_inline}));
}

Reports next(Poller& poller, nanoseconds timeout) {
  std::array<Event, 256> buffer;
  return reports_of(must(poller.wait(buffer, timeout)));
}

Reports settled(Poller& poller, const Reports& wanted) {
  if (wanted.empty()) return next(poller, quiet);
  const auto is_wanted = [&](const Report& report) {
    const auto same = std::ranges::find(wanted, report.token, &Report::token);
    return same != wanted.end() && covers(same->readiness, report.readiness);
  };
  const auto deadline = reactor::Clock::now() + time_limit;
  for (;;) {
    Reports came = next(poller);
    const bool is_part = std::ranges::all_of(came, is_wanted);
    if (came == wanted || !is_part || reactor::Clock::now() > deadline) return came;
  }
}

Loopback::Loopback() : listener_(must(TcpListener::bind(Address::loopback_ipv4()))), poller_(make_poller()) {}

Address Loopback::address() const { return must(listener_.local_address()); }

Pair Loopback::connect() {
  TcpStream client = must(TcpStream::connect(address()));
  const Registration accepts = must(poller_.add(listener_.native(), Token{1}, asks_read));
  REQUIRE(next(poller_) == Reports{{1, readable}});
  TcpStream server = must(listener_.accept());
  const Registration connects = must(poller_.add(client.native(), Token{2}, asks_write));
  REQUIRE(next(poller_) == Reports{{2, writable}});
  return {std::move(client), std::move(server)};
}

Pair make_pair() { return Loopback().connect(); }

void send_all(const TcpStream& stream, std::span<const std::byte> bytes) {
  Poller poller = make_poller();
  const Registration registration = must(poller.add(stream.native(), Token{1}, asks_write));
  while (!bytes.empty()) {
    const auto sent = stream.send(bytes);
    if (sent) {
      bytes = bytes.subspan(*sent);
    } else {
      REQUIRE(reason(sent) == std::errc::operation_would_block);
      REQUIRE(next(poller) == Reports{{1, writable}});
    }
  }
}

void send_byte(const TcpStream& stream) {
  constexpr std::byte byte{'x'};
  REQUIRE(must(stream.send({&byte, 1})) == 1);
}

std::size_t receive_all(const TcpStream& stream) {
  std::array<std::byte, 16384> bytes;
  std::size_t total = 0;
  for (;;) {
    const auto received = stream.receive(bytes);
    if (!received || *received == 0) return total;
    total += *received;
  }
}

std::size_t fill(const TcpStream& stream) {
  static const std::array<std::byte, 65536> bytes{};
  Poller poller = make_poller();
  const Registration registration = must(poller.add(stream.native(), Token{1}, asks_write));
  std::size_t total = 0;
  do {
    while (const auto sent = stream.send(bytes)) total += *sent;
  } while (!next(poller, quiet).empty());
  return total;
}

void reset(TcpStream& stream) {
  must(stream.set_abortive_close());
  stream.close();
}

NothingIsLeft::NothingIsLeft() {
  // What a process opens once and keeps, as for the start of the network and by the runtime, is not counted.
  static const bool is_warm = [] {
    const Pair pair = make_pair();
    fill(pair.client);
    Poller poller = make_poller();
    Waiting waiting(poller);
    poller.waker().wake();
    return waiting.take().empty();
  }();
  CHECK(is_warm);
  before_ = open_handles();
}

NothingIsLeft::~NothingIsLeft() { CHECK(open_handles() == before_); }

std::uint64_t seed() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no thread sets it
  const char* given = std::getenv("REACTOR_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20250101;
}

}  // namespace parity

namespace reactor {

doctest::String toString(Readiness readiness) { return parity::text(readiness).c_str(); }  // NOLINT(*-naming)

}  // namespace reactor

namespace doctest {

String StringMaker<parity::Reports>::convert(const parity::Reports& reports_of) {
  std::string result = "{";
  for (const auto& [token, readiness] : reports_of) {
    result += " " + std::to_string(token) + ":" + parity::text(readiness);
  }
  return (result + " }").c_str();
}

String StringMaker<parity::Reason>::convert(const parity::Reason& reason) { return reason.code.message().c_str(); }

}  // namespace doctest
