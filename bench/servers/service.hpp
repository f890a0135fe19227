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

/// How a server behaves. Each kind ignores what does not apply to it.
struct Settings {
  std::string kind;
  std::size_t event_buffer_size = 256;  // of one wait
  std::size_t threads = 1;              // ours: threads that wait on one Poller
  std::size_t connections = 1;          // blocking: how many to accept before it begins
  std::size_t active = 1;               // blocking: how many of those it serves
  bool short_lived = false;             // blocking: serve one connection after the other, each until it closes
  int send_buffer_bytes = 0;            // 0: the system's default
  bool toggles_other = false;           // ours: every event of another connection changes the interest of the first
  bool oneshot = false;                 // ours: connections are registered with Mode::oneshot
  bool toggles = false;                 // the first connection changes its interest at every event
  bool leaves_closed = false;           // ours: a connection is closed without being removed
  bool wakes = false;                   // the loop is woken before every wait
  bool counts_calls = false;            // count kernel calls, which costs time
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

/// One connection of a readiness server: it receives and sends back. While something is left to send, it waits to be
/// writable and receives nothing more.
class Echo {
 public:
  Echo(reactor::TcpStream stream, bool toggles) noexcept : stream_(std::move(stream)), toggles_(toggles) {}

  [[nodiscard]] const reactor::TcpStream& stream() const noexcept { return stream_; }
  void close() noexcept { stream_ = {}; }

  /// Call this when its socket is ready. Returns the interest for the next wait; none if the connection has ended.
  [[nodiscard]] std::optional<Interest> ready(Counters& counters, bool is_readable);

 private:
  [[nodiscard]] bool receive(Counters& counters);
  [[nodiscard]] bool send_left();

  reactor::TcpStream stream_;
  std::vector<std::byte> left_;  // received and not sent yet; empty unless the peer reads slowly
  std::size_t left_begin_ = 0;
  bool toggles_;
  bool toggled_ = false;
};

/// What all servers share: the listener, the counters, and the control port that reports them.
class Service {
 public:
  explicit Service(Settings settings);

  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
  [[nodiscard]] const reactor::TcpListener& listener() const noexcept { return listener_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }

  /// Prints the ports, and begins to serve the control port on another thread: it answers `stats` with the counters and
  /// what `describe` adds, and ends the process at `exit`.
  void open(std::function<void(Json&)> describe);

  /// Accepts all connections that are waiting, and calls `make(Echo)` for each.
  template <class Make>
  void accept_all(Make&& make) {
    while (auto stream = listener_.accept()) make(make_echo(std::move(*stream)));
  }
  /// Sets the options of a new connection, and counts it.
  void prepare(const reactor::TcpStream& stream);

 private:
  [[nodiscard]] Echo make_echo(reactor::TcpStream stream);
  [[nodiscard]] std::string stats() const;
  void run_control();

  Settings settings_;
  reactor::TcpListener listener_;
  Counters counters_;
  std::function<void(Json&)> describe_;
};

// Each is defined in a file of its own. They never return.
[[noreturn]] void serve_poller(Service& service);
[[noreturn]] void serve_shared_poller(Service& service);
[[noreturn]] void serve_epoll(Service& service);
[[noreturn]] void serve_wepoll(Service& service);
[[noreturn]] void serve_asio(Service& service);
[[noreturn]] void serve_asio_coroutines(Service& service);
[[noreturn]] void serve_loop(Service& service);
[[noreturn]] void serve_poll(Service& service);
[[noreturn]] void serve_select(Service& service);
[[noreturn]] void serve_afd(Service& service);
[[noreturn]] void serve_blocking(Service& service);
[[noreturn]] void serve_uv(Service& service);
[[noreturn]] void serve_libevent(Service& service);
[[noreturn]] void serve_http_loop(Service& service);
[[noreturn]] void serve_http_poller(Service& service);
[[noreturn]] void serve_http_epoll(Service& service);
[[noreturn]] void serve_http_asio(Service& service);
[[noreturn]] void serve_http_asio_coroutines(Service& service);
[[noreturn]] void serve_http_uv(Service& service);

}  // namespace bench
