// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <reactor/event.hpp>
#include <reactor/socket.hpp>

#include "../common/json.hpp"
#include "../common/value_or_fail.hpp"

namespace bench {

using reactor::Interest;

/// How a server is to behave: the same for all kinds where it means something to them.
struct Settings {
  std::string kind;
  std::size_t room = 256;       // for events, in one wait
  std::size_t threads = 1;      // ours: that wait on one Poller
  std::size_t connections = 1;  // blocking: how many to accept before it begins
  std::size_t active = 1;       // blocking: how many of those it serves
  bool short_lived = false;     // blocking: serve one connection after the other, each to its end
  int send_buffer_bytes = 0;    // 0: the system's own
  bool toggles_other = false;   // ours: every event of another changes the first connection's interest
  bool oneshot = false;         // ours: connections are registered with Mode::oneshot
  bool toggles = false;         // the first connection changes its interest at every event
  bool leaves_closed = false;   // ours: a connection is closed without being removed
  bool wakes = false;           // the loop is woken before every wait
  bool counts_calls = false;    // for the system's count of calls: costs time
};

/// Written by the server's loops, read by the control thread.
class Counter {
 public:
  void add(std::uint64_t more) noexcept { value_.fetch_add(more, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

struct Counters {
  Counter accepted, closed, receives, bytes;
};

/// One connection of a server that goes by readiness: receive, send back, and while something is left to send wait for
/// room instead of more to receive.
class Echo {
 public:
  Echo(reactor::TcpStream stream, bool toggles) noexcept : stream_(std::move(stream)), toggles_(toggles) {}

  [[nodiscard]] const reactor::TcpStream& stream() const noexcept { return stream_; }
  void close() noexcept { stream_ = {}; }

  /// To be called when its socket is ready. What to wait for next; nothing when the connection is over.
  [[nodiscard]] std::optional<Interest> ready(Counters& counters, bool is_readable);

 private:
  [[nodiscard]] bool receive(Counters& counters);
  [[nodiscard]] bool send_left();

  reactor::TcpStream stream_;
  std::vector<std::byte> left_;  // received and not sent yet; empty but for a slow reader
  std::size_t left_begin_ = 0;
  bool toggles_;
  bool toggled_ = false;
};

/// What all servers share: the listener, the counters, and the control port that tells them to whoever asks.
class Service {
 public:
  explicit Service(Settings settings);

  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
  [[nodiscard]] const reactor::TcpListener& listener() const noexcept { return listener_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }

  /// Says on stdout which ports it listens on, and from then on answers `stats` with the counters and what `describe`
  /// adds (called by another thread), and ends the process at `exit`.
  void open(std::function<void(Json&)> describe);

  /// A connection for each that waits, by the server's own `make(Echo)`.
  template <class Make>
  void accept_all(Make&& make) {
    while (auto stream = listener_.accept()) make(welcome(std::move(*stream)));
  }
  /// Sets what is to be set on a new connection, and counts it.
  void prepare(const reactor::TcpStream& stream);

 private:
  [[nodiscard]] Echo welcome(reactor::TcpStream stream);
  [[nodiscard]] std::string stats() const;
  void answer();

  Settings settings_;
  reactor::TcpListener listener_;
  Counters counters_;
  std::function<void(Json&)> describe_;
};

// Each in a file of its own. They never return.
[[noreturn]] void serve_poller(Service& service);
[[noreturn]] void serve_shared_poller(Service& service);
[[noreturn]] void serve_epoll(Service& service);
[[noreturn]] void serve_wepoll(Service& service);
[[noreturn]] void serve_asio(Service& service);
[[noreturn]] void serve_poll(Service& service);
[[noreturn]] void serve_select(Service& service);
[[noreturn]] void serve_afd(Service& service);
[[noreturn]] void serve_blocking(Service& service);
[[noreturn]] void serve_uv(Service& service);
[[noreturn]] void serve_libevent(Service& service);

}  // namespace bench
