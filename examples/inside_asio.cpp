// SPDX-License-Identifier: MIT
// A Poller inside an Asio program (Linux): Asio watches the Poller's descriptor beside sockets and timers of its own.
#include <array>
#include <cstdio>
#include <string_view>

#include <asio.hpp>

#include "echo_service.hpp"

namespace {

class Watch {
 public:
  Watch(asio::io_context& loop, EchoService& service) : service_(service), descriptor_(loop, service.handle()) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { descriptor_.release(); }  // the Poller closes it

  void start() {
    descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& error) {
      if (error) return;
      service_.run();
      start();  // waits again: if something is still ready, it completes at once
    });
  }

 private:
  EchoService& service_;
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace

int main() {
  EchoService service;
  asio::io_context loop;
  Watch watch(loop, service);
  watch.start();

  asio::ip::tcp::socket client(loop);
  client.connect({asio::ip::address_v4::loopback(), service.address().port()});
  std::array<char, 5> reply{};
  bool is_reply_right = false;
  asio::write(client, asio::buffer("hello", 5));
  asio::async_read(client, asio::buffer(reply), [&](const asio::error_code& error, std::size_t size) {
    is_reply_right = !error && std::string_view(reply.data(), size) == "hello";
    loop.stop();
  });
  asio::steady_timer timer(loop, std::chrono::seconds(30));
  timer.async_wait([&](const asio::error_code&) { loop.stop(); });

  loop.run();
  std::printf("%s inside_asio\n", is_reply_right ? "PASS" : "FAIL");
  return is_reply_right ? 0 : 1;
}
