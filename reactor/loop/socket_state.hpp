// SPDX-License-Identifier: MIT
#pragma once

// What a loop knows of a socket. Not installed.

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include <reactor/event.hpp>
#include <reactor/loop/io.hpp>
#include <reactor/loop/memory.hpp>
#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace reactor::detail {

/// A direction is blocked when I/O in it said would-block, or brought less than was asked for, and no event has come
/// since: then it is not tried again, and a wait for it arms what the event has disarmed.
///
/// It is registered when something waits for the first time, with Mode::edge and for both directions, and never again.
struct SocketState : Recycled {
  explicit SocketState(NativeSocket socket, Interest wanted) noexcept : native(socket), interest(wanted) {}
  SocketState(const SocketState&) = delete;
  SocketState& operator=(const SocketState&) = delete;
  virtual ~SocketState() = default;
  virtual void close_socket() noexcept = 0;
  /// Where it is registered for the first time.
  [[nodiscard]] virtual Result<Registration> add_to(Poller& poller);

  [[nodiscard]] Result<> arm(Core& by, Direction direction);
  void on_event(const Event& event);
  /// The operations that wait end with operation_canceled, and the loop releases it when it may.
  void close() noexcept;
  [[nodiscard]] Token token() const noexcept { return Token{reinterpret_cast<std::uintptr_t>(this)}; }

  struct Side {
    IoOperation* waiting = nullptr;
    bool is_blocked = false;
    bool is_disarmed = false;  // by an event
  };
  [[nodiscard]] Side& side(Direction direction) noexcept { return sides[std::to_underlying(direction)]; }

  Registration registration;
  Core* core = nullptr;  // none before it is registered
  SocketState* next_retired = nullptr;
  std::array<Side, 2> sides;
  NativeSocket native;
  Interest interest;
  bool has_ended = false;   // the peer has ended, or the connection: less than was asked for says nothing then
  bool has_failed = false;  // the connection: it was reset
  bool is_retired = false;

 private:
  [[nodiscard]] Result<> join(Core& by);
  void deliver(Side& side, const Event& event);
};

/// Also owns the socket, so that an operation finds it where it is.
template <class SocketType>
struct StateOf final : SocketState {
  StateOf(SocketType taken, Interest wanted) noexcept : SocketState(taken.native(), wanted), socket(std::move(taken)) {}
  void close_socket() noexcept override { socket.close(); }
  SocketType socket;
};

template <class SocketType>
SocketType& socket_of(SocketState* state) noexcept {
  return static_cast<StateOf<SocketType>*>(state)->socket;
}

/// It had less than was asked for: true if it need not be tried again before an event. Not once the peer has ended:
/// that was reported already, so no event may come of it again.
[[nodiscard]] inline bool was_emptied(SocketState& state) noexcept {
  if (!state.has_ended) state.side(Direction::read).is_blocked = true;
  return !state.has_ended;
}

/// An end that follows a reset is none (Wine reports one; on no system can a peer that reset have sent its end).
[[nodiscard]] inline Result<std::size_t> receive_into(SocketState* state, std::span<std::byte> into) {
  const auto size = socket_of<TcpStream>(state).receive(into);
  if (size && *size == 0 && state->has_failed && !into.empty()) return failure(std::errc::connection_reset);
  return size;
}

}  // namespace reactor::detail
