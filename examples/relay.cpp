// SPDX-License-Identifier: MIT
// Pairs its clients and sends to each what the other sends:  relay [ADDRESS | --self-test]
//
// When one of a pair ends, both are closed, and the same batch may have a later event of the other. So a token is never
// a pointer and never used twice: it is looked up, and the event of a closed client finds nothing.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using reactor::Event, reactor::Interest, reactor::Token;

constexpr Token listener_token{0};

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "relay: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

class Relay {
 public:
  explicit Relay(const reactor::Address& address)
      : listener_(value_or_exit(reactor::TcpListener::bind(address), "bind")),
        accepting_(value_or_exit(poller_.add(listener_.native(), listener_token, Interest::readable), "add")) {}

  [[nodiscard]] reactor::Address address() const { return value_or_exit(listener_.local_address(), "address"); }
  [[nodiscard]] std::size_t clients() const noexcept { return clients_.size(); }
  /// Events of clients that an earlier event of the same batch had closed.
  [[nodiscard]] std::size_t outdated() const noexcept { return outdated_; }

  void run_once() {
    std::array<Event, 64> buffer;
    for (const Event& event : value_or_exit(poller_.wait(buffer, std::chrono::seconds(30)), "wait")) {
      if (event.token() == listener_token) {
        accept();
      } else if (const auto found = clients_.find(event.token()); found == clients_.end()) {
        ++outdated_;
      } else if (!forward(found->second)) {
        close_pair(found->first);
      }
    }
  }

 private:
  struct Client {
    reactor::TcpStream stream;
    reactor::Registration registration;  // after the stream, so that it is removed before the stream is closed
    std::optional<Token> other;
  };

  void accept() {
    auto stream = listener_.accept();
    if (!stream) return;  // readiness is a hint: the client may have closed
    const Token token{++accepted_};
    // A client without a partner is not read from; a reset is reported with any interest.
    auto registration = poller_.add(stream->native(), token, Interest::none);
    if (!registration) return;
    const auto other = std::exchange(waiting_, std::nullopt);
    clients_.emplace(token, Client{std::move(*stream), std::move(*registration), other});
    if (!other) {
      waiting_ = token;
      return;
    }
    clients_.at(*other).other = token;
    for (const Token one : {token, *other}) {
      if (!clients_.at(one).registration.modify(Interest::readable)) return close_pair(one);
    }
  }

  /// False when the connection has ended, or the other reads too slowly to take all at once.
  bool forward(const Client& from) {
    if (!from.other) return false;
    std::array<std::byte, 4096> bytes;
    const auto received = from.stream.receive(bytes);
    if (!received) return received.error() == std::errc::operation_would_block;
    return *received != 0 && clients_.at(*from.other).stream.send(std::span(bytes).first(*received)) == *received;
  }

  void close_pair(Token token) {
    const auto other = clients_.at(token).other;
    if (waiting_ == token) waiting_.reset();
    clients_.erase(token);
    if (other) clients_.erase(*other);
  }

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  reactor::TcpListener listener_;
  reactor::Registration accepting_;
  std::unordered_map<Token, Client> clients_;
  std::optional<Token> waiting_;
  std::uint64_t accepted_ = 0;
  std::size_t outdated_ = 0;
};

/// Two clients that close at once: one event closes the pair; the other event is outdated, or does not come.
int self_test() {
  Relay relay(reactor::Address::loopback_ipv4());
  for (int round = 0; round < 20; ++round) {
    auto first = value_or_exit(reactor::TcpStream::connect(relay.address()), "connect");
    auto second = value_or_exit(reactor::TcpStream::connect(relay.address()), "connect");
    while (relay.clients() != 2) relay.run_once();
    value_or_exit(first.send(std::as_bytes(std::span("hello", 5))), "send");
    std::array<std::byte, 5> bytes;
    auto received = second.receive(bytes);
    for (; !received && received.error() == std::errc::operation_would_block; received = second.receive(bytes)) {
      relay.run_once();
    }
    if (received != bytes.size()) return std::puts("FAIL relay"), 1;
    first.close();
    second.close();
    while (relay.clients() != 0) relay.run_once();
  }
  std::printf("PASS relay: %zu outdated events\n", relay.outdated());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "127.0.0.1:0";
  if (argument == "--self-test") return self_test();
  Relay relay(value_or_exit(reactor::Address::parse(argument), "address"));
  std::printf("listening on %s\n", relay.address().text().c_str());
  std::fflush(stdout);
  for (;;) relay.run_once();
}
