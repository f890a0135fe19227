// SPDX-License-Identifier: MIT
// An echo server that ends well on SIGTERM or Ctrl-C:  graceful_shutdown [ADDRESS | --self-test]
// It accepts no more, sends what is left, says FIN, and closes when its clients have closed or a time has passed.
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Event, reactor::Interest, reactor::Token;
using Clock = std::chrono::steady_clock;

constexpr Token listener_token{0};

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "graceful_shutdown: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

// A handler may run at any moment, so what it uses lives as long as the program. On Windows it is a thread of its own.
reactor::Waker handler_waker;
std::atomic<bool> is_stop_requested = false;

void request_stop(int) {
  is_stop_requested = true;
  handler_waker.wake();
}

void stop_on_signals(const reactor::Poller& poller) {
  handler_waker = poller.waker();  // before the handler is set, and never again
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
}

struct Connection {
  reactor::TcpStream stream;
  reactor::Registration registration;  // after the stream, so that it is removed before that is closed
  std::array<std::byte, 4096> buffer = {};
  std::span<const std::byte> left;
  bool has_sent_fin = false;

  /// False when the connection has ended.
  bool handle(bool is_stopping) {
    if (left.empty()) {
      const auto received = stream.receive(buffer);
      if (received == 0U) return false;
      if (!received && received.error() != std::errc::operation_would_block) return false;
      if (!has_sent_fin) left = std::span(buffer).first(received.value_or(0));
    }
    const auto sent = left.empty() ? 0 : stream.send(left);
    if (!sent && sent.error() != std::errc::operation_would_block) return false;
    left = left.subspan(sent.value_or(0));
    if (is_stopping && left.empty() && !std::exchange(has_sent_fin, true)) {
      if (!stream.shutdown(reactor::Shutdown::write)) return false;
    }
    return registration.modify(left.empty() ? Interest::readable : Interest::writable).has_value();
  }
};

class Server {
 public:
  explicit Server(const reactor::Address& address)
      : listener_(value_or_exit(reactor::TcpListener::bind(address), "bind")),
        accepting_(value_or_exit(poller_.add(listener_.native(), listener_token, Interest::readable), "add")) {
    stop_on_signals(poller_);
  }

  [[nodiscard]] reactor::Address address() const { return value_or_exit(listener_.local_address(), "address"); }
  [[nodiscard]] std::size_t connections() const noexcept { return connections_.size(); }
  [[nodiscard]] bool has_ended() const { return deadline_ && (connections_.empty() || Clock::now() >= *deadline_); }

  void run_once() {
    std::array<Event, 64> buffer;
    const auto events = value_or_exit(poller_.wait(buffer, deadline_ ? *deadline_ - Clock::now() : 30s), "wait");
    for (const Event& event : events) {
      if (event.token() == listener_token) {
        accept();
      } else if (const auto found = connections_.find(event.token()); found != connections_.end()) {
        if (!found->second.handle(deadline_.has_value())) connections_.erase(found);
      }
    }
    // A wake may come together with events, so this is asked after every wait.
    if (events.woken() && is_stop_requested && !deadline_) stop();
  }

 private:
  void accept() {
    auto stream = listener_.accept();
    if (!stream) return;
    const Token token{++accepted_};
    auto registration = poller_.add(stream->native(), token, Interest::readable);
    if (registration) connections_.try_emplace(token, std::move(*stream), std::move(*registration));
  }

  void stop() {
    deadline_ = Clock::now() + 5s;
    accepting_ = {};  // removed before its socket is closed
    listener_.close();
    for (auto at = connections_.begin(); at != connections_.end();) {
      at = at->second.handle(true) ? std::next(at) : connections_.erase(at);
    }
  }

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  reactor::TcpListener listener_;
  reactor::Registration accepting_;
  std::unordered_map<Token, Connection> connections_;
  std::optional<Clock::time_point> deadline_;
  std::uint64_t accepted_ = 0;
};

/// A client whose message is under way when the signal comes: its echo and then FIN come all the same.
int self_test() {
  Server server(reactor::Address::loopback_ipv4());
  const auto address = server.address();
  const auto client = value_or_exit(reactor::TcpStream::connect(address), "connect");
  while (server.connections() == 0) server.run_once();
  if (client.send(std::as_bytes(std::span("hello", 5))) != 5U) return std::puts("FAIL graceful_shutdown: send"), 1;
  std::raise(SIGTERM);
  std::array<std::byte, 16> bytes;
  std::size_t received = 0;
  for (auto size = client.receive(bytes); size != 0U; size = client.receive(bytes)) {
    received += size.value_or(0);
    if (!size && server.has_ended()) return std::puts("FAIL graceful_shutdown: no FIN came"), 1;
    if (!size) server.run_once();
  }
  if (!client.shutdown(reactor::Shutdown::write)) return std::puts("FAIL graceful_shutdown: shutdown"), 1;
  while (!server.has_ended()) server.run_once();
  const bool is_right = received == 5 && server.connections() == 0;
  std::printf("%s graceful_shutdown: %zu bytes came back\n", is_right ? "PASS" : "FAIL", received);
  return is_right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "127.0.0.1:0";
  if (argument == "--self-test") return self_test();
  Server server(value_or_exit(reactor::Address::parse(argument), "address"));
  std::printf("listening on %s\n", server.address().text().c_str());
  std::fflush(stdout);
  while (!server.has_ended()) server.run_once();
}
