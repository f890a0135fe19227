// SPDX-License-Identifier: MIT
// The same on reactor::loop, on Windows and Linux.
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>

#include "client.hpp"

namespace {

using reactor::On, reactor::Result, reactor::Task, reactor::TaskGroup, reactor::TcpListener, reactor::TcpStream;

Task<> echo_with_loop(On<TcpStream> stream, TaskGroup& connections) {
  std::array<std::byte, 4096> text;
  for (;;) {
    const auto size = co_await stream.receive(text);
    if (!size || *size == 0) break;
    const auto sent = co_await stream.send(std::span(text).first(*size));
    if (!sent) break;
  }
  connections.stop();
}

Task<> serve_with_loop(On<TcpListener> listener, TaskGroup& connections) {
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return;
    connections.spawn(echo_with_loop(std::move(accepted->stream), connections));
  }
}

Task<> run(TcpListener listener) {
  TaskGroup connections(co_await reactor::this_task());
  connections.spawn(serve_with_loop(On<TcpListener>(std::move(listener)), connections));
  (void)co_await connections.join();
}

}  // namespace

int main() {
  return coming_from::try_out("loop", [](TcpListener listener) {
    auto loop = reactor::Loop::create().value();
    (void)loop.run(run(std::move(listener)));
  });
}
