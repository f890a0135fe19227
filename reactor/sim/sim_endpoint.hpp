// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reactor/nt/types.hpp>

namespace reactor::sim {

class Stack;

/// Where a socket is: an IP number and a port, or a path of its host.
struct Name {
  enum class Kind : std::uint8_t { none, ipv4, ipv6, path };

  Kind kind = Kind::none;
  std::uint16_t port = 0;
  std::array<std::uint8_t, 16> ip{};  // of IPv4 the first 4
  std::string path;

  friend bool operator==(const Name&, const Name&) = default;
  [[nodiscard]] bool is_any() const noexcept { return ip == std::array<std::uint8_t, 16>{}; }
  [[nodiscard]] bool is_loopback() const noexcept;
  [[nodiscard]] bool has_ip_of(const Name& other) const noexcept { return kind == other.kind && ip == other.ip; }
  [[nodiscard]] std::string text() const;  ///< "10.0.0.1:80", "[fd00::1]:80", "unix:/run/x", "-"
};

/// Bytes of a stream: those that have arrived, and behind them those that are on their way.
class ByteQueue {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size() - begin_; }
  void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  /// The first ones, which stay.
  void copy(std::span<std::byte> into) const {
    std::ranges::copy(std::span(bytes_).subspan(begin_, std::min(into.size(), size())), into.begin());
  }
  void drop(std::size_t count) {
    begin_ += std::min(count, size());
    if (begin_ == bytes_.size()) {
      bytes_.clear();
      begin_ = 0;
    } else if (begin_ > 65536 && begin_ > bytes_.size() / 2) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
  }
  void keep_first(std::size_t count) {
    if (count < size()) bytes_.resize(begin_ + count);
  }
  void erase(std::size_t at) {
    if (at < size()) bytes_.erase(bytes_.begin() + static_cast<std::ptrdiff_t>(begin_ + at));
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
};

/// A queue that has no memory while it has never held anything, as most of a socket's have not.
template <class T>
class Queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return begin_ == items_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size() - begin_; }
  [[nodiscard]] T& front() { return items_[begin_]; }
  [[nodiscard]] std::span<T> items() { return std::span(items_).subspan(begin_); }
  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_front() {
    items_[begin_++] = T();
    if (begin_ == items_.size()) return clear();
    if (begin_ < 64 || begin_ < items_.size() / 2) return;
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  void clear() noexcept {
    items_.clear();
    begin_ = 0;
  }

 private:
  std::vector<T> items_;
  std::size_t begin_ = 0;
};

enum class SocketState : std::uint8_t { fresh, connecting, connected, failed, listening, datagram, not_afd };

/// What has happened to a socket, as epoll's wake-ups distinguish it.
enum class Wake : std::uint8_t { input = 1, output = 2, urgent = 4, everything = 7 };

/// A registration of a simulated epoll that watches a socket.
class EpollItem;
struct SocketNotice;
struct Request;

/// A socket, whatever the numbers that mean it. For the simulator alone.
struct Endpoint {
  struct Segment {
    enum class Kind : std::uint8_t { data, urgent, fin } kind{};
    std::size_t bytes = 0;
    std::chrono::nanoseconds due{};
  };
  struct Datagram {
    std::size_t size = 0;
    std::vector<std::byte> bytes{};
    Name from{};
  };
  struct Keepalive {
    bool on = false;
    std::chrono::seconds idle{7200}, interval{75};
    int probes = 0;
    std::uint64_t turn = 0;  // the timer that counts
  };

  // What each packet needs stands first and together: with many sockets the processor's cache has none of it.
  Stack* stack = nullptr;
  Stack* peer_stack = nullptr;
  std::weak_ptr<Endpoint> peer;
  SocketState state = SocketState::fresh;
  bool closed = false;  // by the last of its handles
  bool fin = false, reset = false, reset_is_reported = false, unreachable = false;
  bool shut = false, shut_read = false;
  bool wants_space = false;  // a send did not find enough: reported when there is some
  std::errc error{};         // pending (SO_ERROR); none: errc{}
  int retries = 0;           // of what is first in under_way, or of a connect
  std::size_t unread = 0, urgent = 0;
  std::size_t unsent = 0;  // bytes in under_way, and unconfirmed
  std::size_t send_capacity = 0, receive_capacity = 0;
  std::chrono::nanoseconds last_due{0};
  std::chrono::nanoseconds received_at{0};  // when the last packet of the peer came
  Queue<Segment> under_way;
  ByteQueue incoming;                    // the unread bytes and those on their way; empty when bytes are only counted
  std::vector<Request*> polls;           // that are pending on it
  std::vector<EpollItem*> watching;      // registrations of a simulated epoll
  std::shared_ptr<SocketNotice> notice;  // its registration for socket notifications
  reactor::nt::ULONG history = 0;        // all that was so since a reference model last asked
  reactor::nt::ULONG reset_adds = 0;     // beside ABORT, for a poll that was pending when the reset came
  Name local, remote;

  std::uint64_t id = 0;
  int handles = 0;  // that are open, here or in another process
  std::uint16_t port = 0;
  std::size_t unconfirmed = 0;  // bytes that have arrived, but whose acknowledgement cannot come back
  int unconfirmed_times = 0;    // that they were sent again
  Queue<Datagram> datagrams;
  std::size_t datagram_bytes = 0;
  Queue<std::shared_ptr<Endpoint>> backlog;
  std::size_t backlog_max = 0;
  // Overlapped operations that wait (facts swallowed.recv, swallowed.accept): what comes is theirs, and no poll sees
  // it.
  std::size_t pending_receives = 0, pending_accepts = 0;
  std::vector<std::shared_ptr<Endpoint>> swallowed;  // the connections

  // What the program has set.
  bool is_ipv6 = false, is_dual = false, is_unix = false;
  bool shares_port = false, urgent_inline = false, aborts = false;
  Keepalive keepalive;
};

using EndpointPtr = std::shared_ptr<Endpoint>;

/// Gets to know when a socket is ready for something else than before: the kernel's polls, a simulated epoll.
class Watcher {
 public:
  Watcher() = default;
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  virtual void socket_changed(Endpoint& endpoint) = 0;
  virtual void socket_woken(Endpoint& endpoint, Wake) { socket_changed(endpoint); }
  virtual void socket_closed(Endpoint& endpoint) = 0;

 protected:
  ~Watcher() = default;
};

/// What is between the hosts of a simulation. Without one a host is alone.
class Network {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  enum class Packet : std::uint8_t { syn, syn_ack, data, fin, reset, datagram, unreachable };
  enum class Fate : std::uint8_t { sent, delivered, lost, repeated };

  Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// The host that has this IP number; null: none has.
  [[nodiscard]] virtual Stack* find(const Name& name) = 0;
  [[nodiscard]] virtual bool is_linked(const Stack& from, const Stack& to) = 0;
  /// How long what is sent now takes on its way, lost and sent again on the way included.
  [[nodiscard]] virtual nanoseconds transit(const Stack& from, const Stack& to, std::size_t bytes) = 0;
  /// The same of a datagram, once for each copy that arrives.
  virtual void datagram_transits(const Stack& from, const Stack& to, std::size_t bytes,
                                 std::vector<nanoseconds>& out) = 0;
  /// For the trace.
  virtual void note(Fate fate, Packet packet, const Stack& at, const Name& from, const Name& to, std::size_t bytes,
                    std::span<const std::byte> data) = 0;

 protected:
  ~Network() = default;
};

}  // namespace reactor::sim
