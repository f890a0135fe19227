// SPDX-License-Identifier: MIT
// First, as some of their names are macros in the system's headers.
#include <reactor/net/errors.hpp>
#include <reactor/net/system.hpp>
#include <reactor/nt/status.hpp>

#include <reactor/nt/windows.hpp>
// after winsock2.h
#include <ws2tcpip.h>
// after ws2tcpip.h
#include <mstcpip.h>

#include <algorithm>
#include <array>
#include <climits>
#include <limits>

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
    case Address::Family::ipv6:
    case Address::Family::any: return AF_INET6;
    case Address::Family::unix_path: return AF_UNIX;
    default: return failure(std::errc::address_family_not_supported);
  }
}

std::unexpected<std::error_code> not_opened(int domain, Kind kind, int error) noexcept {
  if (domain == AF_UNIX) {
    if (const auto missing = net::missing_unix(error, kind == Kind::datagram)) return net::failure(*missing);
  }
  return failure(code_from(error));
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

std::unexpected<std::error_code> closed(NativeSocket socket, std::error_code why) noexcept {
  close(socket);
  return failure(why);
}

WSABUF part_of(std::span<std::byte> bytes) noexcept {
  return {.len = static_cast<ULONG>(int_size(bytes)), .buf = chars(bytes)};
}
/// WSABUF has no const in it; what is sent is not written to.
WSABUF part_of(std::span<const std::byte> bytes) noexcept {
  return {.len = static_cast<ULONG>(int_size(bytes)), .buf = const_cast<char*>(chars(bytes))};
}

using Parts = std::array<WSABUF, TcpStream::parts_max>;

/// How many there are.
template <class From>
DWORD fill(Parts& parts, From from) noexcept {
  const auto count = std::min(from.size(), parts.size());
  std::ranges::transform(from.first(count), parts.begin(), [](auto bytes) { return part_of(bytes); });
  return static_cast<DWORD>(count);
}

}  // namespace

bool ip_from_text(std::string_view text, std::span<std::byte> ip) noexcept {
  IpText ended{};
  if (text.size() >= ended.size() || text.contains('\0')) return false;
  std::ranges::copy(text, ended.begin());
  return ::inet_pton(ip_family(ip), ended.data(), ip.data()) == 1;  // documented to need no WSAStartup
}

// INET6_ADDRSTRLEN is larger here, to hold what inet_ntop never writes: brackets, scope and port.
std::string_view text_from_ip(std::span<const std::byte> ip, IpText& buffer) noexcept {
  return ::inet_ntop(ip_family(ip), ip.data(), buffer.data(), buffer.size());
}

Result<NativeSocket> open(Address::Family family, Kind kind) noexcept {
  const auto domain = native_family(family);
  if (!domain) return failure(domain.error());
  if (const auto started = start(); !started) return failure(started.error());
  const int type = kind == Kind::stream ? SOCK_STREAM : SOCK_DGRAM;
  constexpr DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
  const NativeSocket opened = ::WSASocketW(*domain, type, 0, nullptr, 0, flags);
  if (opened == invalid_socket) return not_opened(*domain, kind, ::WSAGetLastError());

  if (const auto set = set_non_blocking(opened); !set) return closed(opened, set.error());
  if (*domain == AF_INET6) {
    const int only = family == Address::Family::any ? 0 : 1;
    if (const auto done = set(opened, Option::v6_only, only); !done) return closed(opened, done.error());
  }
  return opened;
}

void close(NativeSocket socket) noexcept {
  // A non-blocking socket that lingers stays open with WSAEWOULDBLOCK: then it closes without lingering.
  if (::closesocket(socket) == 0 || ::WSAGetLastError() != WSAEWOULDBLOCK) return;
  static_cast<void>(set_linger(socket, std::nullopt));
  ::closesocket(socket);
}

Result<> connect(NativeSocket socket, std::span<const std::byte> to) noexcept {
  const int result = ::connect(socket, as_sockaddr(to), int_size(to));
  if (result == SOCKET_ERROR && ::WSAGetLastError() == WSAEWOULDBLOCK) return {};
  return done_or_error(socket, result);
}

Result<> bind(NativeSocket socket, std::span<const std::byte> at) noexcept {
  return done_or_error(socket, ::bind(socket, as_sockaddr(at), int_size(at)));
}

Result<> listen(NativeSocket socket, int backlog) noexcept { return done_or_error(socket, ::listen(socket, backlog)); }

Result<Accepted> accept(NativeSocket socket, std::span<std::byte> address) noexcept {
  int size = int_size(address);
  const NativeSocket accepted = ::accept(socket, reinterpret_cast<sockaddr*>(address.data()), &size);
  if (accepted == invalid_socket) return last_error(socket);
  // Winsock cannot accept a socket that is not inheritable: a process made by another thread just now may inherit it.
  if (::SetHandleInformation(reinterpret_cast<HANDLE>(accepted), HANDLE_FLAG_INHERIT, 0) == 0) {
    return closed(accepted, code_from(static_cast<int>(::GetLastError())));
  }
  if (const auto set = set_non_blocking(accepted); !set) return closed(accepted, set.error());
  return Accepted{.socket = accepted, .address_size = static_cast<std::size_t>(size)};
}

Result<std::size_t> receive(NativeSocket socket, std::span<std::byte> into) noexcept {
  return size_or_error(socket, ::recv(socket, chars(into), int_size(into), 0));
}

Result<std::size_t> send(NativeSocket socket, std::span<const std::byte> from, Urgent urgent) noexcept {
  const int flags = urgent == Urgent::yes ? MSG_OOB : 0;
  return size_or_error(socket, ::send(socket, chars(from), int_size(from), flags));
}

