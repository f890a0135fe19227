// SPDX-License-Identifier: MIT
#include <cstdio>

#include <reactor/sim/check.hpp>

#include "my_server.hpp"

using namespace reactor;

int main() {
  const auto outcome = sim::check({1, 100}, [](sim::World& world) {
    sim::Host& server = world.host("server", "10.0.0.1");
    server.serve([] { my_server(80); });
    world.host("client").run([&] {
      auto poller = Poller::create().value();
      const auto stream = TcpStream::connect(server.address(80)).value();
      auto registration = poller.add(stream.native(), Token{1}, Interest::writable).value();
      std::array<Event, 1> buffer;
      sim::require(poller.wait(buffer, std::chrono::seconds(1)).value().size() == 1, "not connected");
      sim::require(stream.send(std::as_bytes(std::span("hello", 5))).value() == 5, "not sent");
      registration.modify(Interest::readable).value();
      sim::require(poller.wait(buffer, std::chrono::seconds(1)).value().size() == 1, "no answer");
    });
    world.run_until_idle();
  });
  std::puts(outcome ? "PASS" : outcome.message.c_str());
  return outcome ? 0 : 1;
}
