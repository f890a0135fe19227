// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <reactor/poller.hpp>
#include <reactor/result.hpp>
#include <reactor/socket.hpp>

/// What a system supplies to Address and Socket: this list and no more. A program is linked with one implementation of
/// it: net/posix_socket.cpp, the net/winsock files, or another in their place. A sockaddr is a span of bytes here, so
/// that no header of the system is needed. Nothing allocates.
///
/// Errors are of error_category(): what a call on a non-blocking socket cannot do now is operation_would_block, and
/// invalid_socket is bad_file_descriptor.
namespace reactor::sys {

// The sockaddrs of the systems, byte for byte; each system asserts that its own look like this.
#ifdef _WIN32
inline constexpr std::uint16_t family_ipv6 = 23;
#else
inline constexpr std::uint16_t family_ipv6 = 10;
#endif
inline constexpr std::uint16_t family_ipv4 = 2;
inline constexpr std::uint16_t family_unix = 1;

struct SockaddrIn {
  std::uint16_t family;
  std::array<std::uint8_t, 2> port;  // high byte first
  std::array<std::byte, 4> ip;
  std::array<std::byte, 8> zero;
};

struct SockaddrIn6 {
  std::uint16_t family;
  std::array<std::uint8_t, 2> port;  // high byte first
  std::uint32_t flow_info;
  std::array<std::byte, 16> ip;
  std::uint32_t scope;
};

struct SockaddrUn {
  std::uint16_t family;
  std::array<char, 108> path;
};

/// IP numbers of 4 or 16 bytes, by the size of `ip`. False when the text is no such number.
[[nodiscard]] bool ip_from_text(std::string_view text, std::span<std::byte> ip) noexcept;
using IpText = std::array<char, 46>;  // INET6_ADDRSTRLEN
[[nodiscard]] std::string_view text_from_ip(std::span<const std::byte> ip, IpText& buffer) noexcept;

/// Makes sockets usable in this process: done once, asked for by everything that makes one. Does nothing on Linux.
[[nodiscard]] Result<> start() noexcept;

enum class Kind : std::uint8_t { stream, datagram };
/// Non-blocking and not inheritable. One for IPv6 is for IPv6 only, one for Family::any for IPv4 too.
[[nodiscard]] Result<NativeSocket> open(Address::Family family, Kind kind) noexcept;
/// At once, but for set_linger on Linux.
void close(NativeSocket socket) noexcept;

/// A connect that is under way is a success.
[[nodiscard]] Result<> connect(NativeSocket socket, std::span<const std::byte> to) noexcept;
[[nodiscard]] Result<> bind(NativeSocket socket, std::span<const std::byte> at) noexcept;
[[nodiscard]] Result<> listen(NativeSocket socket, int backlog) noexcept;
struct Accepted {
  NativeSocket socket;  // non-blocking and not inheritable
  std::size_t address_size;
};
/// The peer's address is written into `address`.
[[nodiscard]] Result<Accepted> accept(NativeSocket socket, std::span<std::byte> address) noexcept;

[[nodiscard]] Result<std::size_t> receive(NativeSocket socket, std::span<std::byte> into) noexcept;
enum class Urgent : bool { no, yes };
[[nodiscard]] Result<std::size_t> send(NativeSocket socket, std::span<const std::byte> from, Urgent urgent) noexcept;
/// Of more than parts_max parts the first.
[[nodiscard]] Result<std::size_t> receive_parts(NativeSocket socket, TcpStream::PartsToFill into) noexcept;
[[nodiscard]] Result<std::size_t> send_parts(NativeSocket socket, TcpStream::PartsToSend from) noexcept;

[[nodiscard]] Result<std::size_t> send_to(NativeSocket socket, std::span<const std::byte> from,
                                          std::span<const std::byte> to) noexcept;
struct Received {
  std::size_t size;
  std::size_t address_size;  // 0: a sender without an address
};
/// message_size when the datagram does not fit.
[[nodiscard]] Result<Received> receive_from(NativeSocket socket, std::span<std::byte> into,
                                            std::span<std::byte> address) noexcept;
/// The number of datagrams, at least one; an error only if it came first. Of more than batch_max the first.
[[nodiscard]] Result<std::size_t> send_batch(NativeSocket socket,
                                             std::span<const UdpSocket::DatagramToSend> datagrams) noexcept;
[[nodiscard]] Result<std::size_t> receive_batch(NativeSocket socket,
                                                std::span<UdpSocket::DatagramToFill> datagrams) noexcept;
[[nodiscard]] Result<> shutdown(NativeSocket socket, Shutdown which) noexcept;

/// A buffer for the address that a system writes.
struct Sockaddr {
  alignas(8) std::array<std::byte, 112> bytes;  // a multiple of 8, so that nothing is padded
  static_assert(sizeof(bytes) >= sizeof(SockaddrUn));

  /// No address for a size of 0, or a family of 0: of a peer without one. (What Windows writes for a Unix socket that
  /// is not bound is not documented, and an accepted connection must not be lost by it.)
  [[nodiscard]] Result<Address> address(std::size_t size) const {
    if (size == 0 || (bytes[0] == std::byte{0} && bytes[1] == std::byte{0})) return Address();
    return Address::from_native(std::span(bytes).first(std::min(size, bytes.size())));
  }
};

enum class End : std::uint8_t { local, peer };
/// The size of the address that is written into `address`.
[[nodiscard]] Result<std::size_t> name(NativeSocket socket, End end, std::span<std::byte> address) noexcept;

enum class Option : std::uint8_t {
  send_buffer,
  receive_buffer,
  no_delay,
  keepalive,
  urgent_inline,
  v6_only,
  reuse_port,
  claim_address,  // TcpListener::bind says what it promises
  late_port,      // a socket bound to port 0 gets its port by connect, where the system can do that
};
[[nodiscard]] Result<> set(NativeSocket socket, Option option, int value) noexcept;
[[nodiscard]] Result<> set_linger(NativeSocket socket, std::optional<std::chrono::seconds> time) noexcept;
/// From 1 to 32767 seconds each, else invalid_argument.
[[nodiscard]] Result<> set_keepalive_times(NativeSocket socket, std::chrono::seconds idle,
                                           std::chrono::seconds interval) noexcept;
[[nodiscard]] Result<std::error_code> take_error(NativeSocket socket) noexcept;

}  // namespace reactor::sys
