// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/poller.hpp>

// Blocking sockets, of which the library has none: for the control thread and the server that is the floor.
namespace bench::blocking {

using reactor::NativeSocket;

struct Listener {
  NativeSocket socket;
  std::uint16_t port;
};

[[nodiscard]] Listener listen_on_loopback();
/// A datagram socket that nothing comes to.
[[nodiscard]] NativeSocket open_datagram();
/// invalid_socket when it cannot.
[[nodiscard]] NativeSocket accept(NativeSocket listener) noexcept;
/// 0 at the end of the stream or when the connection is gone.
[[nodiscard]] std::size_t receive(NativeSocket socket, std::span<std::byte> into) noexcept;
/// All of it. False when the connection is gone.
[[nodiscard]] bool send_all(NativeSocket socket, std::span<const std::byte> bytes) noexcept;
void close(NativeSocket socket) noexcept;
/// A non-blocking one from now on waits.
void make_blocking(NativeSocket socket);

}  // namespace bench::blocking
