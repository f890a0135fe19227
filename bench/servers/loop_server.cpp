// SPDX-License-Identifier: MIT
// The same service by coroutines: on reactor::loop, and on Asio ("asio-coroutines").
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>

#include "service.hpp"

namespace bench {

namespace {

constexpr std::size_t buffer_bytes = 4096;

using reactor::On, reactor::Task, reactor::TcpListener, reactor::TcpStream;

Task<> echo(On<TcpStream> stream, Counters& counters) {
  std::array<std::byte, buffer_bytes> buffer;  // NOLINT(*-member-init): receive fills it
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) break;
    counters.receives.add(1);
    counters.bytes.add(*size);
    const auto sent = co_await stream.send(std::span(buffer).first(*size));
    if (!sent) break;
  }
  counters.closed.add(1);
}

Task<reactor::Result<>> accept_all(On<TcpListener>& listener, Service& service) {
  reactor::TaskGroup connections(co_await reactor::this_task());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return reactor::failure(accepted.error());
    service.prepare(accepted->stream.socket());
    connections.spawn(echo(std::move(accepted->stream), service.counters()));
  }
}

asio::awaitable<void> asio_echo(asio::ip::tcp::socket socket, Counters& counters) {
  std::array<std::byte, buffer_bytes> buffer;  // NOLINT(*-member-init): it is filled
  asio::error_code error;
  for (;;) {
    const std::size_t size =
        co_await socket.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    counters.receives.add(1);
    counters.bytes.add(size);
    co_await asio::async_write(socket, asio::buffer(buffer.data(), size),
                               asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
  }
  counters.closed.add(1);
}

asio::awaitable<void> asio_accept_all(asio::ip::tcp::acceptor& acceptor, Service& service) {
  for (;;) {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    reactor::TcpStream stream(static_cast<reactor::NativeSocket>(socket.native_handle()));
    service.prepare(stream);
    static_cast<void>(stream.release());
    const auto executor = acceptor.get_executor();
    asio::co_spawn(executor, asio_echo(std::move(socket), service.counters()), asio::detached);
  }
}

}  // namespace

void serve_loop(Service& service) {
  auto loop = value_or_fail(reactor::Loop::create(), "Loop::create");
  // Borrowed: this function never returns.
  On<TcpListener> listener{TcpListener(service.listener().native())};
  service.open([](Json&) {});
  value_or_fail(loop.run(accept_all(listener, service)), "run");
  fail("the server ended");
}

void serve_asio_coroutines(Service& service) {
  asio::io_context context(1);
  asio::ip::tcp::acceptor acceptor(context, asio::ip::tcp::v4(), service.listener().native());
  service.open([](Json&) {});
  asio::co_spawn(context, asio_accept_all(acceptor, service), asio::detached);
  context.run();
  fail("the server ended");
}

}  // namespace bench
