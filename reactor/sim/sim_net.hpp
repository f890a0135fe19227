// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <reactor/nt/kernel.hpp>
#include <reactor/result.hpp>

#include <reactor/sim/sim_core.hpp>

namespace reactor::sim {

using reactor::nt::SocketNumber;

enum class SocketState : std::uint8_t { fresh, connecting, connected, failed, listening, datagram, not_afd };

struct SocketNotice;

/// A socket of AFD, whatever the numbers that mean it. Bytes are counted, not kept. For the simulator alone.
struct Endpoint {
  struct Segment {
    enum class Kind : std::uint8_t { data, urgent, fin } kind;
    std::size_t bytes;
    std::chrono::nanoseconds due;
  };

  std::uint64_t id = 0;
  SocketState state = SocketState::fresh;
  int handles = 0;      // that are open, here or in another process
  bool closed = false;  // by the last of them
  std::uint16_t port = 0;
  std::weak_ptr<Endpoint> peer;
  std::vector<std::uint64_t> polls;      // requests that wait for it
  std::shared_ptr<SocketNotice> notice;  // its registration for socket notifications
  reactor::nt::ULONG history = 0;        // all that was so since a reference model last asked

  // What has come.
  std::size_t unread = 0, urgent = 0;
  bool fin = false, reset = false, reset_is_reported = false, unreachable = false;
  reactor::nt::ULONG reset_adds = 0;  // beside ABORT, for a poll that was pending when the reset came
  std::deque<std::size_t> datagrams;
  std::deque<std::shared_ptr<Endpoint>> backlog;
  std::size_t backlog_max = 0;

  // What goes.
  std::deque<Segment> under_way;
  std::size_t unsent = 0;  // bytes in under_way
  std::chrono::nanoseconds last_due{0};
  bool shut = false;
};

/// Who wants to know when a socket is ready for something else than before: the kernel's polls.
class Watcher {
 public:
  Watcher() = default;
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  virtual void socket_changed(Endpoint& endpoint) = 0;
  virtual void socket_closed(Endpoint& endpoint) = 0;

 protected:
  ~Watcher() = default;
};

/// Both sides of a small network, to be played by a test: TCP, UDP and listening sockets of one host, by number. What
/// is sent takes Options::flight to arrive; then AFD polls complete. All sockets are non-blocking. Any thread.
///
/// Errors are std::errc: operation_would_block, bad_file_descriptor (not open), not_connected, connection_reset,
/// broken_pipe (sent after shutdown), invalid_argument (not for this kind of socket).
class SimNet {
 public:
  template <class T = void>
  using Result = reactor::Result<T>;

  /// Connecting to it is never answered.
  static constexpr std::uint16_t unanswered_port = 9;

  SimNet(Core& core, Watcher& watcher) noexcept : core_(core), watcher_(watcher) {}

  // Sockets. A number that was closed is used again at once.
  [[nodiscard]] SocketNumber tcp();
  [[nodiscard]] SocketNumber udp();  ///< bound to a port of its own
  [[nodiscard]] SocketNumber listener(std::size_t backlog = 128);
  [[nodiscard]] std::pair<SocketNumber, SocketNumber> tcp_pair();  ///< connected to each other
  [[nodiscard]] SocketNumber duplicate(SocketNumber socket);       ///< another number for the same socket
  /// A number with a layered provider on top: its base is a socket with another number, and both close together.
  [[nodiscard]] SocketNumber layered(SocketNumber base);
  [[nodiscard]] SocketNumber hidden();   ///< a number whose provider hides its base
  [[nodiscard]] SocketNumber not_afd();  ///< its own base, but no poll of it is ever accepted
  [[nodiscard]] std::uint16_t port_of(SocketNumber socket);

