// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <reactor/result.hpp>
#include <reactor/sim/sim_core.hpp>
#include <reactor/sim/sim_endpoint.hpp>
#include <reactor/socket.hpp>

namespace reactor::sim {

/// The TCP, UDP and Unix sockets of one host. Not thread-safe: the callers hold the simulator's lock, and let happen
/// what is due before and after. Errors are std::errc, whatever the host's system.
class Stack {
 public:
  /// Connecting to it is never answered.
  static constexpr std::uint16_t unanswered_port = 9;

  Stack(Core& core, Watcher& watcher, Network* network) noexcept : core_(core), watcher_(watcher), network_(network) {}

  // A host.
  std::vector<Name> addresses;  // the first of a kind is where its connects come from
  std::string name;
  std::size_t index = 0;  // of the host in its World
  bool is_up = true;
  [[nodiscard]] bool has_address(const Name& name) const noexcept;
  [[nodiscard]] Core& core() const noexcept { return core_; }
  /// Closes all sockets at once: without a packet, as by a power cut, or each connection by a reset.
  void lose_all(bool resets);

  // Sockets.
  [[nodiscard]] EndpointPtr make(SocketState state);
  Result<> bind(const EndpointPtr& endpoint, const Name& at);
  Result<> listen(const EndpointPtr& endpoint, int backlog);
  Result<> connect(const EndpointPtr& endpoint, const Name& to);
  Result<EndpointPtr> accept(Endpoint& listener);
  /// Bytes of `from`, or so many that are only counted.
  Result<std::size_t> send(const EndpointPtr& endpoint, std::span<const std::byte> from, std::size_t bytes);
  Result<> send_urgent(const EndpointPtr& endpoint, std::span<const std::byte> value);
  /// Into `into`, or so many that are only counted.
  Result<std::size_t> receive(Endpoint& endpoint, std::span<std::byte> into, std::size_t bytes_max);
  Result<std::size_t> send_to(const EndpointPtr& endpoint, const Name& to, std::span<const std::byte> from,
                              std::size_t bytes);
  struct Received {
    Endpoint::Datagram datagram;
    bool is_end = false;  // no datagram: the socket was shut for reading
  };
  Result<Received> receive_from(Endpoint& endpoint);
  Result<> shutdown(const EndpointPtr& endpoint, Shutdown which);
  void drop_handle(const EndpointPtr& endpoint, bool abortive);
  Result<std::error_code> take_error(Endpoint& endpoint);
  void set_keepalive(const EndpointPtr& endpoint);

  /// Bound to a port that is free, of any address.
  std::uint16_t bind_somewhere(const EndpointPtr& endpoint);
  void connect_to_port(const EndpointPtr& endpoint, std::uint16_t port);  ///< of this host
  static void join(const EndpointPtr& a, const EndpointPtr& b);

  // What AFD and epoll see of it.
  [[nodiscard]] reactor::nt::ULONG events_of(const Endpoint& endpoint) const;
  [[nodiscard]] static reactor::nt::NTSTATUS status_of(const Endpoint& endpoint, reactor::nt::ULONG events);
  [[nodiscard]] bool is_writable(const Endpoint& endpoint) const;

 private:
  using nanoseconds = std::chrono::nanoseconds;
  using Kind = Endpoint::Segment::Kind;
  using Fate = Network::Fate;
  using Packet = Network::Packet;

  [[nodiscard]] static std::uint32_t port_key(bool is_stream, std::uint16_t port) noexcept {
    return port | (is_stream ? 0x10000U : 0U);
  }
  [[nodiscard]] bool conflicts(const Endpoint& endpoint, const Name& at) const;
  [[nodiscard]] std::uint16_t free_port(const Endpoint& endpoint, const Name& at);
  void enter(const EndpointPtr& endpoint);
  [[nodiscard]] EndpointPtr bound(bool is_stream, const Name& to, const Name& from);
  [[nodiscard]] Stack* route(const Name& to);
  [[nodiscard]] Result<Name> source_for(const Endpoint& endpoint, const Name& to) const;

  // sim_wire.cpp, all of it with the sender's stack
  [[nodiscard]] nanoseconds transit(const Stack& to, std::size_t bytes);
  [[nodiscard]] bool is_linked(const Stack& to) const;
  void note(Fate fate, Packet packet, const Name& from, const Name& to, std::size_t bytes = 0,
            std::span<const std::byte> data = {}) const;
  void send_syn(const EndpointPtr& client, const Name& to);
  void syn_arrives(const EndpointPtr& client, const Name& to);
  void queue_connection(Endpoint& listener, const EndpointPtr& server);
  void retry_syn(const EndpointPtr& client, const Name& to);
  void refuse(const EndpointPtr& client);
  void fail_connect(Endpoint& client, std::errc why);
  void establish(Endpoint& client);
  void queue(const EndpointPtr& from, Kind kind, std::size_t bytes);
  void pump(const EndpointPtr& from);
  void arrive(Endpoint& from, Endpoint& to, Endpoint::Segment& segment, std::size_t bytes);
  bool retry(const EndpointPtr& from);
  bool confirm(Endpoint& from);
  void retry_unconfirmed(const EndpointPtr& from);
  void send_reset(const EndpointPtr& to, nanoseconds not_before);
  void break_off(Endpoint& endpoint, std::errc why);
  void end(const EndpointPtr& endpoint, bool abortive);
  void probe(const EndpointPtr& endpoint);
  void datagram_arrives(const EndpointPtr& from, Stack& target, const Name& to, Endpoint::Datagram datagram);
  void woken(Endpoint& endpoint, Wake wake) { watcher_.socket_woken(endpoint, wake); }

  Core& core_;
  Watcher& watcher_;
  Network* network_;
  std::unordered_map<std::uint32_t, std::vector<std::weak_ptr<Endpoint>>> ports_;
  std::map<std::string, std::weak_ptr<Endpoint>> paths_;
  std::unordered_set<EndpointPtr> lingering_;  // closed, but what they sent has not arrived yet
  std::vector<std::weak_ptr<Endpoint>> made_;
  std::size_t made_at_last_sweep_ = 64;
  std::uint64_t last_id_ = 0;
  std::uint16_t last_port_ = 1024;
};

}  // namespace reactor::sim
