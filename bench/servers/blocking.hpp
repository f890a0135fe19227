// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/poller.hpp>

// Blocking sockets, which the library does not have: for the control thread, and for the server that is the floor.
namespace bench::blocking {

using reactor::NativeSocket;

struct Listener {
  NativeSocket socket;
  std::uint16_t port;
};

[[nodiscard]] Listener listen_on_loopback();
/// A datagram socket that receives nothing.
[[nodiscard]] NativeSocket open_datagram();
/// invalid_socket on an error.
[[nodiscard]] NativeSocket accept(NativeSocket listener) noexcept;
/// 0 at the end of the stream, or if the connection is broken.
[[nodiscard]] std::size_t receive(NativeSocket socket, std::span<std::byte> into) noexcept;
/// Sends all of it. False if the connection is broken.
[[nodiscard]] bool send_all(NativeSocket socket, std::span<const std::byte> bytes) noexcept;
void close(NativeSocket socket) noexcept;
/// Makes a non-blocking socket blocking.
void make_blocking(NativeSocket socket);

}  // namespace bench::blocking