Result<std::size_t> receive_parts(NativeSocket socket, TcpStream::PartsToFill into) noexcept {
  Parts parts;
  const DWORD count = fill(parts, into);
  if (count == 0) return receive(socket, {});  // WSARecv refuses no parts
  DWORD size = 0;
  DWORD flags = 0;
  const int result = ::WSARecv(socket, parts.data(), count, &size, &flags, nullptr, nullptr);
  if (result == SOCKET_ERROR) return last_error(socket);
  return std::size_t{size};
}

Result<std::size_t> send_parts(NativeSocket socket, TcpStream::PartsToSend from) noexcept {
  Parts parts;
  const DWORD count = fill(parts, from);
  if (count == 0) return send(socket, {}, Urgent::no);  // WSASend refuses no parts
  DWORD size = 0;
  const int result = ::WSASend(socket, parts.data(), count, &size, 0, nullptr, nullptr);
  if (result == SOCKET_ERROR) return last_error(socket);
  return std::size_t{size};
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

Result<std::size_t> send_batch(NativeSocket socket, std::span<const UdpSocket::DatagramToSend> datagrams) noexcept {
  std::size_t count = 0;
  for (const auto& [data, to] : datagrams.first(std::min(datagrams.size(), UdpSocket::batch_max))) {
    const auto sent = to.native().empty() ? send(socket, data, Urgent::no) : send_to(socket, data, to.native());
    if (!sent && count == 0) return sent;
    if (!sent) break;
    count++;
  }
  return count;
}

Result<std::size_t> receive_batch(NativeSocket socket, std::span<UdpSocket::DatagramToFill> datagrams) noexcept {
  std::size_t count = 0;
  for (auto& datagram : datagrams.first(std::min(datagrams.size(), UdpSocket::batch_max))) {
    Sockaddr address;
    int address_size = int_size(address.bytes);
    const int size = ::recvfrom(socket, chars(datagram.buffer), int_size(datagram.buffer), 0,
                                reinterpret_cast<sockaddr*>(address.bytes.data()), &address_size);
    datagram.is_cut = size == SOCKET_ERROR && ::WSAGetLastError() == WSAEMSGSIZE;
    if (size == SOCKET_ERROR && !datagram.is_cut) {
      if (count == 0) return last_error(socket);
      break;
    }
    datagram.size = datagram.is_cut ? datagram.buffer.size() : static_cast<std::size_t>(size);
    datagram.from = address.address(static_cast<std::size_t>(address_size)).value_or(Address());
    count++;
  }
  return count;
}

Result<> shutdown(NativeSocket socket, Shutdown which) noexcept {
  const int how = which == Shutdown::read ? SD_RECEIVE : which == Shutdown::write ? SD_SEND : SD_BOTH;
  return done_or_error(socket, ::shutdown(socket, how));
}

Result<std::size_t> name(NativeSocket socket, End end, std::span<std::byte> address) noexcept {
  int size = int_size(address);
  auto* const written = reinterpret_cast<sockaddr*>(address.data());
  const int result = end == End::local ? ::getsockname(socket, written, &size) : ::getpeername(socket, written, &size);
  return size_or_error(socket, result == SOCKET_ERROR ? result : size);
}

Result<> set(NativeSocket socket, Option option, int value) noexcept {
  switch (option) {
    case Option::send_buffer: return set_option(socket, SOL_SOCKET, SO_SNDBUF, value);
    case Option::receive_buffer: return set_option(socket, SOL_SOCKET, SO_RCVBUF, value);
    case Option::no_delay: return set_option(socket, IPPROTO_TCP, TCP_NODELAY, value);
    case Option::keepalive: return set_option(socket, SOL_SOCKET, SO_KEEPALIVE, value);
    case Option::urgent_inline: return set_option(socket, SOL_SOCKET, SO_OOBINLINE, value);
    case Option::v6_only: return set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, value);
    case Option::reuse_port: return failure(std::errc::not_supported);
    case Option::claim_address: return set_option(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, value);
    case Option::late_port: return {};
  }
  return failure(std::errc::invalid_argument);
}

Result<> set_linger(NativeSocket socket, std::optional<std::chrono::seconds> time) noexcept {
  using std::chrono::seconds;
  const auto value = std::clamp(time.value_or(seconds(0)), seconds(0), seconds(std::numeric_limits<u_short>::max()));
  return set_option(
      socket, SOL_SOCKET, SO_LINGER,
      linger{.l_onoff = static_cast<u_short>(time ? 1 : 0), .l_linger = static_cast<u_short>(value.count())});
}

Result<> set_keepalive_times(NativeSocket socket, std::chrono::seconds idle, std::chrono::seconds interval) noexcept {
  using std::chrono::milliseconds, std::chrono::seconds;
  const auto is_allowed = [](seconds time) { return time >= seconds(1) && time <= seconds(32767); };
  if (!is_allowed(idle) || !is_allowed(interval)) return failure(std::errc::invalid_argument);
  // TCP_KEEPIDLE and TCP_KEEPINTVL are of Windows 10 1709; this is of Windows 2000.
  tcp_keepalive times{.onoff = 1,
                      .keepalivetime = static_cast<ULONG>(milliseconds(idle).count()),
                      .keepaliveinterval = static_cast<ULONG>(milliseconds(interval).count())};
  DWORD written = 0;
  return done_or_error(
      socket, ::WSAIoctl(socket, SIO_KEEPALIVE_VALS, &times, sizeof(times), nullptr, 0, &written, nullptr, nullptr));
}

Result<std::error_code> take_error(NativeSocket socket) noexcept {
  int error = 0;
  int size = sizeof(error);
  auto* const value = reinterpret_cast<char*>(&error);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, value, &size) == SOCKET_ERROR) return last_error(socket);
  return error == 0 ? std::error_code{} : code_from(error);
}

}  // namespace reactor::sys
