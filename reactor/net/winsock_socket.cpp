// SPDX-License-Identifier: MIT
// First, as some of their names are macros in the system's headers.
#include <reactor/net/errors.hpp>
#include <reactor/net/system.hpp>
#include <reactor/nt/status.hpp>

#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>
#include <ws2tcpip.h>

#include <algorithm>
#include <array>
#include <climits>

namespace reactor::sys {

static_assert(family_ipv4 == AF_INET && family_ipv6 == AF_INET6 && family_unix == AF_UNIX);
static_assert(sizeof(SockaddrIn) == sizeof(sockaddr_in) && sizeof(SockaddrIn6) == sizeof(sockaddr_in6));
static_assert(offsetof(SockaddrIn, port) == offsetof(sockaddr_in, sin_port) &&
              offsetof(SockaddrIn, ip) == offsetof(sockaddr_in, sin_addr));
static_assert(offsetof(SockaddrIn6, port) == offsetof(sockaddr_in6, sin6_port) &&
              offsetof(SockaddrIn6, flow_info) == offsetof(sockaddr_in6, sin6_flowinfo) &&
              offsetof(SockaddrIn6, ip) == offsetof(sockaddr_in6, sin6_addr) &&
              offsetof(SockaddrIn6, scope) == offsetof(sockaddr_in6, sin6_scope_id));
static_assert(sizeof(SockaddrUn) == 110);  // SOCKADDR_UN of afunix.h, which not every SDK has
static_assert(sizeof(NativeSocket) == sizeof(SOCKET) && invalid_socket == INVALID_SOCKET);

constexpr std::array winsock_numbers{
    WSAEINTR,        WSAEBADF,         WSAEACCES,          WSAEFAULT,      WSAEINVAL,       WSAEMFILE,
    WSAEWOULDBLOCK,  WSAEINPROGRESS,   WSAEALREADY,        WSAENOTSOCK,    WSAEDESTADDRREQ, WSAEMSGSIZE,
    WSAEPROTOTYPE,   WSAENOPROTOOPT,   WSAEPROTONOSUPPORT, WSAEOPNOTSUPP,  WSAEPFNOSUPPORT, WSAEAFNOSUPPORT,
    WSAEADDRINUSE,   WSAEADDRNOTAVAIL, WSAENETDOWN,        WSAENETUNREACH, WSAENETRESET,    WSAECONNABORTED,
    WSAECONNRESET,   WSAENOBUFS,       WSAEISCONN,         WSAENOTCONN,    WSAESHUTDOWN,    WSAETIMEDOUT,
    WSAECONNREFUSED, WSAELOOP,         WSAENAMETOOLONG,    WSAEHOSTDOWN,   WSAEHOSTUNREACH, WSAECANCELLED,
    WSA_E_CANCELLED};
static_assert(std::ranges::equal(winsock_numbers, net::winsock_errors, {}, {}, &net::WinsockError::number));

namespace {

std::error_code code_from(int error) noexcept { return nt::make_win32_error(static_cast<nt::ULONG>(error)); }

/// Of the call on `socket` that has just failed. Winsock says WSAENOTSOCK of INVALID_SOCKET, or, when nothing has
/// started it yet, WSANOTINITIALISED.
std::unexpected<std::error_code> last_error(NativeSocket socket) noexcept {
  if (socket == invalid_socket) return failure(std::errc::bad_file_descriptor);
  return failure(code_from(::WSAGetLastError()));
}

Result<> done_or_error(NativeSocket socket, int result) noexcept {
  if (result == SOCKET_ERROR) return last_error(socket);
  return {};
}

Result<std::size_t> size_or_error(NativeSocket socket, int size) noexcept {
  if (size == SOCKET_ERROR) return last_error(socket);
  return static_cast<std::size_t>(size);
}

/// Sizes are int here. A stream takes fewer bytes then, and no datagram is that long.
int int_size(std::span<const std::byte> bytes) noexcept {
  return static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
}

char* chars(std::span<std::byte> bytes) noexcept { return reinterpret_cast<char*>(bytes.data()); }
const char* chars(std::span<const std::byte> bytes) noexcept { return reinterpret_cast<const char*>(bytes.data()); }

const sockaddr* as_sockaddr(std::span<const std::byte> bytes) noexcept {
  return reinterpret_cast<const sockaddr*>(bytes.data());
}

int ip_family(std::span<const std::byte> ip) noexcept { return ip.size() == 4 ? AF_INET : AF_INET6; }

Result<int> native_family(Address::Family family) noexcept {
  switch (family) {
    case Address::Family::ipv4: return AF_INET;
    case Address::Family::ipv6: return AF_INET6;
    case Address::Family::unix_path: return AF_UNIX;
    default: return failure(std::errc::address_family_not_supported);
  }
}

template <class Value>
Result<> set_option(NativeSocket socket, int level, int option, const Value& value) noexcept {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  return done_or_error(socket, ::setsockopt(socket, level, option, chars(bytes), int_size(bytes)));
}

Result<> set_non_blocking(NativeSocket socket) noexcept {
  u_long on = 1;
  return done_or_error(socket, ::ioctlsocket(socket, static_cast<long>(FIONBIO), &on));
}

Result<NativeSocket> closed(NativeSocket socket, std::error_code why) noexcept {
  close(socket);
  return failure(why);
}

}  // namespace

bool ip_from_text(std::string_view text, std::span<std::byte> ip) noexcept {
  IpText ended{};
  if (text.size() >= ended.size() || text.contains('\0')) return false;
  std::ranges::copy(text, ended.begin());
  return ::inet_pton(ip_family(ip), ended.data(), ip.data()) == 1;  // documented to need no WSAStartup
}

// INET6_ADDRSTRLEN is larger here, to hold what inet_ntop never writes: brackets, scope and port.
std::string_view text_from_ip(std::span<const std::byte> ip, IpText& room) noexcept {
  return ::inet_ntop(ip_family(ip), ip.data(), room.data(), room.size());
}

// Never undone by WSACleanup: it would close the sockets that the rest of the process still has.
Result<> start() noexcept {
  static const int error = [] {
    WSADATA data;
    return ::WSAStartup(MAKEWORD(2, 2), &data);
  }();
  if (error != 0) return failure(code_from(error));
  return {};
}

Result<NativeSocket> open(Address::Family family, Kind kind) noexcept {
  const auto domain = native_family(family);
  if (!domain) return failure(domain.error());
  if (const auto started = start(); !started) return failure(started.error());
  const int type = kind == Kind::stream ? SOCK_STREAM : SOCK_DGRAM;
  constexpr DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
  const NativeSocket opened = ::WSASocketW(*domain, type, 0, nullptr, 0, flags);
  if (opened == invalid_socket) return failure(code_from(::WSAGetLastError()));

  if (const auto set = set_non_blocking(opened); !set) return closed(opened, set.error());
  if (*domain == AF_INET6) {
    const DWORD on = 1;
    if (const auto set = set_option(opened, IPPROTO_IPV6, IPV6_V6ONLY, on); !set) return closed(opened, set.error());
  }
  return opened;
}

void close(NativeSocket socket) noexcept { ::closesocket(socket); }

Result<> connect(NativeSocket socket, std::span<const std::byte> to) noexcept {
  const int result = ::connect(socket, as_sockaddr(to), int_size(to));
  if (result == SOCKET_ERROR && ::WSAGetLastError() == WSAEWOULDBLOCK) return {};
  return done_or_error(socket, result);
}

Result<> bind(NativeSocket socket, std::span<const std::byte> at) noexcept {
  return done_or_error(socket, ::bind(socket, as_sockaddr(at), int_size(at)));
}

Result<> listen(NativeSocket socket, int backlog) noexcept { return done_or_error(socket, ::listen(socket, backlog)); }

Result<NativeSocket> accept(NativeSocket socket) noexcept {
  const NativeSocket accepted = ::accept(socket, nullptr, nullptr);
  if (accepted == invalid_socket) return last_error(socket);
  // Winsock cannot accept a socket that is not inheritable: a process made by another thread just now may inherit it.
  if (::SetHandleInformation(reinterpret_cast<HANDLE>(accepted), HANDLE_FLAG_INHERIT, 0) == 0) {
    return closed(accepted, code_from(static_cast<int>(::GetLastError())));
  }
  if (const auto set = set_non_blocking(accepted); !set) return closed(accepted, set.error());
  return accepted;
}

Result<std::size_t> receive(NativeSocket socket, std::span<std::byte> into) noexcept {
  return size_or_error(socket, ::recv(socket, chars(into), int_size(into), 0));
}

Result<std::size_t> send(NativeSocket socket, std::span<const std::byte> from, Urgent urgent) noexcept {
  const int flags = urgent == Urgent::yes ? MSG_OOB : 0;
  return size_or_error(socket, ::send(socket, chars(from), int_size(from), flags));
}

Result<std::size_t> send_to(NativeSocket socket, std::span<const std::byte> from,
                            std::span<const std::byte> to) noexcept {
  return size_or_error(socket, ::sendto(socket, chars(from), int_size(from), 0, as_sockaddr(to), int_size(to)));
}

Result<Received> receive_from(NativeSocket socket, std::span<std::byte> into, std::span<std::byte> address) noexcept {
  auto* const from = reinterpret_cast<sockaddr*>(address.data());
  int from_size = int_size(address);
  const int size = ::recvfrom(socket, chars(into), int_size(into), 0, from, &from_size);
  if (size == SOCKET_ERROR) return last_error(socket);  // WSAEMSGSIZE for a datagram that did not fit
  return Received{.size = static_cast<std::size_t>(size), .address_size = static_cast<std::size_t>(from_size)};
}

Result<> shutdown(NativeSocket socket, Shutdown which) noexcept {
  const int how = which == Shutdown::read ? SD_RECEIVE : which == Shutdown::write ? SD_SEND : SD_BOTH;
  return done_or_error(socket, ::shutdown(socket, how));
}

Result<std::size_t> name(NativeSocket socket, End end, std::span<std::byte> address) noexcept {
  int size = int_size(address);
  auto* const room = reinterpret_cast<sockaddr*>(address.data());
  const int result = end == End::local ? ::getsockname(socket, room, &size) : ::getpeername(socket, room, &size);
  return size_or_error(socket, result == SOCKET_ERROR ? result : size);
}

Result<> set(NativeSocket socket, Option option, int value) noexcept {
  switch (option) {
    case Option::send_buffer: return set_option(socket, SOL_SOCKET, SO_SNDBUF, value);
    case Option::receive_buffer: return set_option(socket, SOL_SOCKET, SO_RCVBUF, value);
    case Option::no_delay: return set_option(socket, IPPROTO_TCP, TCP_NODELAY, value);
    case Option::abortive_close:
      return set_option(socket, SOL_SOCKET, SO_LINGER, linger{.l_onoff = static_cast<u_short>(value), .l_linger = 0});
    case Option::claim_address: return set_option(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, value);
  }
  return failure(std::errc::invalid_argument);
}

Result<std::error_code> take_error(NativeSocket socket) noexcept {
  int error = 0;
  int size = sizeof(error);
  auto* const room = reinterpret_cast<char*>(&error);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, room, &size) == SOCKET_ERROR) return last_error(socket);
  return error == 0 ? std::error_code{} : code_from(error);
}

}  // namespace reactor::sys
