// SPDX-License-Identifier: MIT
#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <asio/post.hpp>
#include <vector>

#include "inside.hpp"

namespace bench {

namespace {

using asio::ip::udp;

// A proactor has no registration: an idle socket is one with a pending receive and a buffer for it.
class AsioRegistrar final : public Registrar {
 public:
  void add(reactor::NativeSocket socket) override {
    sockets_.emplace_back(context_, udp::v4(), socket);
    sockets_.back().async_receive(asio::buffer(buffer_), [](const std::error_code&, std::size_t) {});
  }
  void remove_all() override { sockets_.clear(); }
  void settle() override { context_.poll(); }

 private:
  asio::io_context context_{1};
  std::array<char, 64> buffer_{};
  std::vector<udp::socket> sockets_;
};

// It has a socket with a pending receive: an Asio loop without sockets sleeps on a condition variable on Linux, which a
// loop with sockets cannot do.
class AsioSleeper final : public Sleeper {
 public:
  AsioSleeper() : socket_(context_, udp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    socket_.async_receive(asio::buffer(buffer_), [](const std::error_code&, std::size_t) {});
    context_.poll();
  }
  void wake() override {
    asio::post(context_, [] {});
  }
  void sleep() override { context_.run_one(); }

 private:
  asio::io_context context_;
  udp::socket socket_;
  std::array<char, 64> buffer_{};
};

}  // namespace

std::unique_ptr<Registrar> make_asio_registrar() { return std::make_unique<AsioRegistrar>(); }
std::unique_ptr<Sleeper> make_asio_sleeper() { return std::make_unique<AsioSleeper>(); }

}  // namespace bench
