// SPDX-License-Identifier: MIT
#include <reactor/address.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include <reactor/net/system.hpp>

namespace reactor {

namespace {

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

std::optional<SockaddrIn> ipv4_from(std::string_view host, std::uint16_t port) noexcept {
  SockaddrIn made{.family = sys::family_ipv4, .port = port_bytes(port), .ip = {}, .zero = {}};
  if (!sys::ip_from_text(host, made.ip)) return std::nullopt;
  // Only the canonical text is the same number to everybody: leading zeros are octal to some, fewer parts are taken by
  // some.
  sys::IpText room;
  if (sys::text_from_ip(made.ip, room) != host) return std::nullopt;
  return made;
}

/// `host` is what stands between the brackets.
std::optional<SockaddrIn6> ipv6_from(std::string_view host, std::uint16_t port) noexcept {
  SockaddrIn6 made{.family = sys::family_ipv6, .port = port_bytes(port), .flow_info = 0, .ip = {}, .scope = 0};
  if (const auto percent = host.find('%'); percent != std::string_view::npos) {
    const auto scope = number_from<std::uint32_t>(host.substr(percent + 1));
    if (!scope) return std::nullopt;
    made.scope = *scope;
    host = host.substr(0, percent);
  }
  if (!sys::ip_from_text(host, made.ip)) return std::nullopt;
  return made;
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

}  // namespace

Result<Address> Address::from_native(std::span<const std::byte> sockaddr_bytes) {
  std::uint16_t family = 0;
  const std::size_t size = sockaddr_bytes.size();
  if (size < sizeof(family)) return failure(std::errc::invalid_argument);
  std::memcpy(&family, sockaddr_bytes.data(), sizeof(family));

  bool fits = false;
  switch (family) {
    case sys::family_ipv4: fits = size == sizeof(SockaddrIn); break;
    case sys::family_ipv6: fits = size == sizeof(SockaddrIn6); break;
    case sys::family_unix: fits = size <= sizeof(SockaddrUn); break;  // the family alone: a socket without a name
    default: return failure(std::errc::address_family_not_supported);
  }
  if (!fits) return failure(std::errc::invalid_argument);

  Address address;
  static_assert(sizeof(SockaddrUn) <= sizeof(address.bytes_));
  std::ranges::copy(sockaddr_bytes, address.bytes_.begin());
  address.size_ = static_cast<std::uint8_t>(size);
  return address;
}

Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with(unix_prefix)) {
    auto address = unix_path(text.substr(unix_prefix.size()));
    if (!address) return failure(std::errc::invalid_argument);
    return address;
  }

  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return failure(std::errc::invalid_argument);
  const auto port = number_from<std::uint16_t>(text.substr(colon + 1));
  if (!port) return failure(std::errc::invalid_argument);

  const auto host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    if (const auto ipv6 = ipv6_from(host.substr(1, host.size() - 2), *port)) return from_native(bytes_of(*ipv6));
  } else if (const auto ipv4 = ipv4_from(host, *port)) {
    return from_native(bytes_of(*ipv4));
  }
  return failure(std::errc::invalid_argument);
}

Result<Address> Address::unix_path(std::string_view path) {
  SockaddrUn made{.family = sys::family_unix, .path = {}};
  if (path.empty() || path.contains('\0')) return failure(std::errc::invalid_argument);
  if (path.size() >= made.path.size()) return failure(std::errc::filename_too_long);
  std::ranges::copy(path, made.path.begin());
  return from_native(bytes_of(made).first(path_offset + path.size() + 1));
}

Address Address::loopback_ipv4(std::uint16_t port) noexcept {
  constexpr std::array ip{std::byte{127}, std::byte{0}, std::byte{0}, std::byte{1}};
  return *from_native(bytes_of(SockaddrIn{.family = sys::family_ipv4, .port = port_bytes(port), .ip = ip, .zero = {}}));
}

Address Address::any_ipv4(std::uint16_t port) noexcept {
  return *from_native(bytes_of(SockaddrIn{.family = sys::family_ipv4, .port = port_bytes(port), .ip = {}, .zero = {}}));
}

Address Address::loopback_ipv6(std::uint16_t port) noexcept {
  SockaddrIn6 made{.family = sys::family_ipv6, .port = port_bytes(port), .flow_info = 0, .ip = {}, .scope = 0};
  made.ip.back() = std::byte{1};
  return *from_native(bytes_of(made));
}

Address Address::any_ipv6(std::uint16_t port) noexcept {
  return *from_native(bytes_of(
      SockaddrIn6{.family = sys::family_ipv6, .port = port_bytes(port), .flow_info = 0, .ip = {}, .scope = 0}));
}

Address::Family Address::family() const noexcept {
  if (size_ == 0) return Family::none;
  std::uint16_t family = 0;
  std::memcpy(&family, bytes_.data(), sizeof(family));
  switch (family) {
    case sys::family_ipv4: return Family::ipv4;
    case sys::family_ipv6: return Family::ipv6;
    default: return Family::unix_path;  // from_native let no other in
  }
}

std::uint16_t Address::port() const noexcept {
  switch (family()) {
    case Family::ipv4: return port_number(read<SockaddrIn>(native()).port);
    case Family::ipv6: return port_number(read<SockaddrIn6>(native()).port);
    default: return 0;
  }
}

std::string Address::text() const {
  sys::IpText room;
  switch (family()) {
    case Family::ipv4: {
      const auto ipv4 = read<SockaddrIn>(native());
      return std::string(sys::text_from_ip(ipv4.ip, room)) + ':' + std::to_string(port_number(ipv4.port));
    }
    case Family::ipv6: {
      const auto ipv6 = read<SockaddrIn6>(native());
      std::string text = "[";
      text += sys::text_from_ip(ipv6.ip, room);
      if (ipv6.scope != 0) text += '%' + std::to_string(ipv6.scope);
      return text + "]:" + std::to_string(port_number(ipv6.port));
    }
    case Family::unix_path: return std::string(unix_prefix) + std::string(path_in(native()));
    default: return {};
  }
}

bool operator==(const Address& a, const Address& b) noexcept {
  return std::ranges::equal(significant(a), significant(b));
}

}  // namespace reactor
