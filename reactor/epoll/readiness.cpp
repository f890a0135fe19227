// SPDX-License-Identifier: MIT
#include <reactor/epoll/readiness.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace reactor::epoll {

namespace {

constexpr bool has(Interest interest, Interest flag) noexcept { return (interest & flag) != Interest::none; }

std::optional<int> option(int socket, int level, int name) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket, level, name, &value, &size) != 0) return std::nullopt;
  return value;
}

bool is_set(int socket, int level, int name) noexcept { return option(socket, level, name).value_or(0) != 0; }

/// TCP_CLOSE, TCP_ESTABLISHED and so on; nothing for what is not TCP.
std::optional<std::uint8_t> tcp_state(int socket) noexcept {
  std::uint8_t state = 0;  // the first member of tcp_info; the kernel copies as much as is asked for
  socklen_t size = sizeof state;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) return std::nullopt;
  return state;
}

}  // namespace

std::uint32_t bits_of(Interest interest) noexcept {
  std::uint32_t bits = 0;
  if (has(interest, Interest::readable)) bits |= EPOLLIN | EPOLLRDHUP;
  if (has(interest, Interest::writable)) bits |= EPOLLOUT;
  if (has(interest, Interest::priority)) bits |= EPOLLPRI;
  return bits;
}

Readiness readiness_of(std::uint32_t bits) noexcept {
  auto readiness = Readiness::none;
  if ((bits & EPOLLIN) != 0) readiness |= Readiness::readable;
  if ((bits & EPOLLOUT) != 0) readiness |= Readiness::writable;
  if ((bits & EPOLLPRI) != 0) readiness |= Readiness::priority;
  if ((bits & EPOLLRDHUP) != 0) readiness |= Readiness::read_closed;
  if ((bits & EPOLLHUP) != 0) readiness |= Readiness::hung_up;
  if ((bits & EPOLLERR) != 0) readiness |= Readiness::failed | Readiness::readable | Readiness::writable;
  return readiness;
}

std::optional<Readiness> error_queue_of(int descriptor) noexcept {
  if (const auto state = tcp_state(descriptor)) {
    return *state == TCP_CLOSE ? std::nullopt : std::optional(Readiness::priority);
  }
  // With these an ICMP error is also pending, to be consumed by the next receive.
  if (is_set(descriptor, IPPROTO_IP, IP_RECVERR) || is_set(descriptor, IPPROTO_IPV6, IPV6_RECVERR)) {
    return Readiness::readable | Readiness::priority;
  }
  if (is_set(descriptor, SOL_SOCKET, SO_TIMESTAMPING) || is_set(descriptor, SOL_SOCKET, SO_ZEROCOPY)) {
    return Readiness::priority;
  }
  return std::nullopt;
}

}  // namespace reactor::epoll
