// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <reactor/export.hpp>
#include <reactor/result.hpp>

namespace reactor {

/// Where a socket is bound or connected to: IPv4, IPv6, both, or a Unix path where the system has them. A plain value.
class REACTOR_API Address {
 public:
  /// What kinds of addresses there are. any: IPv6 and IPv4 alike, to bind to.
  enum class Family : std::uint32_t { none, ipv4, ipv6, any, unix_path };

  /// No address; its text is empty.
  constexpr Address() noexcept = default;

  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80" (a scope by number), "*:80" for any(80); numbers only, no names are
  /// looked up. "unix:/run/x.sock" for a Unix path. Error: invalid_argument; its message says what is wrong.
  [[nodiscard]] static Result<Address> parse(std::string_view text);

  /// 127.0.0.1. Port 0 lets the system choose one when bound.
  [[nodiscard]] static Address loopback_ipv4(std::uint16_t port = 0) noexcept;
  /// ::1. Port 0 lets the system choose one when bound.
  [[nodiscard]] static Address loopback_ipv6(std::uint16_t port = 0) noexcept;
  /// 0.0.0.0, to bind to all IPv4 addresses of the machine.
  [[nodiscard]] static Address any_ipv4(std::uint16_t port) noexcept;
  /// ::, to bind to all IPv6 addresses of the machine.
  [[nodiscard]] static Address any_ipv6(std::uint16_t port) noexcept;
  /// All of both by one socket ("dual stack"). It is [::]:port with IPV6_V6ONLY off, so its local address is that, and
  /// peers that use IPv4 have addresses like "[::ffff:192.0.2.1]:5000" (see unmapped). Where the system has no IPv6,
  /// bind takes 0.0.0.0 instead.
  [[nodiscard]] static Address any(std::uint16_t port) noexcept;
  /// Of a Unix socket (AF_UNIX): at most 107 bytes, on Windows UTF-8 whatever the code page. Bind makes the file, and
  /// closing the socket does not delete it: until that is done the path is in use. Windows has these sockets since
  /// Windows 10 1803, for streams alone, and no names without a file (docs/semantics.md, "Unix sockets").
  /// Errors: filename_too_long, invalid_argument for an empty path or one with a zero byte in it.
  [[nodiscard]] static Result<Address> unix_path(std::string_view path);

  /// From the system's sockaddr, byte for byte. Errors: invalid_argument for a length that is wrong for its
  /// family, address_family_not_supported for a family that Family has not.
  [[nodiscard]] static Result<Address> from_native(std::span<const std::byte> sockaddr_bytes);
  /// The system's sockaddr, byte for byte.
  [[nodiscard]] std::span<const std::byte> native() const noexcept { return std::span(bytes_).first(size_); }

  /// Which of these it is.
  [[nodiscard]] Family family() const noexcept { return family_; }
  /// 0 for a Unix path or no address.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// The IPv4 address that an IPv6 address like "[::ffff:192.0.2.1]:5000" stands for; any other address as it is.
  [[nodiscard]] Address unmapped() const noexcept;
  /// What parse takes.
  [[nodiscard]] std::string text() const;

  /// Equal in family, address, port and scope.
  friend REACTOR_API bool operator==(const Address& a, const Address& b) noexcept;

 private:
  Address(Family family, std::span<const std::byte> sockaddr_bytes) noexcept;

  // The bytes are last, and fill the object: libc++ 16 and 17 keep std::expected's has_value in the padding behind the
  // last member and then copy over it, so that every Result<Address> would be without a value. An object may be aligned
  // to 4 bytes, as the systems' sockaddr_in6 is.
  std::uint32_t size_ = 0;
  Family family_ = Family::none;
  std::array<std::byte, 112> bytes_{};  // sockaddr_un, the largest, takes 110
};

/// What Address::text gives.
[[nodiscard]] inline std::string to_string(const Address& address) { return address.text(); }

}  // namespace reactor
