// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <span>

#include <reactor/reactor.hpp>

/// The server of a user: sends back what it receives, to one client after the other.
inline void my_server(std::uint16_t port) {
  using namespace reactor;
  auto poller = Poller::create().value();
  const auto listener = TcpListener::bind(Address::any(port)).value();
  const auto accepts = poller.add(listener.native(), Token{0}, Interest::readable).value();
  TcpStream client;
  Registration registration;
  std::array<Event, 8> buffer;
  for (;;) {
    const auto events = poller.wait(buffer).value();
    for (const Event& event : events) {
      std::array<std::byte, 256> bytes;
      if (event.token() == Token{0}) {
        client = listener.accept().value();
        registration = poller.add(client.native(), Token{1}, Interest::readable).value();
      } else if (const auto size = client.receive(bytes); size && *size > 0) {
        static_cast<void>(client.send(std::span(bytes).first(*size)));
      } else {
        registration = {};
      }
    }
  }
}
