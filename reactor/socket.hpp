// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <reactor/address.hpp>
#include <reactor/export.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor {

enum class Shutdown : std::uint8_t { read, write, both };

/// Owns a socket of the system and closes it when destroyed. Every socket made here is non-blocking and not inheritable
/// from birth (one that Windows accepts: from the moment after, as there is no way to ask for it in accept). An error
/// that says "not now" compares equal to std::errc::operation_would_block on both systems. Not for use by two threads
/// at once, but for one that reads and one that writes.
class REACTOR_API Socket {
 public:
  Socket() noexcept = default;
  /// Takes over a socket of the system, as it is.
  explicit Socket(NativeSocket native) noexcept : native_(native) {}
  Socket(Socket&& other) noexcept : native_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }

  /// invalid_socket when there is none.
  [[nodiscard]] NativeSocket native() const noexcept { return native_; }
  [[nodiscard]] bool is_open() const noexcept { return native_ != invalid_socket; }
  /// Gives the socket away without closing it.
  [[nodiscard]] NativeSocket release() noexcept { return std::exchange(native_, invalid_socket); }
  void close() noexcept;

  [[nodiscard]] Result<Address> local_address() const;
  [[nodiscard]] Result<Address> peer_address() const;
  /// The pending error (SO_ERROR), which this clears (but not under Wine 8): empty when there is none.
  [[nodiscard]] Result<std::error_code> take_error() const;
  /// In bytes, as the system rounds them.
  [[nodiscard]] Result<> set_send_buffer(int size_bytes) const;
  [[nodiscard]] Result<> set_receive_buffer(int size_bytes) const;
  /// Close by RST at once, whatever is unsent: leaves no TIME_WAIT.
  [[nodiscard]] Result<> set_abortive_close() const;

 private:
  NativeSocket native_ = invalid_socket;
};

/// A TCP connection (or a Unix stream).
class REACTOR_API TcpStream : public Socket {
 public:
  using Socket::Socket;
  /// Starts to connect. The stream becomes writable when connected; take_error tells if it failed.
  [[nodiscard]] static Result<TcpStream> connect(const Address& to);

  /// Number of bytes; 0 is the end that the peer announced by FIN (or means that `into` is empty). Errors:
  /// operation_would_block, connection_reset, …
  [[nodiscard]] Result<std::size_t> receive(std::span<std::byte> into) const;
  /// Number of bytes taken, which may be fewer. Errors: operation_would_block, connection_reset, broken_pipe, … Never
  /// raises SIGPIPE.
  [[nodiscard]] Result<std::size_t> send(std::span<const std::byte> from) const;
  /// One byte of urgent (out-of-band) data.
  [[nodiscard]] Result<> send_urgent(std::byte value) const;
  [[nodiscard]] Result<> shutdown(Shutdown which) const;
  /// Nagle's algorithm off.
  [[nodiscard]] Result<> set_no_delay(bool on) const;
};

class REACTOR_API TcpListener : public Socket {
 public:
  using Socket::Socket;
  /// Binds and listens. On Linux with SO_REUSEADDR (so that a server may restart), on Windows with SO_EXCLUSIVEADDRUSE
  /// (so that nobody else takes the port): the same promise by the option that gives it on each.
  [[nodiscard]] static Result<TcpListener> bind(const Address& at, int backlog = 1024);
  /// Errors: operation_would_block when nobody is waiting. One connection that was reset while it waited is skipped.
  [[nodiscard]] Result<TcpStream> accept() const;
};

class REACTOR_API UdpSocket : public Socket {
 public:
  using Socket::Socket;
  struct Datagram {
    std::size_t size;
    Address from;
  };
  [[nodiscard]] static Result<UdpSocket> bind(const Address& at);
  /// Fixes the peer: send may then be used, and only its datagrams are received.
  [[nodiscard]] Result<> connect(const Address& to) const;
  [[nodiscard]] Result<std::size_t> send_to(std::span<const std::byte> from, const Address& to) const;
  [[nodiscard]] Result<std::size_t> send(std::span<const std::byte> from) const;
  /// A datagram longer than `into` is an error: message_size. (An empty datagram has size 0.)
  [[nodiscard]] Result<Datagram> receive_from(std::span<std::byte> into) const;
};

}  // namespace reactor
