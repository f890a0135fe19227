// SPDX-License-Identifier: MIT
#include <cerrno>
#include <vector>

#include "../common/epoll_api.hpp"
#include "service.hpp"

namespace bench {

namespace {

struct Member {
  Echo echo;
  Interest interest = Interest::readable;
};

void control(EpollPort port, int operation, reactor::NativeSocket socket, Interest interest, Member* member) {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  epoll_event event{};
  event.events = (wants(Interest::readable) ? std::uint32_t{EPOLLIN | EPOLLRDHUP} : 0U) |
                 (wants(Interest::writable) ? std::uint32_t{EPOLLOUT} : 0U);
  event.data.ptr = member;
  if (epoll_ctl(port, operation, socket, &event) != 0) fail("epoll_ctl", {errno, std::generic_category()});
}

}  // namespace

#ifdef BENCH_WEPOLL
void serve_wepoll(Service& service) {
#else
void serve_epoll(Service& service) {
#endif
  const EpollPort port = epoll_create1(0);
  control(port, EPOLL_CTL_ADD, service.listener().native(), Interest::readable, nullptr);
  service.open([](Json&) {});
  std::vector<epoll_event> buffer(service.settings().event_buffer_size);
  while (true) {
    const int count = epoll_wait(port, buffer.data(), static_cast<int>(buffer.size()), -1);
    if (count < 0) fail("epoll_wait", {errno, std::generic_category()});
    for (const epoll_event& event : std::span(buffer).first(static_cast<std::size_t>(count))) {
      auto* member = static_cast<Member*>(event.data.ptr);
      if (member == nullptr) {
        service.accept_all([port](Echo echo) {
          auto* made = new Member(std::move(echo));
          control(port, EPOLL_CTL_ADD, made->echo.stream().native(), Interest::readable, made);
        });
        continue;
      }
      const auto interest = member->echo.ready(service.counters(), (event.events & ~std::uint32_t{EPOLLOUT}) != 0);
      const auto socket = member->echo.stream().native();
      if (!interest) {
        control(port, EPOLL_CTL_DEL, socket, Interest::none, nullptr);
        delete member;
        service.counters().closed.add(1);
      } else if (*interest != member->interest) {
        member->interest = *interest;
        control(port, EPOLL_CTL_MOD, socket, *interest, member);
      }
    }
  }
}

}  // namespace bench