  // What a program does with them.
  Result<> connect(SocketNumber socket, std::uint16_t port);  ///< starts it: ready when it has ended, well or not
  Result<SocketNumber> accept(SocketNumber socket);
  Result<std::size_t> send(SocketNumber socket, std::size_t bytes);  ///< less than asked when the buffer gets full
  Result<std::size_t> send_to(SocketNumber socket, std::uint16_t port, std::size_t bytes);
  Result<std::size_t> recv(SocketNumber socket, std::size_t max);  ///< 0: the peer's FIN, or an empty datagram
  Result<> send_urgent(SocketNumber socket);
  Result<> recv_urgent(SocketNumber socket);
  Result<> shutdown(SocketNumber socket);  ///< FIN behind what was sent
  Result<> reset(SocketNumber socket);     ///< closes the number; the last handle's end sends RST
  Result<> close(SocketNumber socket);     ///< the last handle's end sends FIN, or RST when something is unread

  /// A child process gets a handle of the socket: it stays open when its last number here was closed.
  Result<> inherit(SocketNumber socket);
  void end_child();  ///< closes all that was inherited
  [[nodiscard]] std::size_t inherited();

  // The truth, for a reference model: what the program would find if it tried now.
  [[nodiscard]] bool is_open(SocketNumber socket);
  [[nodiscard]] bool readable(SocketNumber socket);  ///< recv or accept would not say would-block
  [[nodiscard]] bool writable(SocketNumber socket);  ///< send would not say would-block; or the connect has ended
  [[nodiscard]] bool priority(SocketNumber socket);
  [[nodiscard]] bool failed(SocketNumber socket);                ///< reset, or the connect failed
  [[nodiscard]] reactor::nt::ULONG events(SocketNumber socket);  ///< what AFD answers now if asked for everything
  [[nodiscard]] std::uint64_t identity(SocketNumber socket);     ///< of the socket; 0 when not open. Never used twice
  [[nodiscard]] std::size_t in_flight(SocketNumber socket);      ///< bytes it has sent that have not arrived
  [[nodiscard]] std::size_t open_sockets();

  /// The number AFD knows it by: another one when a provider is layered on top.
  [[nodiscard]] SocketNumber base_of(SocketNumber socket);
  /// The socket itself, for a reference model: one thread, which must change nothing but its history.
  [[nodiscard]] std::shared_ptr<Endpoint> endpoint(SocketNumber socket) { return find(socket); }

  // For SimKernel, which holds the lock.
  [[nodiscard]] reactor::nt::ULONG events_of(const Endpoint& endpoint) const;
  [[nodiscard]] static reactor::nt::NTSTATUS status_of(const Endpoint& endpoint, reactor::nt::ULONG events);

 private:
  using EndpointPtr = std::shared_ptr<Endpoint>;

  [[nodiscard]] EndpointPtr make(SocketState state);
  [[nodiscard]] SocketNumber open(const EndpointPtr& endpoint);
  [[nodiscard]] EndpointPtr find(SocketNumber socket);
  [[nodiscard]] std::uint16_t bind(const EndpointPtr& endpoint);
  [[nodiscard]] EndpointPtr bound(std::uint16_t port) const;
  void syn_arrives(const EndpointPtr& client, std::uint16_t port);
  void refuse(const EndpointPtr& client);
  void establish(Endpoint& client);
  void queue(const EndpointPtr& from, Endpoint::Segment::Kind kind, std::size_t bytes);
  void pump(const EndpointPtr& from);
  void send_reset(const EndpointPtr& to, std::chrono::nanoseconds not_before);
  void end(const EndpointPtr& endpoint, bool abortive);
  void drop_handle(const EndpointPtr& endpoint, bool abortive);
  Result<> close_number(SocketNumber socket, bool abortive);
  void note(const char* what, SocketNumber socket, std::size_t value);

  /// Does it under the lock, then lets what is due happen.
  template <class Function>
  auto locked(Function&& function) {
    const Core::Lock lock(core_.mutex);
    core_.run_due();
    auto result = function();
    core_.run_due();
    return result;
  }

  Core& core_;
  Watcher& watcher_;
  std::map<std::uint16_t, std::weak_ptr<Endpoint>> ports_;
  std::vector<EndpointPtr> lingering_;  // closed, but what they sent has not arrived yet
  std::vector<EndpointPtr> inherited_;  // once for each handle that the child has
  std::uint64_t last_id_ = 0;
  std::uint16_t last_port_ = 1024;
};

}  // namespace reactor::sim
