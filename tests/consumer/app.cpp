// SPDX-License-Identifier: MIT
// A user's program: includes each public header, and uses enough of the library to see that it works.
#include <array>
#include <chrono>
#include <cstdio>

#include <reactor/address.hpp>
#include <reactor/event.hpp>
#include <reactor/export.hpp>
#include <reactor/format.hpp>
#include <reactor/poller.hpp>
#include <reactor/reactor.hpp>
#include <reactor/result.hpp>
#include <reactor/socket.hpp>
#include <reactor/version.hpp>

namespace {

int fail(const char* expected) {
  std::printf("FAIL consumer: expected %s\n", expected);
  return 1;
}

}  // namespace

int main() {
  using reactor::Interest;
  using reactor::Token;

  auto poller = reactor::Poller::create();
  if (!poller) return fail("a poller");
  const auto listener = reactor::TcpListener::bind(reactor::Address::loopback_ipv4());
  if (!listener) return fail("a listener");
  const auto registration = poller->add(listener->native(), Token{7}, Interest::readable);
  if (!registration) return fail("a registration");

  // Also across the border of a shared library, whose error categories must be the program's own.
  const auto invalid = poller->add(reactor::invalid_socket, Token{8}, Interest::readable);
  if (invalid || invalid.error() != std::errc::bad_file_descriptor) return fail("bad_file_descriptor");
  const auto early = listener->accept();
  if (early || early.error() != std::errc::operation_would_block) return fail("operation_would_block");
  constexpr std::int32_t status_connection_refused = static_cast<std::int32_t>(0xC0000236);
  const reactor::Event refused(Token{1}, reactor::Readiness::failed, status_connection_refused);
  if (refused.error() != std::errc::connection_refused) return fail("connection_refused");

  const auto address = listener->local_address();
  if (!address) return fail("an address");
  const auto client = reactor::TcpStream::connect(*address);
  if (!client) return fail("a stream");
  std::array<reactor::Event, 4> buffer;
  const auto events = poller->wait(buffer, std::chrono::seconds(30));
  if (!events || events->size() != 1 || events->front().token() != Token{7}) return fail("the listener's event");
  if (to_string(events->front()) != "7: readable") return fail("its text");
  const auto stream = listener->accept();
  if (!stream || stream->local_address() != *address) return fail("a connection");

  std::puts("PASS consumer");
  return 0;
}
