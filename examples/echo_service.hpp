// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

/// Sends back what it receives, on a Poller that another loop watches: that loop calls run() when handle() is readable.
class EchoService {
 public:
  EchoService() = default;

  [[nodiscard]] reactor::Address address() const { return value_or_exit(listener_.local_address()); }
  [[nodiscard]] reactor::NativeHandle handle() const { return value_or_exit(poller_.native_handle()); }

  /// Handles what is ready now, and does not wait. What is still ready afterwards keeps the handle readable.
  void run() {
    std::array<reactor::Event, 64> buffer;
    for (const reactor::Event& event : value_or_exit(poller_.wait(buffer, std::chrono::nanoseconds::zero()))) {
      if (event.token() == listener_token) {
        accept();
      } else if (const auto found = connections_.find(event.token()); found != connections_.end()) {
        if (!echo(found->second.stream)) connections_.erase(found);
      }
    }
  }

 private:
  static constexpr reactor::Token listener_token{0};

  struct Connection {
    reactor::TcpStream stream;
    reactor::Registration registration;  // after the stream, so that it is removed before the stream is closed
  };

  template <class T>
  static T value_or_exit(reactor::Result<T> result) {
    if (result) return std::move(*result);
    std::fprintf(stderr, "echo service: %s\n", result.error().message().c_str());
    std::exit(1);
  }

  void accept() {
    auto stream = listener_.accept();
    if (!stream) return;
    const reactor::Token token{++accepted_};
    auto registration = poller_.add(stream->native(), token, reactor::Interest::readable);
    if (registration) connections_.emplace(token, Connection{std::move(*stream), std::move(*registration)});
  }

  /// False when the connection has ended, or its peer reads too slowly to take all at once.
  static bool echo(const reactor::TcpStream& stream) {
    std::array<std::byte, 4096> bytes;
    const auto received = stream.receive(bytes);
    if (!received) return received.error() == std::errc::operation_would_block;
    return *received != 0 && stream.send(std::span(bytes).first(*received)) == *received;
  }

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create());
  reactor::TcpListener listener_ = value_or_exit(reactor::TcpListener::bind(reactor::Address::loopback_ipv4()));
  reactor::Registration accepting_ =
      value_or_exit(poller_.add(listener_.native(), listener_token, reactor::Interest::readable));
  std::unordered_map<reactor::Token, Connection> connections_;
  std::uint64_t accepted_ = 0;
};
