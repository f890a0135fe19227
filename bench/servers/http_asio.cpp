// SPDX-License-Identifier: MIT
// The HTTP example's service on Asio, by callbacks and by coroutines. Idle connections are found in the way that costs
// Asio least: a request stores when its connection is to end, and a timer of each connection looks at that.
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http_service.hpp"

namespace bench {

namespace {

using asio::ip::tcp;

// A connection, and what is the same in both styles.
struct Shared {
  Shared(tcp::socket taken, Service& of) : socket(std::move(taken)), idle(socket.get_executor()), service(of) {
    touch();
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { service.counters().closed.add(1); }

  void touch() { deadline = std::chrono::steady_clock::now() + http_idle_time; }
  /// True: the connection goes on.
  bool take(std::size_t size) {
    touch();
    responses.clear();
    keeps_alive = requests.take({buffer.data(), size}, responses);
    return keeps_alive;
  }

  tcp::socket socket;
  asio::steady_timer idle;
  std::chrono::steady_clock::time_point deadline;
  Service& service;
  HttpRequests requests;
  std::string responses;
  bool keeps_alive = true;
  std::array<char, 4096> buffer{};
};

class Session : public std::enable_shared_from_this<Session>, Shared {
 public:
  using Shared::Shared;
  void start() {
    watch();
    receive();
  }

 private:
  void receive() {
    socket.async_read_some(asio::buffer(buffer),
                           [this, self = shared_from_this()](const std::error_code& error, std::size_t size) {
                             if (error) return close();
                             static_cast<void>(take(size));
                             responses.empty() ? receive() : send();
                           });
  }
  void send() {
    asio::async_write(socket, asio::buffer(responses),
                      [this, self = shared_from_this()](const std::error_code& error, std::size_t) {
                        error || !keeps_alive ? close() : receive();
                      });
  }
  void watch() {
    idle.expires_at(deadline);
    idle.async_wait([this, self = shared_from_this()](const std::error_code& error) {
      if (error || !socket.is_open()) return;
      deadline <= std::chrono::steady_clock::now() ? close() : watch();
    });
  }
  void close() {
    std::error_code ignored;
    socket.close(ignored);
    idle.cancel();
  }
};

class Acceptor {
 public:
  Acceptor(asio::io_context& context, Service& service)
      : acceptor_(context, tcp::v4(), service.listener().native()), service_(service) {}
  void accept() {
    acceptor_.async_accept([this](const std::error_code& error, tcp::socket socket) {
      if (error) fail("async_accept", error);
      socket.set_option(tcp::no_delay(true));
      service_.counters().accepted.add(1);
      std::make_shared<Session>(std::move(socket), service_)->start();
      accept();
    });
  }

 private:
  tcp::acceptor acceptor_;
  Service& service_;
};

asio::awaitable<void> watch(std::shared_ptr<Shared> connection) {
  std::error_code error;
  while (connection->socket.is_open()) {
    connection->idle.expires_at(connection->deadline);
    co_await connection->idle.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (connection->deadline <= std::chrono::steady_clock::now()) connection->socket.close(error);
  }
}

asio::awaitable<void> serve(std::shared_ptr<Shared> connection) {
  std::error_code error;
  for (;;) {
    const std::size_t size = co_await connection->socket.async_read_some(
        asio::buffer(connection->buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    const bool keeps_alive = connection->take(size);
    if (!connection->responses.empty()) {
      co_await asio::async_write(connection->socket, asio::buffer(connection->responses),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
    if (error || !keeps_alive) break;
  }
  connection->socket.close(error);
  connection->idle.cancel();
}

asio::awaitable<void> accept_all(tcp::acceptor& acceptor, Service& service) {
  for (;;) {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    socket.set_option(tcp::no_delay(true));
    service.counters().accepted.add(1);
    const auto executor = acceptor.get_executor();
    auto connection = std::make_shared<Shared>(std::move(socket), service);
    asio::co_spawn(executor, watch(connection), asio::detached);
    asio::co_spawn(executor, serve(std::move(connection)), asio::detached);
  }
}

}  // namespace

void serve_http_asio(Service& service) {
  asio::io_context context(1);
  Acceptor acceptor(context, service);
  acceptor.accept();
  service.open([](Json&) {});
  context.run();
  fail("asio's loop has ended");
}

void serve_http_asio_coroutines(Service& service) {
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::v4(), service.listener().native());
  service.open([](Json&) {});
  asio::co_spawn(context, accept_all(acceptor, service), asio::detached);
  context.run();
  fail("asio's loop has ended");
}

}  // namespace bench
