// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/address.hpp>
#include <reactor/socket.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#endif

/// What the tests of sockets share.
namespace sockets {

using namespace reactor;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
std::error_code error_of(const Result<T>& result) {
  return result ? std::error_code{} : result.error();
}

/// Repeats `attempt` until it returns something else than would-block, and returns that.
template <class Attempt>
auto until_possible(Attempt attempt) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  auto result = attempt();
  while (!result && result.error() == std::errc::operation_would_block) {
    if (std::chrono::steady_clock::now() > deadline) FAIL("still not possible after 10 s");
    std::this_thread::yield();
    result = attempt();
  }
  return result;
}

inline std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// All data up to the peer's FIN.
inline std::string receive_all(const TcpStream& stream) {
  std::string all;
  std::array<std::byte, 4096> buffer{};
  while (const std::size_t size = must(until_possible([&] { return stream.receive(buffer); }))) {
    all.append(reinterpret_cast<const char*>(buffer.data()), size);
  }
  return all;
}

inline std::pair<std::string, Address> receive_datagram(const UdpSocket& socket) {
  std::array<std::byte, 64> buffer{};
  const auto datagram = must(until_possible([&] { return socket.receive_from(buffer); }));
  return {std::string(reinterpret_cast<const char*>(buffer.data()), datagram.size), datagram.from};
}

inline UdpSocket udp_socket() { return must(UdpSocket::bind(Address::loopback_ipv4())); }

struct Connection {
  TcpListener listener;
  TcpStream client;
  TcpStream server;
};

inline Connection connection_at(const Address& at) {
  Connection made{.listener = must(TcpListener::bind(at)), .client = {}, .server = {}};
  made.client = must(TcpStream::connect(must(made.listener.local_address())));
  made.server = must(until_possible([&] { return made.listener.accept(); }));
  return made;
}

inline Connection connection() { return connection_at(Address::loopback_ipv4()); }

/// Initialized with 0, since Windows writes only one byte of some options.
inline int option(const Socket& socket, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  REQUIRE(::getsockopt(socket.native(), level, name, reinterpret_cast<char*>(&value), &size) == 0);
  return value;
}

#ifdef _WIN32
inline bool is_inheritable(const Socket& socket) {
  DWORD flags = 0;
  REQUIRE(::GetHandleInformation(reinterpret_cast<HANDLE>(socket.native()), &flags) != 0);
  return (flags & HANDLE_FLAG_INHERIT) != 0;
}
inline bool is_blocking(const Socket& /*socket*/) {
  return false;
}  // cannot be queried on Windows, where a call that blocks would fail the test
inline constexpr bool is_windows = true;
inline bool is_wine() { return ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr; }
#else
inline bool is_inheritable(const Socket& socket) { return (::fcntl(socket.native(), F_GETFD) & FD_CLOEXEC) == 0; }
inline bool is_blocking(const Socket& socket) { return (::fcntl(socket.native(), F_GETFL) & O_NONBLOCK) == 0; }
inline constexpr bool is_windows = false;
inline bool is_wine() { return false; }
#endif

}  // namespace sockets
