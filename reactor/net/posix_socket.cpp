// SPDX-License-Identifier: MIT
#include <reactor/net/system.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace reactor::sys {

static_assert(family_ipv4 == AF_INET && family_ipv6 == AF_INET6 && family_unix == AF_UNIX);
static_assert(sizeof(SockaddrIn) == sizeof(sockaddr_in) && sizeof(SockaddrIn6) == sizeof(sockaddr_in6) &&
              sizeof(SockaddrUn) == sizeof(sockaddr_un));
static_assert(offsetof(SockaddrIn, port) == offsetof(sockaddr_in, sin_port) &&
              offsetof(SockaddrIn, ip) == offsetof(sockaddr_in, sin_addr));
static_assert(offsetof(SockaddrIn6, port) == offsetof(sockaddr_in6, sin6_port) &&
              offsetof(SockaddrIn6, flow_info) == offsetof(sockaddr_in6, sin6_flowinfo) &&
              offsetof(SockaddrIn6, ip) == offsetof(sockaddr_in6, sin6_addr) &&
              offsetof(SockaddrIn6, scope) == offsetof(sockaddr_in6, sin6_scope_id));
static_assert(offsetof(SockaddrUn, path) == offsetof(sockaddr_un, sun_path));
static_assert(sizeof(IpText) == INET6_ADDRSTRLEN);

