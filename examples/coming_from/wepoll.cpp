// SPDX-License-Identifier: MIT
// An echo server on wepoll, as its users write it; errors are left out. Here wepoll.h is this library's.
#include <array>
#include <cstddef>

#include <wepoll.h>
#include <winsock2.h>

#include "client.hpp"

namespace {

void echo_with_wepoll(SOCKET listener) {
  const HANDLE epoll = epoll_create1(0);
  epoll_event added{.events = EPOLLIN, .data = {.sock = listener}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &added);
  std::array<epoll_event, 64> events;
  std::array<char, 4096> text;
  for (int size = 1; size > 0;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const SOCKET socket = events[static_cast<std::size_t>(i)].data.sock;
      if (socket == listener) {
        added.data.sock = accept(listener, nullptr, nullptr);
        epoll_ctl(epoll, EPOLL_CTL_ADD, added.data.sock, &added);
      } else if ((size = recv(socket, text.data(), static_cast<int>(text.size()), 0)) > 0) {
        send(socket, text.data(), size, 0);
      } else {
        closesocket(socket);
      }
    }
  }
  epoll_close(epoll);
}

}  // namespace

int main() {
  return coming_from::try_out("wepoll", [](reactor::TcpListener listener) { echo_with_wepoll(listener.native()); });
}
