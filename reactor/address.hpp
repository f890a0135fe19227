// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <reactor/export.hpp>
#include <reactor/result.hpp>

namespace reactor {

/// Where a socket is bound or connected to: IPv4, IPv6, or a Unix path where the system has them. A plain value.
class REACTOR_API Address {
 public:
  enum class Family : std::uint8_t { none, ipv4, ipv6, unix_path };

  /// No address; its text is empty.
  constexpr Address() noexcept = default;

  /// "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80" (a scope by number); numbers only, no names are looked up.
  /// "unix:/run/x.sock" for a Unix path. Error: invalid_argument.
  [[nodiscard]] static Result<Address> parse(std::string_view text);

  /// 127.0.0.1 and ::1. Port 0 lets the system choose one when bound.
  [[nodiscard]] static Address loopback_ipv4(std::uint16_t port = 0) noexcept;
  [[nodiscard]] static Address loopback_ipv6(std::uint16_t port = 0) noexcept;
  /// 0.0.0.0 and ::, to bind to all of the machine's addresses.
  [[nodiscard]] static Address any_ipv4(std::uint16_t port) noexcept;
  [[nodiscard]] static Address any_ipv6(std::uint16_t port) noexcept;
  /// Errors: filename_too_long, invalid_argument for an empty path or one with a zero byte in it.
  [[nodiscard]] static Result<Address> unix_path(std::string_view path);

  /// From and to the system's sockaddr, byte for byte. Errors: invalid_argument for a length that is wrong for its
  /// family, address_family_not_supported for a family that is none of ours.
  [[nodiscard]] static Result<Address> from_native(std::span<const std::byte> sockaddr_bytes);
  [[nodiscard]] std::span<const std::byte> native() const noexcept { return std::span(bytes_).first(size_); }

  [[nodiscard]] Family family() const noexcept;
  /// 0 for a Unix path or no address.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// What parse takes.
  [[nodiscard]] std::string text() const;

  friend REACTOR_API bool operator==(const Address& a, const Address& b) noexcept;

 private:
  alignas(8) std::array<std::byte, 112> bytes_{};  // sockaddr_un, the largest, takes 110
  std::uint8_t size_ = 0;
};

}  // namespace reactor
