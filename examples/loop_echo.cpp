// SPDX-License-Identifier: MIT
// An echo server: loop_echo [ADDRESS]
#include <array>
#include <cstdio>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>

using reactor::On, reactor::Result, reactor::Task, reactor::TcpListener, reactor::TcpStream;

// NOLINTBEGIN(misc-use-internal-linkage): a small program of one file
Task<> echo(On<TcpStream> stream) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) co_return;
    if (const auto sent = co_await stream.send(std::span(buffer).first(*size)); !sent) co_return;
  }
}

Task<Result<>> serve(On<TcpListener> listener) {
  reactor::TaskGroup connections(co_await reactor::this_task());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return reactor::failure(accepted.error());
    connections.spawn(echo(std::move(accepted->stream)));
  }
}
// NOLINTEND(misc-use-internal-linkage)

int main(int argc, char** argv) {
  const auto address = reactor::Address::parse(argc > 1 ? argv[1] : "127.0.0.1:0");
  if (!address) return std::fprintf(stderr, "loop_echo: %s\n", address.error().message().c_str()), 1;
  auto listener = TcpListener::bind(*address);
  if (!listener) return std::fprintf(stderr, "loop_echo: %s\n", listener.error().message().c_str()), 1;
  std::printf("listening on %s\n", listener->local_address().value_or(*address).text().c_str());
  std::fflush(stdout);
  auto loop = reactor::Loop::create();
  if (!loop) return std::fprintf(stderr, "loop_echo: %s\n", loop.error().message().c_str()), 1;
  const auto served = loop->run(serve(On<TcpListener>(std::move(*listener))));
  return served ? 0 : 1;
}
