// SPDX-License-Identifier: MIT
// examples/loop_echo.cpp by Asio's coroutines: to compare what each takes to compile.
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket stream) {
  std::array<std::byte, 4096> buffer{};
  asio::error_code error;
  for (;;) {
    const std::size_t size =
        co_await stream.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    co_await asio::async_write(stream, asio::buffer(buffer.data(), size),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
  }
}

asio::awaitable<void> serve(tcp::acceptor listener) {
  for (;;) {
    auto stream = co_await listener.async_accept(asio::use_awaitable);
    asio::co_spawn(listener.get_executor(), echo(std::move(stream)), asio::detached);
  }
}

int main() {
  asio::io_context context(1);
  asio::co_spawn(context, serve(tcp::acceptor(context, {asio::ip::address_v4::loopback(), 7777})), asio::detached);
  context.run();
}
