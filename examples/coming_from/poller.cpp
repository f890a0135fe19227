// SPDX-License-Identifier: MIT
// The same on Poller, on Windows and Linux.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>

#include "client.hpp"

namespace {

using reactor::Event, reactor::Interest, reactor::Poller, reactor::Registration, reactor::TcpListener,
    reactor::TcpStream, reactor::Token;

void echo_with_poller(const TcpListener& listener) {
  auto poller = Poller::create().value();
  auto accepting = poller.add(listener.native(), Token{0}, Interest::readable).value();
  std::unordered_map<Token, std::pair<TcpStream, Registration>> connections;
  std::array<Event, 64> buffer;
  std::array<std::byte, 4096> text;
  std::uint64_t next = 1;
  for (std::size_t size = 1; size > 0;) {
    const auto events = poller.wait(buffer).value();
    for (const Event& event : events) {
      if (event.token() == Token{0}) {
        auto stream = listener.accept().value();
        auto registration = poller.add(stream.native(), Token{next}, Interest::readable).value();
        connections.try_emplace(Token{next++}, std::move(stream), std::move(registration));
      } else {
        const TcpStream& stream = connections.at(event.token()).first;
        size = stream.receive(text).value_or(0);
        (void)stream.send(std::span(text).first(size));
        if (size == 0) connections.erase(event.token());
      }
    }
  }
}

}  // namespace

int main() {
  return coming_from::try_out("poller", [](const TcpListener& listener) { echo_with_poller(listener); });
}
