// SPDX-License-Identifier: MIT
#pragma once

#include <coroutine>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <reactor/address.hpp>
#include <reactor/loop/io.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/socket.hpp>

namespace reactor {

/// A socket that tasks use: On<TcpStream>, On<TcpListener>, On<UdpSocket>.
///
/// It belongs to the loop of the task that first has to wait for it. An operation is tried first and waits only if it
/// would block. One operation in each direction at a time: one more is misuse, which aborts. When the socket is closed
/// while another task waits for it, that operation ends with operation_canceled; later ones with bad_file_descriptor.
///
/// The operations are to be awaited at once, and what they are given (a span) must live until they end. Every operation
/// of a task that is to stop ends with operation_canceled; one that is cancelled has not changed the socket, except
/// where its description has that.
template <class SocketType>
class On;

namespace detail {

class ConnectOperation;
class ReadOperation;

class REACTOR_LOOP_API ReceiveOperation final : public IoOperation {
 public:
  ReceiveOperation(SocketState* state, std::span<std::byte> into) noexcept
      : IoOperation(state, Direction::read), into_(into) {}
  [[nodiscard]] const char* what() const noexcept override { return "receive"; }
  [[nodiscard]] Result<std::size_t> await_resume() const noexcept {
    if (error()) return failure(error());
    return size_;
  }

 private:
  Tried attempt() override;
  std::span<std::byte> into_;
  std::size_t size_ = 0;
};

class REACTOR_LOOP_API ReceiveExactlyOperation final : public IoOperation {
 public:
  ReceiveExactlyOperation(SocketState* state, std::span<std::byte> into) noexcept
      : IoOperation(state, Direction::read), left_(into) {}
  [[nodiscard]] const char* what() const noexcept override { return "receive_exactly"; }
  [[nodiscard]] Result<> await_resume() const noexcept { return result(); }

 private:
  Tried attempt() override;
  std::span<std::byte> left_;
};

class REACTOR_LOOP_API SendSomeOperation final : public IoOperation {
 public:
  SendSomeOperation(SocketState* state, std::span<const std::byte> from) noexcept
      : IoOperation(state, Direction::write), from_(from) {}
  [[nodiscard]] const char* what() const noexcept override { return "send_some"; }
  [[nodiscard]] Result<std::size_t> await_resume() const noexcept {
    if (error()) return failure(error());
    return size_;
  }

 private:
  Tried attempt() override;
  std::span<const std::byte> from_;
  std::size_t size_ = 0;
};

class REACTOR_LOOP_API SendOperation final : public IoOperation {
 public:
  SendOperation(SocketState* state, std::span<const std::byte> from) noexcept
      : IoOperation(state, Direction::write), left_(from) {}
  [[nodiscard]] const char* what() const noexcept override { return "send"; }
  [[nodiscard]] Result<> await_resume() const noexcept { return result(); }

 private:
  Tried attempt() override;
  std::span<const std::byte> left_;
};

}  // namespace detail

/// A TCP connection (or a Unix stream).
template <>
class REACTOR_LOOP_API On<TcpStream> {
 public:
  /// None: closed.
  On() noexcept = default;
  /// Takes over a connected stream. Throws std::bad_alloc.
  explicit On(TcpStream stream);

  /// Number of bytes; 0 is the end that the peer announced. Errors: connection_reset, ... Cancelled: nothing is lost.
  [[nodiscard]] detail::ReceiveOperation receive(std::span<std::byte> into) noexcept { return {state_.get(), into}; }
  /// All of `into`. Errors: connection_aborted when the peer ended before; those of receive. Cancelled: what had come
  /// is in `into`, and is lost, since how much it was is not known.
  [[nodiscard]] detail::ReceiveExactlyOperation receive_exactly(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
  }
  /// Sends all of it. Errors: connection_reset, broken_pipe, ... Cancelled: a part may have been sent, and how much is
  /// not known; so the connection is of no more use to most protocols.
  [[nodiscard]] detail::SendOperation send(std::span<const std::byte> from) noexcept { return {state_.get(), from}; }
  /// The same of a text.
  [[nodiscard]] detail::SendOperation send(std::string_view text) noexcept {
    return {state_.get(), std::as_bytes(std::span(text))};
  }
  /// Number of bytes sent, at least 1 if there are any. Errors: as send. Cancelled: nothing was sent.
  [[nodiscard]] detail::SendSomeOperation send_some(std::span<const std::byte> from) noexcept {
    return {state_.get(), from};
  }
  /// Ends a direction, at once: `write` announces the end to the peer behind all that was sent.
  [[nodiscard]] Result<> shutdown(Shutdown which);

  /// It has a socket.
  [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr; }
  /// Closes the socket, if there is one. Operations that wait for it end with operation_canceled.
  void close() noexcept { state_.reset(); }
  /// For its options and addresses. Must be open.
  [[nodiscard]] TcpStream& socket() const noexcept;
  /// Takes the stream off the loop. No operation may be under way.
  [[nodiscard]] TcpStream release();

