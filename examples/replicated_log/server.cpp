// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include <reactor/socket.hpp>

#include "log.hpp"

namespace replicated_log {

using namespace reactor;

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return *std::move(result);
}

struct Connection {
  TcpStream stream;
  Registration registration;
  std::string received;
};

/// "12 some text"
Entry entry_of(std::string_view line) {
  Entry entry{};
  const auto end = std::min(line.find(' '), line.size());
  std::from_chars(line.data(), line.data() + end, entry.number);
  entry.text = line.substr(std::min(end + 1, line.size()));
  return entry;
}

}  // namespace

struct Server::State {
  State(Log& kept, Mistake planted) : log(kept), mistake(planted) {}

  Log& log;
  Mistake mistake;
  Poller poller = must(Poller::create());
  TcpListener listener;
  Registration accepts;
  std::map<std::uint64_t, Connection> connections;
  std::uint64_t last_token = 0;

  void accept() {
    auto accepted = listener.accept();
    if (!accepted) return;
    auto registration = must(poller.add(accepted->native(), Token{++last_token}, Interest::readable));
    connections[last_token] = {std::move(*accepted), std::move(registration), {}};
  }

  /// Appends what has come, line by line, and answers with the numbers.
  void handle(std::map<std::uint64_t, Connection>::iterator at) {
    auto& [stream, registration, received] = at->second;
    std::array<std::byte, 1024> buffer;
    const auto size = stream.receive(buffer);
    if (!size && size.error() == std::errc::operation_would_block) return;
    if (!size || *size == 0) {
      connections.erase(at);
      return;
    }
    received.append(reinterpret_cast<const char*>(buffer.data()), *size);
    for (auto end = received.find('\n'); end != std::string::npos; end = received.find('\n')) {
      const Entry entry = entry_of(received.substr(0, end));
      received.erase(0, end + 1);
      const bool is_known = std::ranges::find(log, entry.number, &Entry::number) != log.end();
      if (!is_known || mistake == Mistake::appends_again) log.push_back(entry);
      const std::string answer = std::to_string(entry.number) + "\n";
      static_cast<void>(stream.send(std::as_bytes(std::span(answer))));  // not taken: the client asks again
    }
  }
};

Server::Server(const Address& at, Log& log, Mistake mistake) : state_(std::make_unique<State>(log, mistake)) {
  state_->listener = must(TcpListener::bind(at));
  state_->accepts = must(state_->poller.add(state_->listener.native(), Token{0}, Interest::readable));
}

Server::~Server() = default;

Address Server::address() const { return must(state_->listener.local_address()); }
Waker Server::waker() const { return state_->poller.waker(); }

void Server::run() {
  std::array<Event, 16> buffer;
  for (;;) {
    const auto events = must(state_->poller.wait(buffer));
    if (events.woken()) return;
    for (const Event& event : events) {
      const auto found = state_->connections.find(std::to_underlying(event.token()));
      if (event.token() == Token{0}) state_->accept();
      if (found != state_->connections.end()) state_->handle(found);
    }
  }
}

}  // namespace replicated_log
