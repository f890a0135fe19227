// SPDX-License-Identifier: MIT
// An echo server on epoll, as its users write it; errors are left out.
#include <array>
#include <cstddef>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.hpp"

namespace {

void echo_with_epoll(int listener) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event added{.events = EPOLLIN, .data = {.fd = listener}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &added);
  std::array<epoll_event, 64> events;
  std::array<char, 4096> text;
  for (ssize_t size = 1; size > 0;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        added.data.fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        epoll_ctl(epoll, EPOLL_CTL_ADD, added.data.fd, &added);
      } else if ((size = recv(fd, text.data(), text.size(), 0)) > 0) {
        send(fd, text.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
      } else {
        close(fd);
      }
    }
  }
  close(epoll);
}

}  // namespace

int main() {
  return coming_from::try_out("epoll", [](reactor::TcpListener listener) { echo_with_epoll(listener.native()); });
}
