// SPDX-License-Identifier: MIT
#include <reactor/address.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <expected>
#include <optional>

#include <reactor/net/errors.hpp>
#include <reactor/net/system.hpp>

namespace reactor {

namespace {

using net::AddressError;
using sys::SockaddrIn;
using sys::SockaddrIn6;
using sys::SockaddrUn;

constexpr std::string_view unix_prefix = "unix:";
constexpr std::size_t path_offset = offsetof(SockaddrUn, path);

template <class Sockaddr>
Sockaddr read(std::span<const std::byte> bytes) noexcept {
  Sockaddr sockaddr{};
  std::memcpy(&sockaddr, bytes.data(), std::min(bytes.size(), sizeof(Sockaddr)));
  return sockaddr;
}

template <class Sockaddr>
std::span<const std::byte> bytes_of(const Sockaddr& sockaddr) noexcept {
  return std::as_bytes(std::span(&sockaddr, 1));
}

constexpr std::array<std::uint8_t, 2> port_bytes(std::uint16_t port) noexcept {
  return {static_cast<std::uint8_t>(port >> 8U), static_cast<std::uint8_t>(port & 0xFFU)};
}
constexpr std::uint16_t port_number(std::array<std::uint8_t, 2> bytes) noexcept {
  return static_cast<std::uint16_t>((bytes[0] << 8U) | bytes[1]);
}

/// The whole text as a decimal number without sign.
template <class Number>
std::optional<Number> number_from(std::string_view text) noexcept {
  Number number = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

SockaddrIn ipv4(std::array<std::byte, 4> ip, std::uint16_t port) noexcept {
  return {.family = sys::family_ipv4, .port = port_bytes(port), .ip = ip, .zero = {}};
}

SockaddrIn6 ipv6(std::array<std::byte, 16> ip, std::uint16_t port) noexcept {
  return {.family = sys::family_ipv6, .port = port_bytes(port), .flow_info = 0, .ip = ip, .scope = 0};
}

std::expected<SockaddrIn, AddressError> ipv4_from(std::string_view host, std::uint16_t port) noexcept {
  if (host.empty()) return std::unexpected(AddressError::no_host);
  if (host.contains(':')) return std::unexpected(AddressError::no_brackets);
  if (host.find_first_not_of("0123456789.") != std::string_view::npos) return std::unexpected(AddressError::host_name);
  std::array<std::byte, 4> ip{};
  if (!sys::ip_from_text(host, ip)) return std::unexpected(AddressError::bad_ipv4);
  // Only the canonical text is the same number to everybody: leading zeros are octal to some, fewer parts are taken by
  // some.
  sys::IpText buffer;
  if (sys::text_from_ip(ip, buffer) != host) return std::unexpected(AddressError::bad_ipv4);
  return ipv4(ip, port);
}

/// `host` is what stands between the brackets.
std::expected<SockaddrIn6, AddressError> ipv6_from(std::string_view host, std::uint16_t port) noexcept {
  const auto percent = host.find('%');
  std::array<std::byte, 16> ip{};
  if (!sys::ip_from_text(host.substr(0, percent), ip)) return std::unexpected(AddressError::bad_ipv6);
  SockaddrIn6 made = ipv6(ip, port);
  if (percent != std::string_view::npos) {
    const auto scope = number_from<std::uint32_t>(host.substr(percent + 1));
    if (!scope) return std::unexpected(AddressError::bad_scope);
    made.scope = *scope;
  }
  return made;
}

std::optional<AddressError> why_no_path(std::string_view path) noexcept {
  if (path.empty()) return AddressError::empty_path;
  if (path.contains('\0')) return AddressError::zero_in_path;
  if (path.size() >= SockaddrUn{}.path.size()) return AddressError::long_path;
  return std::nullopt;
}

/// The path of a Unix address without the zero that ends it. Empty for a socket without a path (unnamed or abstract).
std::string_view path_in(std::span<const std::byte> unix_address) noexcept {
  const auto path = unix_address.subspan(path_offset);
  const auto end = std::ranges::find(path, std::byte{0});
  return {reinterpret_cast<const char*>(path.data()), static_cast<std::size_t>(end - path.begin())};
}

/// What two equal addresses have in common: without padding, and without what a system writes behind a path.
std::span<const std::byte> significant(const Address& address) noexcept {
  const auto bytes = address.native();
  if (address.family() == Address::Family::ipv4) return bytes.first(offsetof(SockaddrIn, zero));
  if (address.family() != Address::Family::unix_path) return bytes;
  const auto path = path_in(bytes);
  return path.empty() ? bytes : bytes.first(path_offset + path.size());
}

constexpr std::array mapped_prefix = [] {
  std::array<std::byte, 12> prefix{};
  prefix[10] = prefix[11] = std::byte{0xFF};
  return prefix;
}();

}  // namespace

Address::Address(Family family, std::span<const std::byte> sockaddr_bytes) noexcept
    : size_(static_cast<std::uint32_t>(sockaddr_bytes.size())), family_(family) {
  static_assert(sizeof(SockaddrUn) <= sizeof(bytes_));
  static_assert(sizeof(Address) == sizeof(size_) + sizeof(family_) + sizeof(bytes_));
  std::ranges::copy(sockaddr_bytes, bytes_.begin());
}

Result<Address> Address::from_native(std::span<const std::byte> sockaddr_bytes) {
  std::uint16_t family = 0;
  const std::size_t size = sockaddr_bytes.size();
  if (size < sizeof(family)) return failure(std::errc::invalid_argument);
  std::memcpy(&family, sockaddr_bytes.data(), sizeof(family));
  switch (family) {
    case sys::family_ipv4:
      if (size == sizeof(SockaddrIn)) return Address(Family::ipv4, sockaddr_bytes);
      break;
    case sys::family_ipv6:
      if (size == sizeof(SockaddrIn6)) return Address(Family::ipv6, sockaddr_bytes);
      break;
    case sys::family_unix:  // the family alone: a socket without a name
      if (size <= sizeof(SockaddrUn)) return Address(Family::unix_path, sockaddr_bytes);
      break;
    default: return failure(std::errc::address_family_not_supported);
  }
  return failure(std::errc::invalid_argument);
}

Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with(unix_prefix)) {
    const auto path = text.substr(unix_prefix.size());
    if (const auto why = why_no_path(path)) return net::failure(*why);
    return unix_path(path);
  }

  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) return net::failure(AddressError::no_port);
  const auto port = number_from<std::uint16_t>(text.substr(colon + 1));
  if (!port) return net::failure(AddressError::bad_port);

  const auto host = text.substr(0, colon);
  if (host == "*") return any(*port);
  if (host.starts_with('[') && host.ends_with(']')) {
    const auto made = ipv6_from(host.substr(1, host.size() - 2), *port);
    if (!made) return net::failure(made.error());
    return Address(Family::ipv6, bytes_of(*made));
  }
  const auto made = ipv4_from(host, *port);
  if (!made) return net::failure(made.error());
  return Address(Family::ipv4, bytes_of(*made));
}

