// SPDX-License-Identifier: MIT
//
// What reactor::loop asks of a system beside sockets, in a simulation: a host's name is what it is called in its World.
#include <algorithm>

#include <reactor/net/names.hpp>
#include <reactor/net/process.hpp>
#include <reactor/net/signals.hpp>
#include <reactor/sim/world_state.hpp>

namespace reactor::sys {

namespace {

Result<std::vector<Address>> found(const std::string& name, std::uint16_t port) {
  const auto* const world = sim::WorldState::current();
  if (world == nullptr) return failure(std::errc::network_down);
  if (name == "localhost") return std::vector{Address::loopback_ipv6(port), Address::loopback_ipv4(port)};
  const auto host = std::ranges::find(world->hosts, name, [](const auto& one) { return one->name(); });
  if (host == world->hosts.end()) return failure(std::errc::host_unreachable);
  return std::vector{(*host)->address_ipv6(port), (*host)->address(port)};
}

}  // namespace

std::optional<Result<std::vector<Address>>> addresses_at_once(const std::string& host, std::uint16_t port) {
  return found(host, port);
}

Result<std::vector<Address>> addresses_of(const std::string& host, std::uint16_t port) { return found(host, port); }

Result<NativeHandle> open_process(NativeHandle) noexcept { return failure(std::errc::not_supported); }
void close_process(NativeHandle) noexcept {}
Result<std::optional<int>> take_exit_code(NativeHandle) noexcept { return failure(std::errc::not_supported); }

Result<Socket> open_signals(std::span<const int>) { return failure(std::errc::not_supported); }
void forget_signals(NativeSocket) noexcept {}
Result<int> take_signal(NativeSocket) noexcept { return failure(std::errc::not_supported); }

}  // namespace reactor::sys
