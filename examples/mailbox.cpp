// SPDX-License-Identifier: MIT
// One I/O thread owns all sockets and exchanges messages with worker threads through queues; a Waker wakes it when
// there are replies. It receives lines over TCP, workers turn them into upper case, and it sends the replies in order:
//   mailbox [ADDRESS | --self-test]
#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using reactor::Interest, reactor::Token;

constexpr Token listener_token{0};
constexpr std::uint64_t workers = 3;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "mailbox: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

struct Message {
  Token from;
  std::string line;
};

class Queue {
 public:
  void post(Message message) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    changed_.notify_one();
  }
  std::vector<Message> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }
  /// Sleeps until there are messages, and returns them; none after close().
  std::vector<Message> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !messages_.empty(); });
    return std::exchange(messages_, {});
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Message> messages_;
  bool closed_ = false;
};

std::string upper(std::string line) {
  for (char& c : line) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return line;
}

void work(Queue& jobs, Queue& replies, const reactor::Waker& waker) {
  for (auto messages = jobs.wait(); !messages.empty(); messages = jobs.wait()) {
    for (Message& message : messages) replies.post({message.from, upper(std::move(message.line))});
    waker.wake();
  }
}

/// Only the I/O thread uses it, like all sockets.
struct Connection {
  reactor::TcpStream stream;
  reactor::Registration registration;
  Interest interest = Interest::readable;
  std::string incoming, outgoing;
  std::size_t lines_at_work = 0;
  bool peer_is_done = false;

  /// Hands each whole line to a worker. False when the connection failed.
  bool receive(Token token, Queue& jobs) {
    std::array<char, 4096> buffer{};
    const auto received = stream.receive(std::as_writable_bytes(std::span(buffer)));
    if (!received) return received.error() == std::errc::operation_would_block;
    peer_is_done = *received == 0;
    incoming.append(buffer.data(), *received);
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = incoming.find('\n', begin)) != std::string::npos; begin = end + 1) {
      jobs.post({token, incoming.substr(begin, end + 1 - begin)});
      ++lines_at_work;
    }
    incoming.erase(0, begin);
    return true;
  }

  /// Sends what it can and sets the interest for what comes next. False when the connection failed, or is done.
  bool flush() {
    if (!outgoing.empty()) {
      const auto sent = stream.send(std::as_bytes(std::span(outgoing)));
      if (!sent && sent.error() != std::errc::operation_would_block) return false;
      outgoing.erase(0, sent.value_or(0));
    }
    if (peer_is_done && lines_at_work == 0 && outgoing.empty()) return false;
    // A client that does not read its replies is not read from either; one that has sent FIN would stay readable.
    Interest next = peer_is_done ? Interest::none : Interest::readable;
    if (!outgoing.empty()) next = Interest::writable;
    return next == std::exchange(interest, next) || registration.modify(next).has_value();
  }
};

/// The I/O thread. Returns after `connections_max` connections have closed; 0: never.
void serve(const reactor::TcpListener& listener, std::size_t connections_max) {
  auto poller = value_or_exit(reactor::Poller::create(), "poller");
  const auto accepting = value_or_exit(poller.add(listener.native(), listener_token, Interest::readable), "add");
  Queue replies;
  std::array<Queue, workers> jobs;  // one for each worker, so that the lines of a connection stay in order
  std::vector<std::thread> threads;
  threads.reserve(workers);
  for (Queue& queue : jobs)
    threads.emplace_back([&queue, &replies, waker = poller.waker()] { work(queue, replies, waker); });

  std::unordered_map<Token, Connection> connections;
  std::uint64_t accepted = 0;
  std::array<reactor::Event, 64> buffer;
  for (std::size_t closed = 0; connections_max == 0 || closed < connections_max;) {
    const auto events = value_or_exit(poller.wait(buffer), "wait");
    for (const reactor::Event& event : events) {
      const Token token = event.token();
      if (token == listener_token) {
        auto stream = listener.accept();
        if (!stream && stream.error() == std::errc::operation_would_block) continue;
        auto peer = value_or_exit(std::move(stream), "accept");
        const Token next{++accepted};
        auto added = value_or_exit(poller.add(peer.native(), next, Interest::readable), "add");
        connections.emplace(next, Connection{std::move(peer), std::move(added), Interest::readable, {}, {}});
      } else {
        Connection& connection = connections.at(token);
        const bool has_ended =
            event.failed() || event.hung_up() ||
            (event.readable() && !connection.receive(token, jobs.at(static_cast<std::size_t>(token) % workers)));
        if (has_ended || !connection.flush()) closed += connections.erase(token);
      }
    }
    if (!events.woken()) continue;  // a wake may come together with events
    for (const Message& reply : replies.take()) {
      const auto found = connections.find(reply.from);
      if (found == connections.end()) continue;  // closed meanwhile
      found->second.outgoing += reply.line;
      --found->second.lines_at_work;
      if (!found->second.flush()) closed += connections.erase(reply.from);
    }
  }
  for (Queue& queue : jobs) queue.close();
  for (std::thread& thread : threads) thread.join();
}

/// --self-test: a client that sends lines without waiting for replies, and checks that all come back as they should.
bool converse(const reactor::Address& server, std::size_t number) {
  using std::chrono::seconds;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "line " + std::to_string(i) + " of client " + std::to_string(number) + '\n';
  const std::string expected = upper(text);
  std::string received_text;
  auto poller = value_or_exit(reactor::Poller::create(), "poller");
  const auto stream = value_or_exit(reactor::TcpStream::connect(server), "connect");
  auto registration =
      value_or_exit(poller.add(stream.native(), Token{1}, Interest::readable | Interest::writable), "add");
  std::array<reactor::Event, 1> event_buffer;
  std::array<char, 4096> buffer{};
  for (bool has_ended = false; !has_ended;) {
    const auto events = value_or_exit(poller.wait(event_buffer, seconds(30)), "wait");
    if (events.empty() || events[0].failed()) return false;
    if (events[0].writable() && !text.empty()) {
      text.erase(0, stream.send(std::as_bytes(std::span(text))).value_or(0));
      if (text.empty() && (!stream.shutdown(reactor::Shutdown::write) || !registration.modify(Interest::readable)))
        return false;
    }
    if (events[0].readable()) {
      const auto received = stream.receive(std::as_writable_bytes(std::span(buffer)));
      received_text.append(buffer.data(), received.value_or(0));
      has_ended = received == 0u;
    }
  }
  return received_text == expected;
}

int self_test(const reactor::TcpListener& listener) {
  std::array<bool, 5> good{};
  {
    const auto server = value_or_exit(listener.local_address(), "address");
    std::vector<std::thread> clients;
    clients.reserve(good.size());
    for (std::size_t i = 0; i < good.size(); ++i) clients.emplace_back([&, i] { good.at(i) = converse(server, i); });
    serve(listener, good.size());
    for (std::thread& client : clients) client.join();
  }
  const auto count = std::ranges::count(good, true);
  std::printf("%s mailbox: %d of %d clients got every line back, in order\n", count == 5 ? "PASS" : "FAIL",
              static_cast<int>(count), static_cast<int>(good.size()));
  return count == 5 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "127.0.0.1:0";
  const bool testing = argument == "--self-test";
  const auto address =
      testing ? reactor::Address::loopback_ipv4() : value_or_exit(reactor::Address::parse(argument), "address");
  const auto listener = value_or_exit(reactor::TcpListener::bind(address), "bind");
  if (testing) return self_test(listener);
  std::printf("listening on %s\n", value_or_exit(listener.local_address(), "address").text().c_str());
  std::fflush(stdout);
  serve(listener, 0);
}
