// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

int main() {
  using namespace reactor;
  auto poller = Poller::create().value();  // a Result: value() throws if it holds an error
  auto listener = TcpListener::bind(Address::loopback_ipv4()).value();
  auto client = TcpStream::connect(listener.local_address().value()).value();
  auto accepting = poller.add(listener.native(), Token{1}, Interest::readable).value();
  auto receiving = poller.add(client.native(), Token{2}, Interest::readable).value();

  for (std::array<Event, 16> buffer;;) {
    auto events = poller.wait(buffer).value();  // sleeps until something is ready
    for (const Event& event : events) {
      if (event.token() == Token{1}) {
        auto server = listener.accept().value();
        if (!server.send(std::as_bytes(std::span("hello")))) return 1;
      } else {
        std::array<std::byte, 16> text{};
        auto size = client.receive(text).value();
        std::printf("received %zu bytes: %s\n", size, reinterpret_cast<const char*>(text.data()));
        return 0;
      }
    }
  }
}