namespace {

std::error_code code_from(int error) noexcept { return {error, error_category()}; }

std::unexpected<std::error_code> last_error() noexcept { return failure(code_from(errno)); }

Result<> done_or_error(int result) noexcept {
  if (result < 0) return last_error();
  return {};
}

Result<std::size_t> size_or_error(ssize_t size) noexcept {
  if (size < 0) return last_error();
  return static_cast<std::size_t>(size);
}

template <class Call>
auto retried(Call call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

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

template <class Value>
Result<> set_option(int socket, int level, int option, const Value& value) noexcept {
  return done_or_error(::setsockopt(socket, level, option, &value, sizeof(value)));
}

iovec part_of(std::span<std::byte> bytes) noexcept { return {.iov_base = bytes.data(), .iov_len = bytes.size()}; }
/// iovec has no const in it; what is sent is not written to.
iovec part_of(std::span<const std::byte> bytes) noexcept {
  return {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
}

/// A message without address; `parts` has to outlive it.
template <class Parts>
msghdr message_of(std::array<iovec, TcpStream::parts_max>& parts, Parts from) noexcept {
  const auto count = std::min(from.size(), parts.size());
  std::ranges::transform(from.first(count), parts.begin(), [](auto bytes) { return part_of(bytes); });
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);  // int in musl
  return message;
}

}  // namespace

bool ip_from_text(std::string_view text, std::span<std::byte> ip) noexcept {
  IpText ended{};
  if (text.size() >= ended.size() || text.contains('\0')) return false;
  std::ranges::copy(text, ended.begin());
  return ::inet_pton(ip_family(ip), ended.data(), ip.data()) == 1;
}

std::string_view text_from_ip(std::span<const std::byte> ip, IpText& buffer) noexcept {
  return ::inet_ntop(ip_family(ip), ip.data(), buffer.data(), static_cast<socklen_t>(buffer.size()));
}

Result<> start() noexcept { return {}; }

Result<NativeSocket> open(Address::Family family, Kind kind) noexcept {
  const auto domain = native_family(family);
  if (!domain) return failure(domain.error());
  const int type = kind == Kind::stream ? SOCK_STREAM : SOCK_DGRAM;
  const int opened = ::socket(*domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (opened < 0) return last_error();
  if (*domain == AF_INET6) {
    if (const auto done = set(opened, Option::v6_only, family == Address::Family::any ? 0 : 1); !done) {
      close(opened);
      return failure(done.error());
    }
  }
  return opened;
}

// Not again after EINTR: Linux has given the number back by then, and it may be another thread's already.
void close(NativeSocket socket) noexcept { ::close(socket); }

Result<> connect(NativeSocket socket, std::span<const std::byte> to) noexcept {
  const int result = ::connect(socket, as_sockaddr(to), static_cast<socklen_t>(to.size()));
  // After EINTR too the connect goes on by itself (POSIX); a second call would only say EALREADY.
  if (result < 0 && (errno == EINPROGRESS || errno == EINTR)) return {};
  return done_or_error(result);
}

Result<> bind(NativeSocket socket, std::span<const std::byte> at) noexcept {
  return done_or_error(::bind(socket, as_sockaddr(at), static_cast<socklen_t>(at.size())));
}

Result<> listen(NativeSocket socket, int backlog) noexcept { return done_or_error(::listen(socket, backlog)); }

Result<Accepted> accept(NativeSocket socket, std::span<std::byte> address) noexcept {
  auto* const peer = reinterpret_cast<sockaddr*>(address.data());
  socklen_t size = 0;
  const int accepted = retried([&] {
    size = static_cast<socklen_t>(address.size());
    return ::accept4(socket, peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  });
  if (accepted < 0) return last_error();
  return Accepted{.socket = accepted, .address_size = size};
}

Result<std::size_t> receive(NativeSocket socket, std::span<std::byte> into) noexcept {
  return size_or_error(retried([&] { return ::recv(socket, into.data(), into.size(), 0); }));
}

Result<std::size_t> send(NativeSocket socket, std::span<const std::byte> from, Urgent urgent) noexcept {
  const int flags = MSG_NOSIGNAL | (urgent == Urgent::yes ? MSG_OOB : 0);
  return size_or_error(retried([&] { return ::send(socket, from.data(), from.size(), flags); }));
}

Result<std::size_t> receive_parts(NativeSocket socket, TcpStream::PartsToFill into) noexcept {
  std::array<iovec, TcpStream::parts_max> parts;
  msghdr message = message_of(parts, into);
  return size_or_error(retried([&] { return ::recvmsg(socket, &message, 0); }));
}

Result<std::size_t> send_parts(NativeSocket socket, TcpStream::PartsToSend from) noexcept {
  std::array<iovec, TcpStream::parts_max> parts;
  const msghdr message = message_of(parts, from);
  return size_or_error(retried([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL); }));
}

Result<std::size_t> send_to(NativeSocket socket, std::span<const std::byte> from,
                            std::span<const std::byte> to) noexcept {
  return size_or_error(retried([&] {
    return ::sendto(socket, from.data(), from.size(), MSG_NOSIGNAL, as_sockaddr(to), static_cast<socklen_t>(to.size()));
  }));
}

Result<Received> receive_from(NativeSocket socket, std::span<std::byte> into, std::span<std::byte> address) noexcept {
  iovec data{.iov_base = into.data(), .iov_len = into.size()};
  msghdr message{};
  const ssize_t size = retried([&] {
    message.msg_name = address.data();
    message.msg_namelen = static_cast<socklen_t>(address.size());
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    return ::recvmsg(socket, &message, 0);
  });
  if (size < 0) return last_error();
  if ((message.msg_flags & MSG_TRUNC) != 0) return failure(std::errc::message_size);
  return Received{.size = static_cast<std::size_t>(size), .address_size = message.msg_namelen};
}

Result<std::size_t> send_batch(NativeSocket socket, std::span<const UdpSocket::DatagramToSend> datagrams) noexcept {
  const auto count = std::min(datagrams.size(), UdpSocket::batch_max);
  std::array<mmsghdr, UdpSocket::batch_max> messages;
  std::array<iovec, UdpSocket::batch_max> parts;
  for (std::size_t i = 0; i < count; i++) {
    const auto to = datagrams[i].to.native();
    parts[i] = part_of(datagrams[i].data);
    messages[i] = {};
    msghdr& head = messages[i].msg_hdr;
    if (!to.empty()) head.msg_name = const_cast<std::byte*>(to.data());  // not written to
    head.msg_namelen = static_cast<socklen_t>(to.size());
    head.msg_iov = &parts[i];
    head.msg_iovlen = 1;
  }
  return size_or_error(
      retried([&] { return ::sendmmsg(socket, messages.data(), static_cast<unsigned>(count), MSG_NOSIGNAL); }));
}

Result<std::size_t> receive_batch(NativeSocket socket, std::span<UdpSocket::DatagramToFill> datagrams) noexcept {
  const auto count = std::min(datagrams.size(), UdpSocket::batch_max);
  std::array<mmsghdr, UdpSocket::batch_max> messages;
  std::array<iovec, UdpSocket::batch_max> parts;
  std::array<Sockaddr, UdpSocket::batch_max> addresses;
  for (std::size_t i = 0; i < count; i++) {
    parts[i] = part_of(datagrams[i].buffer);
    messages[i] = {};
    msghdr& head = messages[i].msg_hdr;
    head.msg_name = addresses[i].bytes.data();
    head.msg_namelen = static_cast<socklen_t>(addresses[i].bytes.size());
    head.msg_iov = &parts[i];
    head.msg_iovlen = 1;
  }
  const int received =
      retried([&] { return ::recvmmsg(socket, messages.data(), static_cast<unsigned>(count), 0, nullptr); });
  if (received < 0) return last_error();
  const auto filled = static_cast<std::size_t>(received);
  for (std::size_t i = 0; i < filled; i++) {
    const msghdr& head = messages[i].msg_hdr;
    datagrams[i].size = messages[i].msg_len;
    datagrams[i].is_cut = (head.msg_flags & MSG_TRUNC) != 0;
    datagrams[i].from = addresses[i].address(head.msg_namelen).value_or(Address());
  }
  return filled;
}

Result<> shutdown(NativeSocket socket, Shutdown which) noexcept {
  const int how = which == Shutdown::read ? SHUT_RD : which == Shutdown::write ? SHUT_WR : SHUT_RDWR;
  return done_or_error(::shutdown(socket, how));
}

Result<std::size_t> name(NativeSocket socket, End end, std::span<std::byte> address) noexcept {
  auto size = static_cast<socklen_t>(address.size());
  auto* const written = reinterpret_cast<sockaddr*>(address.data());
  const int result = end == End::local ? ::getsockname(socket, written, &size) : ::getpeername(socket, written, &size);
  if (result < 0) return last_error();
  return std::size_t{size};
}

Result<> set(NativeSocket socket, Option option, int value) noexcept {
  switch (option) {
    case Option::send_buffer: return set_option(socket, SOL_SOCKET, SO_SNDBUF, value);
    case Option::receive_buffer: return set_option(socket, SOL_SOCKET, SO_RCVBUF, value);
    case Option::no_delay: return set_option(socket, IPPROTO_TCP, TCP_NODELAY, value);
    case Option::keepalive: return set_option(socket, SOL_SOCKET, SO_KEEPALIVE, value);
    case Option::urgent_inline: return set_option(socket, SOL_SOCKET, SO_OOBINLINE, value);
    case Option::v6_only: return set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, value);
    case Option::reuse_port: return set_option(socket, SOL_SOCKET, SO_REUSEPORT, value);
    case Option::claim_address: return set_option(socket, SOL_SOCKET, SO_REUSEADDR, value);
    case Option::late_port: return set_option(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, value);
  }
  return failure(std::errc::invalid_argument);
}

Result<> set_linger(NativeSocket socket, std::optional<std::chrono::seconds> time) noexcept {
  const auto longest = std::chrono::seconds(std::numeric_limits<int>::max());
  const auto value = std::clamp(time.value_or(std::chrono::seconds(0)), std::chrono::seconds(0), longest);
  return set_option(socket, SOL_SOCKET, SO_LINGER,
                    linger{.l_onoff = time ? 1 : 0, .l_linger = static_cast<int>(value.count())});
}

Result<> set_keepalive_times(NativeSocket socket, std::chrono::seconds idle, std::chrono::seconds interval) noexcept {
  const auto seconds = [](std::chrono::seconds time) {  // what does not fit is refused as too long
    return static_cast<int>(std::min<std::chrono::seconds::rep>(time.count(), std::numeric_limits<int>::max()));
  };
  if (const auto set = set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle)); !set) return set;
  return set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, seconds(interval));
}

Result<std::error_code> take_error(NativeSocket socket) noexcept {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return last_error();
  return error == 0 ? std::error_code{} : code_from(error);
}

}  // namespace reactor::sys
