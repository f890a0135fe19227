// SPDX-License-Identifier: MIT
// An echo server on Asio's coroutines, as its users write it.
#include <array>
#include <cstddef>
#include <utility>

#include <asio.hpp>

#include "client.hpp"

namespace {

using asio::ip::tcp;

asio::awaitable<void> echo_with_asio(tcp::socket socket, asio::io_context& context) {
  std::array<char, 4096> text;
  try {
    for (;;) {
      const std::size_t size = co_await socket.async_read_some(asio::buffer(text), asio::use_awaitable);
      co_await async_write(socket, asio::buffer(text, size), asio::use_awaitable);
    }
  } catch (const asio::system_error&) {  // also for the end of the stream
    context.stop();
  }
}

asio::awaitable<void> serve_with_asio(tcp::acceptor listener, asio::io_context& context) {
  for (;;) {
    auto socket = co_await listener.async_accept(asio::use_awaitable);
    co_spawn(context, echo_with_asio(std::move(socket), context), asio::detached);
  }
}

}  // namespace

int main() {
  return coming_from::try_out("asio", [](reactor::TcpListener listener) {
    asio::io_context context;
    co_spawn(context, serve_with_asio(tcp::acceptor(context, tcp::v4(), static_cast<int>(listener.release())), context),
             asio::detached);
    context.run();
  });
}
