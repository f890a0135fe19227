// SPDX-License-Identifier: MIT
#include "blocking.hpp"

#ifdef _WIN32
#include <winsock2.h>
#else
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "../common/arguments.hpp"

namespace bench::blocking {

#ifdef _WIN32
using Length = int;
constexpr int no_signal = 0;
#else
using Length = socklen_t;
constexpr int no_signal = MSG_NOSIGNAL;
#endif

Listener listen_on_loopback() {
  sockaddr_in address{};
  Length size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto listener = static_cast<NativeSocket>(::socket(AF_INET, SOCK_STREAM, 0));
  if (listener == reactor::invalid_socket ||
      ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 8) != 0 || ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("a listener for the control port cannot be opened");
  }
  return {listener, ntohs(address.sin_port)};
}

NativeSocket open_datagram() {
  const auto opened = static_cast<NativeSocket>(::socket(AF_INET, SOCK_DGRAM, 0));
  if (opened == reactor::invalid_socket) fail("a datagram socket cannot be opened");
  return opened;
}

NativeSocket accept(NativeSocket listener) noexcept {
  return static_cast<NativeSocket>(::accept(listener, nullptr, nullptr));
}

std::size_t receive(NativeSocket socket, std::span<std::byte> into) noexcept {
  const auto size = ::recv(socket, reinterpret_cast<char*>(into.data()), static_cast<Length>(into.size()), 0);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

bool send_all(NativeSocket socket, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const auto sent =
        ::send(socket, reinterpret_cast<const char*>(bytes.data()), static_cast<Length>(bytes.size()), no_signal);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

void close(NativeSocket socket) noexcept {
#ifdef _WIN32
  ::closesocket(socket);
#else
  ::close(socket);
#endif
}

void make_blocking(NativeSocket socket) {
#ifdef _WIN32
  u_long off = 0;
  if (::ioctlsocket(socket, static_cast<long>(FIONBIO), &off) != 0) fail("FIONBIO");
#else
  const int flags = ::fcntl(socket, F_GETFL);
  if (flags < 0 || ::fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) != 0) fail("O_NONBLOCK");
#endif
}

}  // namespace bench::blocking
