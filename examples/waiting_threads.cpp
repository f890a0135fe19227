// SPDX-License-Identifier: MIT
// Several threads wait on one Poller and send back what they receive:  waiting_threads [ADDRESS | --self-test]
//
// Mode::oneshot: an event disarms its socket until modify, so no two threads handle one connection at the same time.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Event, reactor::Interest, reactor::Mode, reactor::Token;

constexpr Token listener_token{0};
constexpr int threads_count = 4;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "waiting_threads: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

struct Connection {
  reactor::TcpStream stream;
  reactor::Registration registration;  // after the stream, so that it is removed before that is closed
  std::atomic<bool> is_being_handled = false;
};

class Server {
 public:
  explicit Server(const reactor::Address& address)
      : listener_(value_or_exit(reactor::TcpListener::bind(address), "bind")),
        accepting_(
            value_or_exit(poller_.add(listener_.native(), listener_token, Interest::readable, Mode::oneshot), "add")) {}

  [[nodiscard]] reactor::Address address() const { return value_or_exit(listener_.local_address(), "address"); }
  /// How often two threads handled one connection at the same time.
  [[nodiscard]] int overlaps() const noexcept { return overlaps_; }

  /// What each thread does.
  void run() {
    std::array<Event, 16> buffer;
    while (!is_stopping_) {
      for (const auto events = value_or_exit(poller_.wait(buffer), "wait"); const Event& event : events) {
        if (event.token() == listener_token) {
          accept();
        } else if (const auto connection = find(event.token())) {
          if (!echo(*connection)) erase(event.token());
        }
      }
    }
    poller_.waker().wake();  // a wake ends one wait: each thread that stops wakes the next one
  }

  void stop() {
    is_stopping_ = true;
    poller_.waker().wake();
  }

 private:
  void accept() {
    for (auto stream = listener_.accept(); stream; stream = listener_.accept()) {
      // The lock is held until the connection is in the table, since another thread may get its event at once.
      const std::lock_guard lock(mutex_);
      const Token token{++accepted_};
      auto registration = poller_.add(stream->native(), token, Interest::readable, Mode::oneshot);
      if (registration) {
        connections_.emplace(token, std::make_shared<Connection>(std::move(*stream), std::move(*registration)));
      }
    }
    if (!accepting_.modify(Interest::readable)) std::exit(1);
  }

  /// False when the connection has ended, or its peer does not take what it is sent.
  bool echo(Connection& connection) {
    if (connection.is_being_handled.exchange(true)) ++overlaps_;
    std::array<std::byte, 4096> bytes;
    const auto received = connection.stream.receive(bytes);
    bool is_open = received || received.error() == std::errc::operation_would_block;
    if (received) {
      is_open = *received != 0 && connection.stream.send(std::span(bytes).first(*received)) == *received;
    }
    connection.is_being_handled = false;
    // The last thing that is done with the connection: from here on, another thread may be handling it.
    return is_open && connection.registration.modify(Interest::readable);
  }

  std::shared_ptr<Connection> find(Token token) {
    const std::lock_guard lock(mutex_);
    const auto found = connections_.find(token);
    return found == connections_.end() ? nullptr : found->second;
  }
  void erase(Token token) {
    const std::lock_guard lock(mutex_);
    connections_.erase(token);
  }

  reactor::Poller poller_ = value_or_exit(reactor::Poller::create(), "poller");
  reactor::TcpListener listener_;
  reactor::Registration accepting_;
  std::mutex mutex_;
  std::unordered_map<Token, std::shared_ptr<Connection>> connections_;
  std::uint64_t accepted_ = 0;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<int> overlaps_ = 0;
};

/// Sixteen clients, a hundred messages each, all of which come back.
bool converse(const reactor::Address& server) {
  auto poller = value_or_exit(reactor::Poller::create(), "poller");
  std::vector<std::pair<reactor::TcpStream, reactor::Registration>> clients;
  for (std::uint64_t i = 0; i < 16; ++i) {
    auto stream = value_or_exit(reactor::TcpStream::connect(server), "connect");
    auto registration = value_or_exit(poller.add(stream.native(), Token{i}, Interest::writable), "add");
    clients.emplace_back(std::move(stream), std::move(registration));
  }
  std::array<Event, 16> buffer;
  std::array<std::byte, 4> message{};
  for (int answers = 0; answers < 1600;) {
    const auto events = value_or_exit(poller.wait(buffer, 30s), "wait");
    if (events.empty()) return false;
    for (const Event& event : events) {
      auto& [stream, registration] = clients[static_cast<std::size_t>(event.token())];
      if (event.readable()) {
        if (stream.receive(message) != message.size()) return false;
        ++answers;
      } else if (!registration.modify(Interest::readable)) {
        return false;
      }
      if (stream.send(message) != message.size()) return false;
    }
  }
  return true;
}

int self_test() {
  Server server(reactor::Address::loopback_ipv4());
  bool is_right = false;
  {
    std::vector<std::thread> threads;
    threads.reserve(threads_count);
    for (int i = 0; i < threads_count; ++i) threads.emplace_back([&] { server.run(); });
    is_right = converse(server.address());
    server.stop();
    for (std::thread& thread : threads) thread.join();
  }
  is_right = is_right && server.overlaps() == 0;
  std::printf("%s waiting_threads: %d overlaps\n", is_right ? "PASS" : "FAIL", server.overlaps());
  return is_right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "127.0.0.1:0";
  if (argument == "--self-test") return self_test();
  Server server(value_or_exit(reactor::Address::parse(argument), "address"));
  std::printf("listening on %s\n", server.address().text().c_str());
  std::fflush(stdout);
  std::vector<std::thread> threads;
  threads.reserve(threads_count);
  for (int i = 0; i < threads_count; ++i) threads.emplace_back([&] { server.run(); });
  for (std::thread& thread : threads) thread.join();
}
