// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <reactor/reactor.hpp>
#include <reactor/sim/check.hpp>
#include <reactor/sim/world.hpp>

/// What the tests of the simulation have in common. The programs in them are written as users write theirs.
namespace world_test {

using namespace reactor;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error("failed: " + result.error().message());
  return *std::move(result);
}
inline void must(const Result<>& result) {
  if (!result) throw std::runtime_error("failed: " + result.error().message());
}

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Waits for one socket at a time.
class Waits {
 public:
  /// False: the time was over first.
  bool until(const Socket& socket, Interest interest, std::optional<nanoseconds> timeout = std::nullopt) {
    const Registration registration = must(poller_.add(socket.native(), Token{1}, interest));
    std::array<Event, 4> buffer;
    return !must(poller_.wait(buffer, timeout)).empty();
  }
  void pass(nanoseconds time) {
    std::array<Event, 1> buffer;
    static_cast<void>(must(poller_.wait(buffer, time)));
  }

 private:
  Poller poller_ = must(Poller::create());
};

/// The reason is std::errc{} when it has connected.
inline std::pair<TcpStream, std::error_code> connected(Waits& waits, const Address& to) {
  TcpStream stream = must(TcpStream::connect(to));
  waits.until(stream, Interest::writable);
  const std::error_code why = must(stream.take_error());
  return {std::move(stream), why};
}

inline void send_all(Waits& waits, const TcpStream& stream, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto sent = stream.send(bytes);
    if (sent) bytes = bytes.subspan(*sent);
    if (!sent && sent.error() != std::errc::operation_would_block) throw std::system_error(sent.error());
    if (!sent) waits.until(stream, Interest::writable);
  }
}

/// What comes until the end of the stream, or so many bytes.
inline std::string receive_some(Waits& waits, const TcpStream& stream, std::size_t bytes_max) {
  std::string text;
  std::array<std::byte, 4096> buffer;
  while (text.size() < bytes_max) {
    const auto received = stream.receive(std::span(buffer).first(std::min(buffer.size(), bytes_max - text.size())));
    if (!received && received.error() != std::errc::operation_would_block) throw std::system_error(received.error());
    if (received && *received == 0) break;
    if (received) text.append(reinterpret_cast<const char*>(buffer.data()), *received);
    if (!received) waits.until(stream, Interest::readable);
  }
  return text;
}

/// A server that sends back what it gets, to any number of clients.
inline void echo_server(const Address& at) {
  struct Client {
    TcpStream stream;
    Registration registration;
  };
  Poller poller = must(Poller::create());
  const TcpListener listener = must(TcpListener::bind(at));
  const Registration accepts = must(poller.add(listener.native(), Token{0}, Interest::readable));
  std::map<std::uint64_t, Client> clients;
  std::uint64_t last = 0;
  std::array<Event, 64> buffer;
  for (;;) {
    const auto events = must(poller.wait(buffer));
    for (const Event& event : events) {
      if (event.token() == Token{0}) {
        auto accepted = listener.accept();
        if (!accepted) continue;
        auto registration = must(poller.add(accepted->native(), Token{++last}, Interest::readable));
        clients[last] = {std::move(*accepted), std::move(registration)};
        continue;
      }
      const auto found = clients.find(std::to_underlying(event.token()));
      if (found == clients.end()) continue;
      std::array<std::byte, 4096> bytes;
      const auto received = found->second.stream.receive(bytes);
      if (received && *received > 0) {
        static_cast<void>(found->second.stream.send(std::span(bytes).first(*received)));
      } else if (received || received.error() != std::errc::operation_would_block) {
        clients.erase(found);
      }
    }
  }
}

inline constexpr std::array both_rules{sim::Rules::of_linux, sim::Rules::of_windows};

/// Of the rules; nothing else is other than by default.
inline sim::WorldOptions by(sim::Rules rules) {
  sim::WorldOptions options;
  options.rules = rules;
  options.records_trace = true;
  return options;
}

inline double seconds_of(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace world_test
