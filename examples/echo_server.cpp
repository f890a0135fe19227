// SPDX-License-Identifier: MIT
// Sends back what it receives:  echo_server [ADDRESS] [--connections N]
// ADDRESS is 127.0.0.1:0 if not given. With --connections it ends after that many connections were closed.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using reactor::Interest, reactor::Token;

constexpr Token listener_token{0};
constexpr std::chrono::nanoseconds accept_pause = std::chrono::milliseconds(100);

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "echo_server: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}
void value_or_exit(const reactor::Result<>& result, const char* what) {
  if (!result) value_or_exit(reactor::Result<int>(reactor::failure(result.error())), what);
}

class Connection {
 public:
  explicit Connection(reactor::TcpStream stream) : stream_(std::move(stream)) {}

  bool start(reactor::Poller& poller, Token token) {
    auto added = poller.add(stream_.native(), token, Interest::readable);
    if (added) registration_ = std::move(*added);
    return added.has_value();
  }

  /// Sends what is left, or else receives and sends that. False when the connection has ended.
  bool step() {
    const bool was_sending = !left_.empty();
    if (!was_sending) {
      const auto received = stream_.receive(buffer_);
      if (!received) return received.error() == std::errc::operation_would_block;
      if (*received == 0) return false;  // FIN, and all that came before it has been sent back
      left_ = std::span(buffer_).first(*received);
    }
    const auto sent = stream_.send(left_);
    if (!sent && sent.error() != std::errc::operation_would_block) return false;
    left_ = left_.subspan(sent.value_or(0));
    if (was_sending == !left_.empty()) return true;
    // While something is left to send nothing more is received, so that a slow reader slows down its own sending.
    return registration_.modify(left_.empty() ? Interest::readable : Interest::writable).has_value();
  }

 private:
  reactor::TcpStream stream_;
  reactor::Registration registration_;
  std::array<std::byte, 16384> buffer_;
  std::span<const std::byte> left_;
};

int serve(const reactor::Address& address, long connections_max) {
  auto poller = value_or_exit(reactor::Poller::create(), "poller");
  const auto listener = value_or_exit(reactor::TcpListener::bind(address), "bind");
  auto accepting = value_or_exit(poller.add(listener.native(), listener_token, Interest::readable), "add");
  std::printf("listening on %s\n", value_or_exit(listener.local_address(), "address").text().c_str());
  std::fflush(stdout);

  std::unordered_map<Token, std::unique_ptr<Connection>> connections;
  std::uint64_t accepted = 0;
  bool is_paused = false;
  std::array<reactor::Event, 64> buffer;
  for (long closed = 0; connections_max == 0 || closed < connections_max;) {
    const auto timeout = is_paused ? std::optional(accept_pause) : std::nullopt;
    const auto events = value_or_exit(poller.wait(buffer, timeout), "wait");
    if (std::exchange(is_paused, false)) value_or_exit(accepting.modify(Interest::readable), "modify");
    for (const reactor::Event& event : events) {
      if (event.token() != listener_token) {
        if (!connections.at(event.token())->step()) closed += static_cast<long>(connections.erase(event.token()));
        continue;
      }
      auto stream = listener.accept();
      if (stream) {
        const Token next{++accepted};
        auto connection = std::make_unique<Connection>(std::move(*stream));
        if (connection->start(poller, next)) connections.emplace(next, std::move(connection));
      } else if (stream.error() != std::errc::operation_would_block) {
        // No descriptor or memory is left: the connection stays in the backlog, and the listener would be readable in
        // every wait.
        value_or_exit(accepting.modify(Interest::none), "modify");
        is_paused = true;
      }
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view address = "127.0.0.1:0";
  long connections_max = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--connections" && i + 1 < argc) {
      connections_max = std::strtol(argv[++i], nullptr, 10);
    } else {
      address = argument;
    }
  }
  return serve(value_or_exit(reactor::Address::parse(address), "address"), connections_max);
}
