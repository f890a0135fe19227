// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <version>

#ifdef __cpp_lib_format
#include <concepts>
#include <format>
#endif

#include <reactor/address.hpp>
#include <reactor/event.hpp>
#include <reactor/export.hpp>

namespace reactor {

/// "readable|writable"; "none" where nothing is set.
[[nodiscard]] REACTOR_API std::string to_string(Interest interest);
/// "readable|failed"; "none" where nothing is set.
[[nodiscard]] REACTOR_API std::string to_string(Readiness readiness);
/// "7: readable|failed": the token, and what its socket is ready for.
[[nodiscard]] REACTOR_API std::string to_string(const Event& event);

}  // namespace reactor

#ifdef __cpp_lib_format
/// What to_string gives, with the options that std::format has for a text: `std::format("{:>20}", event.readiness())`.
template <class T>
  requires std::same_as<T, reactor::Interest> || std::same_as<T, reactor::Readiness> ||
           std::same_as<T, reactor::Event> || std::same_as<T, reactor::Address>
struct std::formatter<T, char> : std::formatter<std::string, char> {
  template <class Context>
  auto format(const T& value, Context& context) const {
    return std::formatter<std::string, char>::format(to_string(value), context);
  }
};
#endif
