// SPDX-License-Identifier: MIT
//
// The names of sockets, and what AFD and epoll see of one.
#include <reactor/sim/sim_endpoint.hpp>

#include <cstdio>

#include <reactor/sim/sim_stack.hpp>

namespace reactor::sim {

using namespace reactor::nt;

namespace {

constexpr auto STATUS_CONNECTION_REFUSED = static_cast<NTSTATUS>(0xC0000236);
constexpr auto STATUS_IO_TIMEOUT = static_cast<NTSTATUS>(0xC00000B5);

}  // namespace

bool Name::is_loopback() const noexcept {
  if (kind == Kind::ipv4) return ip[0] == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return kind == Kind::ipv6 && ip == one;
}

std::string Name::text() const {
  std::array<char, 64> text{};
  switch (kind) {
    case Kind::none: return "-";
    case Kind::path: return "unix:" + path;
    case Kind::ipv4: std::snprintf(text.data(), text.size(), "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], port); break;
    case Kind::ipv6: {
      std::string long_text = "[";
      for (std::size_t i = 0; i < 16; i += 2) {
        std::snprintf(text.data(), text.size(), "%s%x", i == 0 ? "" : ":", ip[i] << 8 | ip[i + 1]);
        long_text += text.data();
      }
      return long_text + "]:" + std::to_string(port);
    }
  }
  return text.data();
}

bool Stack::is_writable(const Endpoint& endpoint) const {
  if (core_.is_epoll()) return endpoint.unsent <= endpoint.send_capacity * 2 / 3;
  return endpoint.unsent < endpoint.send_capacity;
}

ULONG Stack::events_of(const Endpoint& endpoint) const {
  const bool windows = core_.is_windows();
  switch (endpoint.state) {
    case SocketState::not_afd:
    case SocketState::fresh:
    case SocketState::connecting: return 0;  // fact never_connected.mask
    case SocketState::failed: return AFD_POLL_CONNECT_FAIL;
    case SocketState::listening: return endpoint.backlog.empty() ? 0 : AFD_POLL_ACCEPT;
    case SocketState::datagram: {
      const bool has_news = !endpoint.datagrams.empty() || (windows && endpoint.unreachable);
      return AFD_POLL_SEND | (has_news ? AFD_POLL_RECEIVE : 0);
    }
    case SocketState::connected: break;
  }
  if (endpoint.reset) return AFD_POLL_ABORT | AFD_POLL_SEND | AFD_POLL_CONNECT;  // fact reset.mask
  ULONG events = AFD_POLL_CONNECT;  // fact connected.again: it never goes away
  if (endpoint.unread > 0) events |= AFD_POLL_RECEIVE;
  if (endpoint.urgent > 0 && !endpoint.urgent_inline) events |= AFD_POLL_RECEIVE_EXPEDITED;
  if (is_writable(endpoint)) events |= AFD_POLL_SEND;
  // Facts fin.data and fin.behind_data: under Wine when nothing is left to read.
  if (endpoint.fin && (windows || endpoint.unread == 0)) events |= AFD_POLL_DISCONNECT;
  return events;
}

NTSTATUS Stack::status_of(const Endpoint& endpoint, ULONG events) {
  if (endpoint.state != SocketState::failed || (events & AFD_POLL_CONNECT_FAIL) == 0) return STATUS_SUCCESS;
  return endpoint.error == std::errc::timed_out ? STATUS_IO_TIMEOUT : STATUS_CONNECTION_REFUSED;
}

}  // namespace reactor::sim
