// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reactor/nt/kernel.hpp>
#include <reactor/result.hpp>
#include <reactor/socket.hpp>

namespace conformance {

using Socket = reactor::nt::SocketNumber;

/// Which behaviour is expected where the two differ (docs/kernel-facts.md).
enum class Expect : unsigned char { windows, wine_8, wine_10 };

/// A kernel, and the sockets that it is polled for. All sockets are non-blocking and on loopback. The effect of a call
/// here may take a moment to arrive: a test waits for it by a poll.
class System {
 public:
  System() = default;
  System(const System&) = delete;
  System& operator=(const System&) = delete;
  virtual ~System() = default;

  [[nodiscard]] virtual reactor::nt::Kernel& kernel() = 0;
  [[nodiscard]] virtual Expect expect() const = 0;
  /// Real Windows: what was never seen there is printed, not asserted.
  [[nodiscard]] virtual bool is_unknown() const { return false; }
  /// Nothing is on its way for long, and no other program opens handles: results are exact.
  [[nodiscard]] virtual bool is_simulated() const { return false; }

  [[nodiscard]] virtual std::pair<Socket, Socket> tcp_pair() = 0;
  [[nodiscard]] virtual Socket tcp() = 0;
  [[nodiscard]] virtual Socket udp() = 0;
  [[nodiscard]] virtual Socket listener() = 0;
  [[nodiscard]] virtual Socket duplicate(Socket socket) = 0;
  virtual void connect(Socket socket, Socket listener) = 0;
  virtual void connect_to_closed_port(Socket socket) = 0;
  [[nodiscard]] virtual std::optional<Socket> accept(Socket listener) = 0;
  /// The number of bytes sent; 0 when it would block.
  [[nodiscard]] virtual std::size_t send(Socket socket, std::size_t bytes) = 0;
  /// Errors: operation_would_block, connection_reset; others as they come.
  [[nodiscard]] virtual reactor::Result<std::size_t> recv(Socket socket, std::size_t max) = 0;
  virtual void send_to(Socket from, Socket to, std::size_t bytes) = 0;
  virtual void send_to_closed_port(Socket from) = 0;
  virtual void send_urgent(Socket socket) = 0;
  virtual void recv_urgent(Socket socket) = 0;
  virtual void set_urgent_inline(Socket socket) = 0;  ///< SO_OOBINLINE
  virtual void shutdown(Socket socket, reactor::Shutdown which) = 0;
  [[nodiscard]] virtual int so_error(Socket socket) = 0;  ///< SO_ERROR, which it takes: Winsock's number or 0
  virtual void reset(Socket socket) = 0;                  ///< closes it with RST
  virtual void close(Socket socket) = 0;
  // Overlapped operations that wait. Nothing is known of what becomes of them.
  virtual void begin_receive(Socket socket) = 0;   ///< WSARecv
  virtual void begin_accept(Socket listener) = 0;  ///< AcceptEx
  /// FileReplaceCompletionInformation: another port, and key, for what completes on that handle. None: not simulated.
  [[nodiscard]] virtual std::optional<reactor::nt::NTSTATUS> replace_port(reactor::nt::HANDLE handle,
                                                                          reactor::nt::HANDLE port,
                                                                          reactor::nt::ULONG_PTR key) = 0;

  /// An open handle that is not a socket. The System closes it.
  [[nodiscard]] virtual reactor::nt::HANDLE no_socket() = 0;

  /// An object that can be waited for. The System closes it, unless `close_object` has.
  enum class Object : unsigned char { manual_reset, auto_reset, semaphore, mutex };
  [[nodiscard]] virtual reactor::nt::HANDLE object(Object kind, bool is_set = false) = 0;
  virtual void set(reactor::nt::HANDLE object) = 0;                     ///< sets an event, releases a semaphore
  [[nodiscard]] virtual bool try_wait(reactor::nt::HANDLE object) = 0;  ///< a wait with a time-out of zero
  virtual void close_object(reactor::nt::HANDLE object) = 0;

  /// Runs on another thread, or as if it did: before or while the caller next sleeps in the kernel.
  virtual void meanwhile(std::function<void()> what) = 0;
  /// Waits until all of that is done.
  virtual void join() = 0;

  /// The violations that the kernel saw, a line each.
  [[nodiscard]] virtual std::string complaint() { return {}; }
  /// For a test that causes them on purpose.
  virtual void forget_violations() {}
};

}  // namespace conformance
