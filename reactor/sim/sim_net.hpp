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
#include <reactor/sim/sim_stack.hpp>

namespace reactor::sim {

using reactor::nt::SocketNumber;

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
  static constexpr std::uint16_t unanswered_port = Stack::unanswered_port;

  SimNet(Core& core, Watcher& watcher, Network* network = nullptr) noexcept
      : core_(core), stack_(core, watcher, network) {}

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
  Result<> set_urgent_inline(SocketNumber socket);
  Result<> shutdown(SocketNumber socket, Shutdown which = Shutdown::write);  ///< of sending: FIN behind what was sent
  Result<std::error_code> take_error(SocketNumber socket);                   ///< SO_ERROR
  Result<> begin_receive(SocketNumber socket);  ///< a WSARecv that waits: it takes what comes first
  Result<> begin_accept(SocketNumber socket);   ///< an AcceptEx that waits: it takes the connection that comes first
  Result<> reset(SocketNumber socket);          ///< closes the number; the last handle's end sends RST
  Result<> close(SocketNumber socket);          ///< the last handle's end sends FIN, or RST when something is unread

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
  [[nodiscard]] reactor::nt::ULONG events_of(const Endpoint& endpoint) const { return stack_.events_of(endpoint); }
  [[nodiscard]] static reactor::nt::NTSTATUS status_of(const Endpoint& endpoint, reactor::nt::ULONG events) {
    return Stack::status_of(endpoint, events);
  }
  [[nodiscard]] Stack& stack() noexcept { return stack_; }

 private:
  [[nodiscard]] SocketNumber open(const EndpointPtr& endpoint);
  [[nodiscard]] EndpointPtr find(SocketNumber socket);
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

  /// The same with the socket, which has to be open.
  template <class Function>
  auto with(SocketNumber socket, Function function) -> decltype(function(std::shared_ptr<Endpoint>())) {
    return locked([&]() -> decltype(function(std::shared_ptr<Endpoint>())) {
      const auto endpoint = find(socket);
      if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
      return function(endpoint);
    });
  }

  Core& core_;
  Stack stack_;
  std::vector<EndpointPtr> inherited_;  // once for each handle that the child has
};

}  // namespace reactor::sim
