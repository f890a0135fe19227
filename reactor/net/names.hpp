// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <reactor/address.hpp>
#include <reactor/result.hpp>

/// What a system supplies to Resolver (reactor/loop/names.hpp).
namespace reactor::sys {

/// Asks the system's resolver, and blocks until it answers. An empty list is none.
[[nodiscard]] Result<std::vector<Address>> addresses_of(const std::string& host, std::uint16_t port);

}  // namespace reactor::sys
