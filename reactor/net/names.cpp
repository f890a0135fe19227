// SPDX-License-Identifier: MIT
// getaddrinfo is the same on all systems, but for the header and what its numbers are called.
#include <reactor/net/names.hpp>

#include <memory>
#include <span>

#include <reactor/net/system.hpp>

#ifdef _WIN32
#include <reactor/nt/windows.hpp>
// after winsock2.h
#include <ws2tcpip.h>
#else
#include <netdb.h>
#include <sys/socket.h>
#endif

namespace reactor::sys {

Result<std::vector<Address>> addresses_of(const std::string& host, std::uint16_t port) {
  if (const auto started = UdpSocket::bind(Address::loopback_ipv4()); !started) return failure(started.error());
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error == EAI_AGAIN) return failure(std::errc::resource_unavailable_try_again);
  if (error == EAI_MEMORY) return failure(std::errc::not_enough_memory);
  if (error != 0) return failure(std::errc::host_unreachable);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* list) { ::freeaddrinfo(list); });
  std::vector<Address> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    const std::span bytes(reinterpret_cast<const std::byte*>(each->ai_addr), std::size_t{each->ai_addrlen});
    if (const auto address = Address::from_native(bytes)) addresses.push_back(*address);
  }
  return addresses;
}

std::optional<Result<std::vector<Address>>> addresses_at_once(const std::string&, std::uint16_t) {
  return std::nullopt;
}

}  // namespace reactor::sys
