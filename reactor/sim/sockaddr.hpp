// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/address.hpp>
#include <reactor/sim/sim_endpoint.hpp>

namespace reactor::sim {

/// Of a sockaddr as net/system.hpp has it. An IPv4 address that is mapped into IPv6 is IPv4 here. Kind::none: of none.
[[nodiscard]] Name name_from(std::span<const std::byte> sockaddr);
/// The size of the sockaddr that is written; `as_ipv6`: an IPv4 address is mapped.
std::size_t write_sockaddr(const Name& name, bool as_ipv6, std::span<std::byte> into);
[[nodiscard]] Address address_from(Name name, std::uint16_t port);

}  // namespace reactor::sim
