// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
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

/// Which directions of a connection end. What the systems do after a shutdown of reading differs: docs/semantics.md.
enum class Shutdown : std::uint8_t { read, write, both };

/// What has to be set before a socket is bound.
struct BindOptions {
  /// An IPv6 socket is for IPv6 only. Off, one that is bound to [::] takes IPv4 too, as with Address::any.
  bool v6_only = true;
  /// Sockets that are all bound with this share an address, and the system spreads connections or datagrams over them:
  /// one listener for each thread. Linux only; elsewhere the error is not_supported, since what Windows has
  /// (SO_REUSEADDR) spreads nothing and lets any program take the address away.
  bool reuse_port = false;
};

/// Owns a socket of the system and closes it when destroyed. On Windows the first socket or Poller of this library
/// starts Winsock for the process (WSAStartup 2.2), and nothing stops it again: WSACleanup would close the sockets of
/// others. Every socket made here is non-blocking and not inheritable from creation (one that Windows accepts: directly
/// after accept, which cannot be asked for it). An error that means "not now" is equal to
/// std::errc::operation_would_block on both systems. Threads: one that receives and one that sends at the same time;
/// nothing else at once.
class REACTOR_API Socket {
 public:
  /// No socket.
  Socket() noexcept = default;
  /// Takes over a socket of the system, as it is.
  explicit Socket(NativeSocket native) noexcept : native_(native) {}
  /// Leaves `other` without a socket.
  Socket(Socket&& other) noexcept : native_(other.release()) {}
  /// Closes what it had before.
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  /// Closes it.
  ~Socket() { close(); }

  /// invalid_socket when there is none.
  [[nodiscard]] NativeSocket native() const noexcept { return native_; }
  /// It has a socket.
  [[nodiscard]] bool is_open() const noexcept { return native_ != invalid_socket; }
  /// Gives the socket away without closing it.
  [[nodiscard]] NativeSocket release() noexcept { return std::exchange(native_, invalid_socket); }
  /// Closes the socket, if there is one. Remove its registrations first (docs/cookbook.md).
  void close() noexcept;

  /// Where it is bound.
  [[nodiscard]] Result<Address> local_address() const;
  /// Whom it is connected to. Error: not_connected.
  [[nodiscard]] Result<Address> peer_address() const;
  /// The pending error (SO_ERROR), which this clears (but not under Wine 8): empty when there is none. Says why a
  /// connect failed. Of a connection that was reset Windows says nothing here: there only receive and send report it.
  [[nodiscard]] Result<std::error_code> take_error() const;
  /// Size of the send buffer (SO_SNDBUF), as the system rounds it.
  [[nodiscard]] Result<> set_send_buffer(int size_bytes) const;
  /// Size of the receive buffer (SO_RCVBUF), as the system rounds it.
  [[nodiscard]] Result<> set_receive_buffer(int size_bytes) const;
  /// What close does about data that has not been sent. Without a time, as every new socket is: the system goes on
  /// sending, and close returns at once. Zero: close resets the connection. Longer: on Linux close waits that long at
  /// most, although the socket is non-blocking; on Windows, where a non-blocking socket cannot wait, as without a time.
  [[nodiscard]] Result<> set_linger(std::optional<std::chrono::seconds> time) const;
  /// Close by RST at once, whatever is unsent: leaves no TIME_WAIT. The same as set_linger of zero.
  [[nodiscard]] Result<> set_abortive_close() const;

 private:
  NativeSocket native_ = invalid_socket;
};

/// A TCP connection, or a Unix stream where the address is a path. What Unix sockets a system does not have is
/// address_family_not_supported, and the message names it (docs/semantics.md, "Unix sockets").
class REACTOR_API TcpStream : public Socket {
 public:
  using Socket::Socket;  ///< takes over a socket of the system
  /// Buffers to receive into, filled one after the other.
  using PartsToFill = std::span<const std::span<std::byte>>;
  /// What to send, one part after the other.
  using PartsToSend = std::span<const std::span<const std::byte>>;
  /// At most this many parts are received or sent by one call; the rest is left for the next.
  static constexpr std::size_t parts_max = 64;

  /// Starts to connect. The stream becomes writable when connected; take_error says whether it failed.
  [[nodiscard]] static Result<TcpStream> connect(const Address& to);
  /// The same from this local address; with port 0 the system chooses a port.
  [[nodiscard]] static Result<TcpStream> connect(const Address& to, const Address& from);

