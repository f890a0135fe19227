// SPDX-License-Identifier: MIT
//
// Has one value of each type that the debuggers' printers show; check_gdb.py stops in stop_here and looks at them.
#include <array>
#include <utility>

#include <reactor/afd/slot.hpp>
#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

using namespace reactor;

Event event(Token{7}, Readiness::readable | Readiness::writable);
Event failed(Token{8}, Readiness::failed, static_cast<std::int32_t>(0xC0000236));
Registration none;
Registration registration;
afd::Slot retired;
afd::Slot slot;

[[gnu::noinline]] void stop_here() { asm volatile(""); }

int main() {
  auto poller = Poller::create();
  const auto listener = TcpListener::bind(Address::loopback_ipv4());
  if (!poller || !listener) return 1;
  auto added = poller->add(listener->native(), Token{1}, Interest::readable);
  if (!added) return 1;
  registration = std::move(*added);
  slot.index = 3;
  slot.socket = 40;
  slot.generation = slot.asked_for = 12;
  slot.watch({.token = Token{7}, .directions = afd::directions_of(Interest::readable), .mode = Mode::edge});
  slot.list = afd::ListName::marked;
  stop_here();
  registration = {};
}
