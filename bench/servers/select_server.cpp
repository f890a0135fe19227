// SPDX-License-Identifier: MIT
// select, with large sets: on Windows a program chooses FD_SETSIZE itself.
#define FD_SETSIZE 16384
#include <winsock2.h>

#include <memory>
#include <vector>

#include "service.hpp"

namespace bench {

namespace {

struct Member {
  Echo echo;
  Interest interest = Interest::readable;
};

bool wants(Interest interest, Interest direction) { return (interest & direction) != Interest::none; }

}  // namespace

void serve_select(Service& service) {
  static fd_set readable, writable;
  std::vector<std::unique_ptr<Member>> members;
  const SOCKET listener = service.listener().native();
  service.open([](Json&) {});
  while (true) {
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    // FD_SET would search the whole set for each socket.
    readable.fd_array[readable.fd_count++] = listener;
    for (const auto& member : members) {
      const SOCKET socket = member->echo.stream().native();
      if (wants(member->interest, Interest::readable)) readable.fd_array[readable.fd_count++] = socket;
      if (wants(member->interest, Interest::writable)) writable.fd_array[writable.fd_count++] = socket;
    }
    if (select(0, &readable, &writable, nullptr, nullptr) < 0) {
      fail("select", {WSAGetLastError(), std::system_category()});
    }
    // The sockets that are ready are in the sets in the order in which they were put there.
    u_int next_readable = 0, next_writable = 0;
    const bool can_accept = readable.fd_count > 0 && readable.fd_array[0] == listener;
    if (can_accept) next_readable = 1;
    for (auto& member : members) {
      const SOCKET socket = member->echo.stream().native();
      const bool can_read = next_readable < readable.fd_count && readable.fd_array[next_readable] == socket;
      const bool can_write = next_writable < writable.fd_count && writable.fd_array[next_writable] == socket;
      next_readable += can_read ? 1 : 0;
      next_writable += can_write ? 1 : 0;
      if (!can_read && !can_write) continue;
      if (const auto interest = member->echo.ready(service.counters(), can_read)) {
        member->interest = *interest;
      } else {
        member.reset();
        service.counters().closed.add(1);
      }
    }
    std::erase(members, nullptr);
    if (can_accept) {
      service.accept_all([&](Echo echo) {
        if (members.size() + 1 < FD_SETSIZE) members.push_back(std::make_unique<Member>(std::move(echo)));
      });
    }
  }
}

}  // namespace bench
