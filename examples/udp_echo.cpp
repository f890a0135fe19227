// SPDX-License-Identifier: MIT
// Sends datagrams back, many in one system call where the system can do that:  udp_echo [ADDRESS | --self-test]
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Event, reactor::Interest, reactor::Token, reactor::UdpSocket;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "udp_echo: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

class EchoServer {
 public:
  explicit EchoServer(const reactor::Address& address)
      : socket_(value_or_exit(UdpSocket::bind(address), "bind")),
        registration_(value_or_exit(poller_.add(socket_.native(), Token{0}, Interest::readable), "add")) {}

  [[nodiscard]] reactor::Address address() const { return value_or_exit(socket_.local_address(), "address"); }

  /// Sends back what one wait finds. False when nothing came in `timeout`.
  bool run_once(std::chrono::nanoseconds timeout) {
    std::array<Event, 1> events;
    if (value_or_exit(poller_.wait(events, timeout), "wait").empty()) return false;
    echo();
    return true;
  }

 private:
  static constexpr std::size_t batch = 16, datagram_max = 2048;

  /// One batch: with Mode::level, what is left makes the next wait return.
  void echo() {
    std::array<UdpSocket::DatagramToFill, batch> received;
    for (std::size_t i = 0; i < batch; ++i) received[i].buffer = memory_[i];
    const auto count = socket_.receive_batch(received);
    if (!count) return;  // would-block; or an earlier datagram of ours was refused, which concerns that client alone
    std::array<UdpSocket::DatagramToSend, batch> answers;
    std::size_t size = 0;
    for (const auto& datagram : std::span(received).first(*count)) {
      if (datagram.is_cut) continue;
      answers[size++] = {.data = datagram.buffer.first(datagram.size), .to = datagram.from};
    }
    // What does not fit into the send buffer is dropped, as a network may do at any time.
    if (size != 0) (void)socket_.send_batch(std::span(answers).first(size));
  }

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  UdpSocket socket_;
  reactor::Registration registration_;
  std::array<std::array<std::byte, datagram_max>, batch> memory_;
};

/// Twenty datagrams, the first of them empty, which come back with their sizes.
int self_test() {
  EchoServer server(reactor::Address::loopback_ipv4());
  const auto client = value_or_exit(UdpSocket::bind(reactor::Address::loopback_ipv4()), "bind");
  const auto address = server.address();
  std::array<std::byte, 64> bytes{};
  for (std::size_t size = 0; size < 20; ++size) {
    if (client.send_to(std::span(bytes).first(size), address) != size) return std::puts("FAIL udp_echo: send"), 1;
  }
  for (std::size_t size = 0; size < 20;) {
    const auto answer = client.receive_from(bytes);
    if (answer && answer->size != size++) return std::puts("FAIL udp_echo: another size"), 1;
    if (!answer && !server.run_once(30s)) return std::puts("FAIL udp_echo: no answer"), 1;
  }
  return std::puts("PASS udp_echo"), 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "127.0.0.1:0";
  if (argument == "--self-test") return self_test();
  EchoServer server(value_or_exit(reactor::Address::parse(argument), "address"));
  std::printf("listening on %s\n", server.address().text().c_str());
  std::fflush(stdout);
  for (;;) server.run_once(std::chrono::hours(1));
}
