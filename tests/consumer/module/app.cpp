// SPDX-License-Identifier: MIT
// The program of README.md without its headers, and what else has to come through the import: operators, friends,
// formatters.
#include <array>
#include <cstddef>
#include <cstdio>
#include <format>
#include <span>

import reactor;

static_assert((reactor::Interest::readable | reactor::Interest::writable) != reactor::Interest::none);

int main() {
  using namespace reactor;
  if (std::format("{}", Interest::readable) != "readable") return 2;
  if (Address::loopback_ipv4(80) != Address::parse("127.0.0.1:80").value()) return 3;
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
