// SPDX-License-Identifier: MIT
// Sends back what it receives:  echo_server [ADDRESS] [--connections N]
// ADDRESS is 127.0.0.1:0 if not given; *:PORT listens on all addresses of the machine. With --connections it ends after
// N connections have closed.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Interest, reactor::Token;
using Clock = std::chrono::steady_clock;

constexpr Token listener_token{0};

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "echo_server: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

struct Connection {
  reactor::TcpStream stream;
  reactor::Registration registration;  // after the stream, so that it is removed before the stream is closed
  std::array<std::byte, 16384> buffer = {};
  std::span<const std::byte> unsent;

  /// Sends what is unsent, or else receives and sends that. False when the connection has ended, by FIN or by a reset.
  bool on_ready() {
    const bool was_sending = !unsent.empty();
    if (!was_sending) {
      const auto received = stream.receive(buffer);
      if (!received) return received.error() == std::errc::operation_would_block;
      if (*received == 0) return false;  // FIN, and all that came before it has been sent back
      unsent = std::span(buffer).first(*received);
    }
    const auto sent = stream.send(unsent);
    if (!sent && sent.error() != std::errc::operation_would_block) return false;
    unsent = unsent.subspan(sent.value_or(0));
    if (was_sending == !unsent.empty()) return true;
    // While data is unsent it receives nothing, so a client that reads slowly must also send slowly.
    return registration.modify(unsent.empty() ? Interest::readable : Interest::writable).has_value();
  }
};

class Server {
 public:
  explicit Server(const reactor::Address& address)
      : listener_(value_or_exit(reactor::TcpListener::bind(address), "bind")),
        accepting_(value_or_exit(poller_.add(listener_.native(), listener_token, Interest::readable), "add")) {
    std::printf("listening on %s\n", value_or_exit(listener_.local_address(), "address").text().c_str());
    std::fflush(stdout);
  }

  /// Returns after `connections_max` connections have closed; 0: never.
  void run(long connections_max) {
    std::array<reactor::Event, 64> buffer;
    for (long closed = 0; connections_max == 0 || closed < connections_max;) {
      const auto timeout = paused_until_ ? std::optional<std::chrono::nanoseconds>(pause) : std::nullopt;
      const long closed_before = closed;
      for (const reactor::Event& event : value_or_exit(poller_.wait(buffer, timeout), "wait")) {
        if (event.token() == listener_token) {
          accept();
        } else if (!connections_.at(event.token()).on_ready()) {
          closed += static_cast<long>(connections_.erase(event.token()));
        }
      }
      if (paused_until_ && (closed > closed_before || Clock::now() >= *paused_until_)) resume();
    }
  }

 private:
  void accept() {
    auto stream = listener_.accept();
    if (stream) {
      serve(std::move(*stream));
    } else if (is_shortage(stream.error()) && accepting_.modify(Interest::none)) {
      paused_until_ = Clock::now() + pause;
    }  // any other error is of that one connection, which has ended
  }

  /// A connection that cannot be registered is closed, and the server goes on.
  void serve(reactor::TcpStream stream) {
    const Token token{++accepted_};
    auto registration = poller_.add(stream.native(), token, Interest::readable);
    if (registration) connections_.try_emplace(token, std::move(stream), std::move(*registration));
  }

  void resume() {
    if (accepting_.modify(Interest::readable)) paused_until_.reset();
  }

  /// The connection that could not be accepted still waits, so the listener stays readable: to try again at once would
  /// spin.
  static bool is_shortage(std::error_code error) {
    return error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
           error == std::errc::no_buffer_space || error == std::errc::not_enough_memory;
  }

  static constexpr auto pause = 100ms;

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  reactor::TcpListener listener_;
  reactor::Registration accepting_;
  std::optional<Clock::time_point> paused_until_;
  std::unordered_map<Token, Connection> connections_;
  std::uint64_t accepted_ = 0;
};

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
  Server(value_or_exit(reactor::Address::parse(address), "address")).run(connections_max);
}
