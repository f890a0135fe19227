// SPDX-License-Identifier: MIT
// An echo server as in Asio's documentation: a proactor on completions on Windows, on epoll on Linux. "asio-eager"
// first tries to send at once, and starts an asynchronous send only for the rest.
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include "service.hpp"

namespace bench {

namespace {

using asio::ip::tcp;

class Session {
 public:
  Session(tcp::socket socket, Service& service)
      : socket_(std::move(socket)), counters_(service.counters()), is_eager_(service.settings().kind == "asio-eager") {
    if (is_eager_) socket_.non_blocking(true);
  }

  void receive() {
    socket_.async_read_some(asio::buffer(buffer_), [this](const std::error_code& error, std::size_t size) {
      if (error) return close();
      counters_.receives.add(1);
      counters_.bytes.add(size);
      send(size);
    });
  }

 private:
  void send(std::size_t size) {
    std::size_t sent = 0;
    if (is_eager_) {
      std::error_code error;
      sent = socket_.write_some(asio::buffer(buffer_, size), error);
      if (error && error != asio::error::would_block) return close();
      if (sent == size) return receive();
    }
    asio::async_write(socket_, asio::buffer(&buffer_.at(sent), size - sent),
                      [this](const std::error_code& error, std::size_t) { error ? close() : receive(); });
  }

  void close() {
    counters_.closed.add(1);
    delete this;
  }

  tcp::socket socket_;
  Counters& counters_;
  bool is_eager_;
  std::array<std::byte, 4096> buffer_{};
};

class Acceptor {
 public:
  Acceptor(asio::io_context& context, Service& service)
      : acceptor_(context, tcp::v4(), service.listener().native()), service_(service) {}

  void accept() {
    acceptor_.async_accept([this](const std::error_code& error, tcp::socket socket) {
      if (error) fail("async_accept", error);
      socket.set_option(tcp::no_delay(true));
      const int send_buffer_bytes = service_.settings().send_buffer_bytes;
      if (send_buffer_bytes > 0) socket.set_option(asio::socket_base::send_buffer_size(send_buffer_bytes));
      service_.counters().accepted.add(1);
      (new Session(std::move(socket), service_))->receive();  // deletes itself when it closes
      accept();
    });
  }

 private:
  tcp::acceptor acceptor_;
  Service& service_;
};

}  // namespace

void serve_asio(Service& service) {
  asio::io_context context(1);  // one thread
  Acceptor acceptor(context, service);
  acceptor.accept();
  service.open([](Json&) {});
  context.run();
  fail("asio's loop has ended", {});
}

}  // namespace bench
