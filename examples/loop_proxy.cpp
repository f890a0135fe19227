// SPDX-License-Identifier: MIT
// A TCP proxy: loop_proxy TO [ADDRESS]. What comes at ADDRESS goes on to TO, and back. Each direction receives only
// when what it received before has been sent on, so a slow reader slows the sender down, and memory does not grow.
#include <array>
#include <chrono>
#include <cstddef>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>

#include "loop_support.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;

/// An end is passed on as an end; an error ends both directions.
Task<Result<>> copy(On<TcpStream>& from, On<TcpStream>& to) {
  std::array<std::byte, 16384> buffer;
  for (;;) {
    const auto size = co_await from.receive(buffer);
    if (!size) co_return failure(size.error());
    if (*size == 0) co_return to.shutdown(Shutdown::write);
    if (const auto sent = co_await to.send(std::span(buffer).first(*size)); !sent) co_return sent;
  }
}

Task<> relay(On<TcpStream> client, Address to) {
  auto server = co_await with_timeout(10s, connect(to));
  if (!server) co_return;
  TaskGroup both(co_await this_task());
  both.spawn(copy(client, *server));
  both.spawn(copy(*server, client));
  static_cast<void>(co_await both.join());
}

Task<Result<>> serve(On<TcpListener> listener, Address to) {
  TaskGroup clients(co_await this_task());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return failure(accepted.error());
    clients.spawn(relay(std::move(accepted->stream), to));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: loop_proxy TO [ADDRESS]\n"), 2;
  auto loop = example::value_or_exit(Loop::create(), "loop");
  const auto to = example::value_or_exit(Address::parse(argv[1]), "address");
  auto listener = example::listen(argc > 2 ? argv[2] : "127.0.0.1:0");
  return loop.run(serve(std::move(listener), to)) ? 0 : 1;
}