Result<Address> Address::unix_path(std::string_view path) {
  const auto why = why_no_path(path);
  if (why == AddressError::long_path) return failure(std::errc::filename_too_long);
  if (why) return net::failure(*why);
  SockaddrUn made{.family = sys::family_unix, .path = {}};
  std::ranges::copy(path, made.path.begin());
  return Address(Family::unix_path, bytes_of(made).first(path_offset + path.size() + 1));
}

Address Address::loopback_ipv4(std::uint16_t port) noexcept {
  return {Family::ipv4, bytes_of(ipv4({std::byte{127}, std::byte{0}, std::byte{0}, std::byte{1}}, port))};
}

Address Address::any_ipv4(std::uint16_t port) noexcept { return {Family::ipv4, bytes_of(ipv4({}, port))}; }

Address Address::loopback_ipv6(std::uint16_t port) noexcept {
  std::array<std::byte, 16> ip{};
  ip.back() = std::byte{1};
  return {Family::ipv6, bytes_of(ipv6(ip, port))};
}

Address Address::any_ipv6(std::uint16_t port) noexcept { return {Family::ipv6, bytes_of(ipv6({}, port))}; }

Address Address::any(std::uint16_t port) noexcept { return {Family::any, bytes_of(ipv6({}, port))}; }

Address Address::unmapped() const noexcept {
  if (family_ != Family::ipv6) return *this;
  const auto mapped = read<SockaddrIn6>(native());
  if (!std::ranges::equal(std::span(mapped.ip).first(mapped_prefix.size()), mapped_prefix)) return *this;
  std::array<std::byte, 4> ip{};
  std::ranges::copy(std::span(mapped.ip).last(ip.size()), ip.begin());
  return {Family::ipv4, bytes_of(ipv4(ip, port_number(mapped.port)))};
}

std::uint16_t Address::port() const noexcept {
  switch (family()) {
    case Family::ipv4: return port_number(read<SockaddrIn>(native()).port);
    case Family::ipv6:
    case Family::any: return port_number(read<SockaddrIn6>(native()).port);
    default: return 0;
  }
}

std::string Address::text() const {
  sys::IpText buffer;
  switch (family()) {
    case Family::ipv4: {
      const auto ipv4 = read<SockaddrIn>(native());
      return std::string(sys::text_from_ip(ipv4.ip, buffer)) + ':' + std::to_string(port_number(ipv4.port));
    }
    case Family::ipv6: {
      const auto ipv6 = read<SockaddrIn6>(native());
      std::string text = "[";
      text += sys::text_from_ip(ipv6.ip, buffer);
      if (ipv6.scope != 0) text += '%' + std::to_string(ipv6.scope);
      return text + "]:" + std::to_string(port_number(ipv6.port));
    }
    case Family::any: return "*:" + std::to_string(port());
    case Family::unix_path: return std::string(unix_prefix) + std::string(path_in(native()));
    default: return {};
  }
}

bool operator==(const Address& a, const Address& b) noexcept {
  return a.family() == b.family() && std::ranges::equal(significant(a), significant(b));
}

}  // namespace reactor
