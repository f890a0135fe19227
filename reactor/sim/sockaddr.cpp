// SPDX-License-Identifier: MIT
#include <reactor/sim/sockaddr.hpp>

#include <algorithm>
#include <cstring>
#include <string_view>

#include <reactor/net/system.hpp>

namespace reactor::sim {

namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

template <class Sockaddr>
Sockaddr read(std::span<const std::byte> bytes) {
  Sockaddr value{};
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

template <class Sockaddr>
std::size_t write(const Sockaddr& value, std::span<std::byte> into) {
  std::memcpy(into.data(), &value, std::min(into.size(), sizeof value));
  return sizeof value;
}

std::array<std::uint8_t, 2> port_bytes(std::uint16_t port) {
  return {static_cast<std::uint8_t>(port >> 8), static_cast<std::uint8_t>(port & 0xFF)};
}
std::uint16_t port_of(std::array<std::uint8_t, 2> bytes) {
  return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

}  // namespace

Name name_from(std::span<const std::byte> sockaddr) {
  Name name;
  const auto family = sockaddr.size() < 2 ? std::uint16_t{0} : read<std::uint16_t>(sockaddr);
  if (family == sys::family_ipv4) {
    const auto v4 = read<sys::SockaddrIn>(sockaddr);
    name.kind = Name::Kind::ipv4;
    name.port = port_of(v4.port);
    std::memcpy(name.ip.data(), v4.ip.data(), 4);
  } else if (family == sys::family_ipv6) {
    const auto v6 = read<sys::SockaddrIn6>(sockaddr);
    name.kind = Name::Kind::ipv6;
    name.port = port_of(v6.port);
    std::memcpy(name.ip.data(), v6.ip.data(), 16);
    if (std::equal(mapped_prefix.begin(), mapped_prefix.end(), name.ip.begin())) {
      name.kind = Name::Kind::ipv4;
      std::copy_n(name.ip.begin() + 12, 4, name.ip.begin());
      std::fill(name.ip.begin() + 4, name.ip.end(), std::uint8_t{0});
    }
  } else if (family == sys::family_unix) {
    const auto path = read<sys::SockaddrUn>(sockaddr);
    name.kind = Name::Kind::path;
    const std::string_view all(path.path.data(), std::min(sockaddr.size() - 2, path.path.size()));
    name.path = all.substr(0, all.find('\0'));
  }
  return name;
}

std::size_t write_sockaddr(const Name& name, bool as_ipv6, std::span<std::byte> into) {
  if (name.kind == Name::Kind::path) {
    sys::SockaddrUn path{};
    path.family = sys::family_unix;
    std::ranges::copy(name.path, path.path.begin());
    write(path, into);
    return 2 + name.path.size() + (name.path.empty() ? 0 : 1);
  }
  if (name.kind == Name::Kind::ipv4 && !as_ipv6) {
    sys::SockaddrIn v4{};
    v4.family = sys::family_ipv4;
    v4.port = port_bytes(name.port);
    std::memcpy(v4.ip.data(), name.ip.data(), 4);
    return write(v4, into);
  }
  sys::SockaddrIn6 v6{};
  v6.family = sys::family_ipv6;
  v6.port = port_bytes(name.port);
  std::memcpy(v6.ip.data(), name.ip.data(), 16);
  if (name.kind == Name::Kind::ipv4 && !name.is_any()) {
    std::memcpy(v6.ip.data(), mapped_prefix.data(), mapped_prefix.size());
    std::memcpy(v6.ip.data() + 12, name.ip.data(), 4);
  }
  return write(v6, into);
}

Address address_from(Name name, std::uint16_t port) {
  name.port = port;
  sys::Sockaddr buffer{};
  return buffer.address(write_sockaddr(name, false, buffer.bytes)).value_or(Address());
}

}  // namespace reactor::sim
