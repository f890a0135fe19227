// SPDX-License-Identifier: MIT
// One connection of the load.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "../common/arguments.hpp"
#include "load.hpp"

namespace bench {

namespace {

sockaddr_in loopback(std::uint32_t host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl((127U << 24) + host);
  return address;
}

void set(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0)
    fail(std::string("setsockopt: ") + std::strerror(errno));
}

}  // namespace

void Load::open(Connection& connection) {
  Connection opened;
  opened.answered_in_window = connection.answered_in_window;
  connection = std::move(opened);
  connection.id = ++last_id_;
  connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection.fd < 0) fail(std::string("socket: ") + std::strerror(errno));
  set(connection.fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options_.receive_buffer_bytes > 0) set(connection.fd, SOL_SOCKET, SO_RCVBUF, options_.receive_buffer_bytes);
  // From many addresses in turn, so that a fast churn does not run out of ports (TIME_WAIT).
  set(connection.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const sockaddr_in from = loopback(2 + static_cast<std::uint32_t>(opened_++ % 250), 0);
  const sockaddr_in to = loopback(1, options_.port);
  if (bind(connection.fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
    fail(std::string("bind: ") + std::strerror(errno));
  }
  connection.connect_began_ns = now_ns();
  if (connect(connection.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) {
    fail(std::string("connect: ") + std::strerror(errno));
  }
  connection.connecting = true;
  still_connecting_++;
  watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

void Load::close_connection(Connection& connection) {
  if (connection.fd < 0) return;
  close(connection.fd);
  connection.fd = -1;
}

void Load::watch(Connection& connection, int operation, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.u32 = static_cast<std::uint32_t>(&connection - connections_.data())}};
  if (epoll_ctl(epoll_, operation, connection.fd, &event) != 0) fail(std::string("epoll_ctl: ") + std::strerror(errno));
}

void Load::on_connected(Connection& connection) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    fail(std::string("connect: ") + std::strerror(error));
  }
  connection.connecting = false;
  still_connecting_--;
  watch(connection, EPOLL_CTL_MOD, EPOLLIN);
  if (stage_ == Stage::warming ||
      stage_ == Stage::measuring) {  // connected anew: the connect is part of its first message
    start_message(connection, connection.connect_began_ns);
    flush(connection);
  } else if (is_churn() && stage_ == Stage::finishing) {
    close_connection(connection);  // a server that takes one at a time would wait for its message
  }
}

void Load::start_message(Connection& connection, std::uint64_t due_ns) {
  connection.queued_bytes += options_.size_bytes;
  connection.in_flight.push_back(due_ns);
  in_flight_++;
}

// Open loop: sends all that is due by now. What the depth does not allow yet waits, and that time counts as latency.
void Load::start_due() {
  const std::uint64_t time_ns = now_ns();
  while (due_ns_ <= time_ns) {
    Connection& connection = connections_[next_turn_];
    next_turn_ = (next_turn_ + 1) % options_.active;
    if (connection.in_flight.size() < options_.depth) {
      start_message(connection, due_ns_);
      flush(connection);
    } else {
      connection.late.push_back(due_ns_);
    }
    due_exact_ns_ += 1e9 / static_cast<double>(options_.rate);
    due_ns_ = static_cast<std::uint64_t>(due_exact_ns_);
  }
}

// Sends on all connections at once, so that the server finds all of them ready.
void Load::start_round(std::uint64_t time_ns) {
  for (Connection& connection : std::span(connections_).first(options_.active)) {
    start_message(connection, time_ns);
    flush(connection);
  }
}

// Sends as many as may be in flight, on one connection after the other. With bursts, after each full round, all
// connections send `burst` messages of their own; the next round begins when those are answered.
void Load::send_in_turn() {
  const std::uint64_t time_ns = now_ns();
  while (in_flight_ < options_.in_flight) {
    if (options_.burst > 0 && until_burst_ == 0) {
      until_burst_ = options_.active;
      for (Connection& connection : std::span(connections_).first(options_.active)) {
        connection.burst_left = options_.burst - 1;
        start_message(connection, time_ns);
        flush(connection);
      }
      return;
    }
    if (until_burst_ > 0) until_burst_--;
    Connection& next = connections_[next_turn_];
    next_turn_ = (next_turn_ + 1) % options_.active;
    start_message(next, time_ns);
    flush(next);
  }
}

void Load::flush(Connection& connection) {
  while (connection.sent_bytes < connection.queued_bytes) {
    const auto bytes = sent_.at(connection.id, connection.sent_bytes, connection.queued_bytes - connection.sent_bytes);
    const ssize_t sent = send(connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) fail(std::string("send: ") + std::strerror(errno));
    if (sent < 0) break;
    connection.sent_bytes += static_cast<std::uint64_t>(sent);
  }
  const bool waits = connection.sent_bytes < connection.queued_bytes;
  if (waits == connection.waits_to_write) return;
  connection.waits_to_write = waits;
  watch(connection, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void Load::on_event(Connection& connection, std::uint32_t events) {
  if (connection.fd < 0) return;
  if (connection.connecting) return on_connected(connection);
  if ((events & EPOLLOUT) != 0) flush(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  const ssize_t size = recv(connection.fd, buffer_.data(), buffer_.size(), 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size < 0) fail(std::string("recv: ") + std::strerror(errno));
  if (size == 0) fail("the server closed connection " + std::to_string(&connection - connections_.data()));
  on_bytes(connection, static_cast<std::size_t>(size));
}

void Load::on_bytes(Connection& connection, std::size_t size) {
  const auto bytes = std::span(buffer_).first(size);
  if (connection.received_bytes + size > connection.sent_bytes * answer_bytes_ / options_.size_bytes ||
      !expected_.matches(connection.id, connection.received_bytes, bytes)) {
    fail("wrong bytes: connection " + std::to_string(&connection - connections_.data()) + ", after " +
         std::to_string(connection.received_bytes) + " correct ones");
  }
  connection.received_bytes += size;
  const std::uint64_t time_ns = now_ns();
  while (connection.received_bytes >= (connection.messages + 1) * answer_bytes_) on_answer(connection, time_ns);
  if (connection.fd >= 0 && !connection.connecting) flush(connection);
}

void Load::on_answer(Connection& connection, std::uint64_t time_ns) {
  const std::uint64_t due_ns = connection.in_flight.front();
  connection.in_flight.pop_front();
  in_flight_--;
  connection.messages++;
  all_messages_++;
  last_answer_ns_ = time_ns;
  if (stage_ == Stage::measuring) {
    messages_++;
    connection.answered_in_window++;
    latency_.record(time_ns - due_ns);
  }
  if (stage_ == Stage::connecting) return;
  if (stage_ == Stage::finishing) {
    if (is_churn()) close_connection(connection);
    return;
  }
  if (is_open_loop()) {
    if (connection.late.empty()) return;
    start_message(connection, connection.late.front());
    connection.late.pop_front();
  } else if (is_churn() && connection.messages >= options_.messages_per_connection) {
    close_connection(connection);
    open(connection);
  } else if (connection.burst_left > 0) {
    connection.burst_left--;
    start_message(connection, time_ns);
  } else if (options_.in_flight > 0) {
    send_in_turn();
  } else if (options_.in_rounds) {
    if (in_flight_ == 0) start_round(time_ns);
  } else {
    start_message(connection, time_ns);
  }
}

}  // namespace bench
