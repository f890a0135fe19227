// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <reactor/address.hpp>
#include <reactor/result.hpp>

/// What a system supplies to Resolver (reactor/loop/names.hpp).
namespace reactor::sys {

/// Asks the system's resolver, and blocks until it answers. An empty list is none.
[[nodiscard]] Result<std::vector<Address>> addresses_of(const std::string& host, std::uint16_t port);

/// The same, where the answer is known without blocking, as in a simulation; none elsewhere.
[[nodiscard]] std::optional<Result<std::vector<Address>>> addresses_at_once(const std::string& host,
                                                                            std::uint16_t port);

}  // namespace reactor::sys