 private:
  friend class detail::ConnectOperation;
  friend class detail::ReadOperation;
  explicit On(detail::SocketStateOwner state) noexcept : state_(std::move(state)) {}
  detail::SocketStateOwner state_;
};

/// What a listener has accepted.
struct Accepted {
  On<TcpStream> stream;  ///< the connection
  Address peer;          ///< whom it is with
};

namespace detail {

class REACTOR_LOOP_API AcceptOperation final : public IoOperation {
 public:
  explicit AcceptOperation(SocketState* state) noexcept : IoOperation(state, Direction::read) {}
  void on_timer() noexcept override;
  [[nodiscard]] const char* what() const noexcept override { return must_pause_ ? "accept (pauses)" : "accept"; }
  [[nodiscard]] Result<Accepted> await_resume();

 private:
  Tried attempt() override;
  Result<> arm() override;
  TcpListener::Accepted accepted_;
  Timer timer_;
  bool must_pause_ = false;

 public:
  AcceptOperation(const AcceptOperation& other) noexcept : IoOperation(other) {}
  AcceptOperation& operator=(const AcceptOperation&) = delete;
  ~AcceptOperation() override = default;
};

}  // namespace detail

/// Accepts connections for tasks.
template <>
class REACTOR_LOOP_API On<TcpListener> {
 public:
  On() noexcept = default;
  /// Takes over a listener. Throws std::bad_alloc.
  explicit On(TcpListener listener);

  /// The next connection, with the peer's address. When descriptors or memory have run out it pauses: it tries again
  /// every 50 ms until there are some. A connection that failed before it was accepted is skipped. Errors:
  /// bad_file_descriptor, invalid_argument and the like, of a listener that is none. Cancelled: no connection is lost.
  [[nodiscard]] detail::AcceptOperation accept() noexcept { return detail::AcceptOperation(state_.get()); }

  /// It has a socket.
  [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr; }
  /// Closes the socket, if there is one. Operations that wait for it end with operation_canceled.
  void close() noexcept { state_.reset(); }
  /// For its options and addresses. Must be open.
  [[nodiscard]] TcpListener& socket() const noexcept;

 private:
  detail::SocketStateOwner state_;
};

namespace detail {

class REACTOR_LOOP_API ReceiveFromOperation final : public IoOperation {
 public:
  ReceiveFromOperation(SocketState* state, std::span<std::byte> into) noexcept
      : IoOperation(state, Direction::read), into_(into) {}
  [[nodiscard]] const char* what() const noexcept override { return "receive_from"; }
  [[nodiscard]] Result<UdpSocket::Datagram> await_resume() const noexcept {
    if (error()) return failure(error());
    return datagram_;
  }

 private:
  Tried attempt() override;
  std::span<std::byte> into_;
  UdpSocket::Datagram datagram_{};
};

class REACTOR_LOOP_API SendToOperation final : public IoOperation {
 public:
  SendToOperation(SocketState* state, std::span<const std::byte> from, const Address& to) noexcept
      : IoOperation(state, Direction::write), from_(from), to_(to) {}
  [[nodiscard]] const char* what() const noexcept override { return "send_to"; }
  [[nodiscard]] Result<> await_resume() const noexcept { return result(); }

 private:
  Tried attempt() override;
  std::span<const std::byte> from_;
  Address to_;
};

}  // namespace detail

/// Sends and receives datagrams for tasks.
template <>
class REACTOR_LOOP_API On<UdpSocket> {
 public:
  On() noexcept = default;
  /// Takes over a socket. Throws std::bad_alloc.
  explicit On(UdpSocket socket);

  /// Errors: message_size for a datagram longer than `into`, connection_refused, ... Cancelled: nothing is lost.
  [[nodiscard]] detail::ReceiveFromOperation receive_from(std::span<std::byte> into) noexcept {
    return {state_.get(), into};
  }
  /// One datagram. Cancelled: it was not sent.
  [[nodiscard]] detail::SendToOperation send_to(std::span<const std::byte> from, const Address& to) noexcept {
    return {state_.get(), from, to};
  }

  /// It has a socket.
  [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr; }
  /// Closes the socket, if there is one. Operations that wait for it end with operation_canceled.
  void close() noexcept { state_.reset(); }
  /// For its options and addresses. Must be open.
  [[nodiscard]] UdpSocket& socket() const noexcept;

 private:
  detail::SocketStateOwner state_;
};

namespace detail {

class REACTOR_LOOP_API ConnectOperation final : public IoOperation {
 public:
  explicit ConnectOperation(const Address& to) noexcept : IoOperation(nullptr, Direction::write), to_(to) {}
  ConnectOperation(ConnectOperation&&) noexcept = default;
  ConnectOperation& operator=(ConnectOperation&&) = delete;
  ConnectOperation(const ConnectOperation&) = delete;
  ConnectOperation& operator=(const ConnectOperation&) = delete;
  ~ConnectOperation() override { unhook(); }
  [[nodiscard]] const char* what() const noexcept override { return "connect"; }
  [[nodiscard]] bool await_ready();
  [[nodiscard]] Result<On<TcpStream>> await_resume();

 private:
  Tried attempt() override;
  void on_event(const Event& event) noexcept override;

  Address to_;
  SocketStateOwner owner_;
  std::error_code reported_;
};

}  // namespace detail

/// Connects to an address. Errors: connection_refused, network_unreachable, ... It has no time-out of its own:
/// with_timeout gives it one. Cancelled: the attempt is given up and its socket is closed.
[[nodiscard]] inline detail::ConnectOperation connect(const Address& to) { return detail::ConnectOperation(to); }

}  // namespace reactor
