// SPDX-License-Identifier: MIT
// A console event is a call on a thread that the system creates. It becomes a datagram of one byte, which a socket
// sends to itself, so that a loop can wait for it.
#include <reactor/net/signals.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>
#include <vector>

#include <reactor/nt/windows.hpp>

namespace reactor::sys {

namespace {

struct Watcher {
  NativeSocket socket;
  std::vector<int> signals;
};

std::mutex mutex;
std::vector<Watcher>& watchers() {
  static std::vector<Watcher> all;
  return all;
}

int signal_of(DWORD event) noexcept {
  switch (event) {
    case CTRL_C_EVENT: return SIGINT;
    case CTRL_BREAK_EVENT: return SIGBREAK;
    default: return SIGTERM;
  }
}

BOOL WINAPI on_console_event(DWORD event) noexcept {
  if (!deliver_console_event(event)) return FALSE;
  // The process is ended when this returns, after such an event: leave it the time that the system gives.
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) ::Sleep(INFINITE);
  return TRUE;
}

}  // namespace

bool deliver_console_event(unsigned long event) noexcept {
  const int signal = signal_of(event);
  const std::lock_guard lock(mutex);
  bool is_watched = false;
  for (const Watcher& watcher : watchers()) {
    if (std::ranges::find(watcher.signals, signal) == watcher.signals.end()) continue;
    is_watched = true;
    UdpSocket socket(watcher.socket);
    const std::array byte{static_cast<std::byte>(signal)};
    static_cast<void>(socket.send(byte));
    static_cast<void>(socket.release());
  }
  return is_watched;
}

Result<Socket> open_signals(std::span<const int> signals) {
  auto socket = UdpSocket::bind(Address::loopback_ipv4());
  if (!socket) return failure(socket.error());
  const auto own = socket->local_address();
  if (!own) return failure(own.error());
  if (const auto connected = socket->connect(*own); !connected) return failure(connected.error());
  const std::lock_guard lock(mutex);
  if (watchers().empty() && ::SetConsoleCtrlHandler(on_console_event, TRUE) == 0) {
    return failure(std::errc::not_supported);
  }
  watchers().push_back({socket->native(), {signals.begin(), signals.end()}});
  return Socket(socket->release());
}

void forget_signals(NativeSocket socket) noexcept {
  const std::lock_guard lock(mutex);
  std::erase_if(watchers(), [socket](const Watcher& watcher) { return watcher.socket == socket; });
  if (watchers().empty()) ::SetConsoleCtrlHandler(on_console_event, FALSE);
}

Result<int> take_signal(NativeSocket socket) noexcept {
  UdpSocket udp(socket);
  std::array<std::byte, 1> byte{};
  const auto received = udp.receive_from(byte);
  static_cast<void>(udp.release());
  if (!received) return failure(received.error());
  return std::to_integer<int>(byte[0]);
}

}  // namespace reactor::sys