  /// Number of bytes; 0 is the end that the peer announced by FIN (or means that `into` is empty). Errors:
  /// operation_would_block, connection_reset, ...
  [[nodiscard]] Result<std::size_t> receive(std::span<std::byte> into) const;
  /// The same into several parts, one filled after the other ("scatter").
  [[nodiscard]] Result<std::size_t> receive_parts(PartsToFill into) const;
  /// Number of bytes taken, which may be fewer. Errors: operation_would_block, connection_reset, broken_pipe, ... Never
  /// raises SIGPIPE.
  [[nodiscard]] Result<std::size_t> send(std::span<const std::byte> from) const;
  /// The same of several parts, one after the other ("gather").
  [[nodiscard]] Result<std::size_t> send_parts(PartsToSend from) const;
  /// One byte of urgent (out-of-band) data.
  [[nodiscard]] Result<> send_urgent(std::byte value) const;
  /// Urgent bytes stand in the stream among the others (SO_OOBINLINE), and are reported as readable.
  [[nodiscard]] Result<> set_urgent_inline(bool on) const;
  /// Ends one direction or both: the peer is sent FIN for writing. Error: not_connected.
  [[nodiscard]] Result<> shutdown(Shutdown which) const;
  /// Nagle's algorithm off.
  [[nodiscard]] Result<> set_no_delay(bool on) const;
  /// Probes an idle connection, so that a peer that is gone becomes an error (timed_out): after two hours, unless the
  /// system is configured otherwise.
  [[nodiscard]] Result<> set_keepalive(bool on) const;
  /// On: the first probe after `idle`, the next ones after `interval` each, from 1 to 32767 seconds. After how many
  /// the connection counts as dead, the system decides (Linux: 9, Windows: 10).
  [[nodiscard]] Result<> set_keepalive(std::chrono::seconds idle, std::chrono::seconds interval) const;
};

/// Accepts TCP connections (or those of a Unix stream).
class REACTOR_API TcpListener : public Socket {
 public:
  using Socket::Socket;  ///< takes over a socket of the system
  /// A connection and whom it is with.
  struct Accepted {
    TcpStream stream;  ///< the connection
    Address peer;      ///< whom it is with
  };

  /// Binds and listens. The option that guards the address is not the same promise on both systems:
  /// - Linux, SO_REUSEADDR: address_in_use only while another socket listens there, so a server may restart at once.
  /// - Windows, SO_EXCLUSIVEADDRUSE: no other program can take the address (by its SO_REUSEADDR). But a restart may
  ///   fail with address_in_use as long as a connection that the earlier listener accepted still exists: try again.
  [[nodiscard]] static Result<TcpListener> bind(const Address& at, int backlog = 1024);
  /// The same with options.
  [[nodiscard]] static Result<TcpListener> bind(const Address& at, const BindOptions& options, int backlog = 1024);

  /// operation_would_block when no connection waits. One that was reset while it waited is skipped.
  ///
  /// too_many_files_open, too_many_files_open_in_system, no_buffer_space, not_enough_memory: the connection still waits
  /// and the listener stays readable, so a level registration is reported by each wait, and a server that only tries
  /// again spins. It should pause: modify the listener's registration to Interest::none, and back to readable when a
  /// connection was closed or some time has passed (docs/cookbook.md). Any other error is about that one
  /// connection, which is gone: a server goes on.
  [[nodiscard]] Result<TcpStream> accept() const;
  /// The same, with the peer's address.
  [[nodiscard]] Result<Accepted> accept_from() const;
};

/// Sends and receives datagrams: UDP, or on Linux those of a Unix socket too.
class REACTOR_API UdpSocket : public Socket {
 public:
  using Socket::Socket;  ///< takes over a socket of the system
  /// What receive_from has received.
  struct Datagram {
    std::size_t size;  ///< in bytes
    Address from;      ///< who has sent it
  };
  /// One of those that send_batch sends.
  struct DatagramToSend {
    std::span<const std::byte> data;  ///< what to send
    Address to;                       ///< none: to the peer that connect fixed
  };
  /// One of those that receive_batch receives.
  struct DatagramToFill {
    std::span<std::byte> buffer;  ///< where to put it
    std::size_t size = 0;         ///< of what was received, at most that of `buffer`
    bool is_cut = false;          ///< it was longer than `buffer`: the rest is lost
    Address from;                 ///< who has sent it
  };
  /// At most this many datagrams are received or sent by one call; the rest is left for the next.
  static constexpr std::size_t batch_max = 64;

  /// Binds to an address; with port 0 the system chooses a port.
  [[nodiscard]] static Result<UdpSocket> bind(const Address& at, const BindOptions& options = {});
  /// Fixes the peer: send may then be used, and only its datagrams are received.
  [[nodiscard]] Result<> connect(const Address& to) const;
  /// Sends one datagram. Error: operation_would_block when the send buffer has no space.
  [[nodiscard]] Result<std::size_t> send_to(std::span<const std::byte> from, const Address& to) const;
  /// The same to the peer that connect fixed.
  [[nodiscard]] Result<std::size_t> send(std::span<const std::byte> from) const;
  /// A datagram longer than `into` is an error: message_size. (An empty datagram has size 0.)
  [[nodiscard]] Result<Datagram> receive_from(std::span<std::byte> into) const;

  /// How many of the datagrams were sent: one system call on Linux, one each on Windows. An error is
  /// reported if the first has it; one of a later datagram ends the batch before it.
  [[nodiscard]] Result<std::size_t> send_batch(std::span<const DatagramToSend> datagrams) const;
  /// The same for receiving.
  [[nodiscard]] Result<std::size_t> receive_batch(std::span<DatagramToFill> datagrams) const;
  /// Ends one direction or both, of this socket alone: nothing is sent. docs/semantics.md says what follows.
  [[nodiscard]] Result<> shutdown(Shutdown which) const;
};

}  // namespace reactor
