// SPDX-License-Identifier: MIT
// Passes connections on to another address:  proxy LISTEN_ADDRESS UPSTREAM_ADDRESS, or  proxy --self-test
//
// Back pressure: each direction has one buffer. While it is not empty, nothing more is received for it, so a slow
// receiver slows its sender down and the proxy's memory stays bounded.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Event, reactor::Interest, reactor::Token;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "proxy: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

struct Side {
  reactor::TcpStream stream;
  reactor::Registration registration;  // after the stream, so that it is removed before that is closed
  Interest interest;
};

/// What travels one way. It is never moved, since `left` lies in `buffer`.
struct Direction {
  std::array<std::byte, 16384> buffer;
  std::span<const std::byte> left;  // received and not sent yet
  bool has_ended = false;           // the sender has sent FIN

  /// Receives if the buffer is empty, and sends what it holds. False when the connection failed.
  bool pump(const reactor::TcpStream& from, const reactor::TcpStream& to) {
    if (left.empty() && !has_ended) {
      const auto received = from.receive(buffer);
      if (!received) return received.error() == std::errc::operation_would_block;
      left = std::span(buffer).first(*received);
      has_ended = left.empty();
      if (has_ended) return to.shutdown(reactor::Shutdown::write).has_value();
    }
    if (left.empty()) return true;
    const auto sent = to.send(left);
    if (!sent) return sent.error() == std::errc::operation_would_block;
    left = left.subspan(*sent);
    return true;
  }
};

struct Pair {
  Side client, upstream;
  Direction forth{}, back{};
  bool is_connected = false;

  /// False when both connections are to be closed.
  bool handle(const Event& event) {
    if (event.failed()) return false;
    if (!is_connected && !event.writable()) return true;  // nothing is sent before the upstream is connected
    is_connected = true;
    if (!forth.pump(client.stream, upstream.stream) || !back.pump(upstream.stream, client.stream)) return false;
    if (forth.has_ended && back.has_ended) return false;
    return update(client, forth, back) && update(upstream, back, forth);
  }

  /// Asks for what the proxy can use: data while the buffer is empty, space while there is something to send.
  static bool update(Side& side, const Direction& from, const Direction& to) {
    auto wanted = from.left.empty() && !from.has_ended ? Interest::readable : Interest::none;
    if (!to.left.empty()) wanted = wanted | Interest::writable;
    return wanted == std::exchange(side.interest, wanted) || side.registration.modify(wanted).has_value();
  }
};

class Proxy {
 public:
  Proxy(const reactor::Address& address, const reactor::Address& upstream)
      : upstream_(upstream),
        listener_(value_or_exit(reactor::TcpListener::bind(address), "bind")),
        accepting_(value_or_exit(poller_.add(listener_.native(), listener_token, Interest::readable), "add")) {}

  [[nodiscard]] reactor::Address address() const { return value_or_exit(listener_.local_address(), "address"); }
  [[nodiscard]] std::size_t pairs() const noexcept { return pairs_.size(); }

  /// How many events were handled.
  std::size_t run_once(std::chrono::nanoseconds timeout) {
    std::array<Event, 64> buffer;
    const auto events = value_or_exit(poller_.wait(buffer, timeout), "wait");
    for (const Event& event : events) {
      if (event.token() == listener_token) {
        accept();
      } else if (const auto found = pairs_.find(number_of(event.token())); found != pairs_.end()) {
        if (!found->second.handle(event)) pairs_.erase(found);
      }
    }
    return events.size();
  }

 private:
  static constexpr Token listener_token{0};

  /// The two tokens of a pair are its number twice, and one more.
  static std::uint64_t number_of(Token token) { return std::to_underlying(token) / 2; }

  void accept() {
    auto client = listener_.accept();
    if (!client) return;
    auto upstream = reactor::TcpStream::connect(upstream_);
    if (!upstream) return;
    const std::uint64_t number = ++accepted_;
    // Nothing is received from the client before there is somewhere to send it.
    auto of_client = poller_.add(client->native(), Token{2 * number}, Interest::none);
    auto of_upstream = poller_.add(upstream->native(), Token{2 * number + 1}, Interest::writable);
    if (!of_client || !of_upstream) return;
    pairs_.try_emplace(number, Side{std::move(*client), std::move(*of_client), Interest::none},
                       Side{std::move(*upstream), std::move(*of_upstream), Interest::writable});
  }

  reactor::Address upstream_;
  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  reactor::TcpListener listener_;
  reactor::Registration accepting_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::uint64_t accepted_ = 0;
};

/// The client sends until nothing moves any more, then the upstream reads everything.
int self_test() {
  const auto upstream = value_or_exit(reactor::TcpListener::bind(reactor::Address::loopback_ipv4()), "bind");
  Proxy proxy(reactor::Address::loopback_ipv4(), value_or_exit(upstream.local_address(), "address"));
  const auto client = value_or_exit(reactor::TcpStream::connect(proxy.address()), "connect");
  auto accepted = upstream.accept();
  for (; !accepted; accepted = upstream.accept()) {
    if (proxy.run_once(30s) == 0) return std::puts("FAIL proxy: nothing was accepted"), 1;
  }

  std::array<std::byte, 65536> bytes{};
  std::size_t sent = 0, received = 0;
  for (;;) {
    const auto taken = client.send(bytes);
    if (taken) sent += *taken;
    if (!taken && proxy.run_once(200ms) == 0) break;  // all buffers are full, and the proxy waits for space
  }
  if (!client.shutdown(reactor::Shutdown::write)) return std::puts("FAIL proxy: shutdown"), 1;
  for (;;) {
    const auto size = accepted->receive(bytes);
    if (size == 0U) break;
    received += size.value_or(0);
    if (!size && proxy.run_once(30s) == 0) return std::puts("FAIL proxy: data was lost"), 1;
  }
  accepted->close();
  while (proxy.pairs() != 0) {
    if (proxy.run_once(30s) == 0) return std::puts("FAIL proxy: the pair was not closed"), 1;
  }
  std::printf("%s proxy: %zu bytes sent, %zu received\n", sent == received ? "PASS" : "FAIL", sent, received);
  return sent == received ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--self-test") return self_test();
  if (argc != 3) return std::fputs("usage: proxy LISTEN_ADDRESS UPSTREAM_ADDRESS | --self-test\n", stderr), 2;
  Proxy proxy(value_or_exit(reactor::Address::parse(argv[1]), "address"),
              value_or_exit(reactor::Address::parse(argv[2]), "upstream"));
  std::printf("listening on %s\n", proxy.address().text().c_str());
  std::fflush(stdout);
  for (;;) proxy.run_once(std::chrono::hours(1));
}
