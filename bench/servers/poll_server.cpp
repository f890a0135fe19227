// SPDX-License-Identifier: MIT
// WSAPoll, and poll on Linux: each call passes the whole list to the kernel and back.
#ifdef _WIN32
#include <winsock2.h>
#else
#include <poll.h>
#endif

#include <cerrno>
#include <memory>
#include <vector>

#include "service.hpp"

namespace bench {

namespace {

#ifdef _WIN32
using PollEntry = WSAPOLLFD;
int poll_all(std::vector<PollEntry>& entries) {
  return WSAPoll(entries.data(), static_cast<ULONG>(entries.size()), -1);
}
std::error_code last_error() { return {WSAGetLastError(), std::system_category()}; }
#else
using PollEntry = pollfd;
int poll_all(std::vector<PollEntry>& entries) { return poll(entries.data(), entries.size(), -1); }
std::error_code last_error() { return {errno, std::generic_category()}; }
#endif

short mask_of(Interest interest) {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  return static_cast<short>((wants(Interest::readable) ? POLLIN : 0) | (wants(Interest::writable) ? POLLOUT : 0));
}

}  // namespace

void serve_poll(Service& service) {
  std::vector<PollEntry> entries{{.fd = service.listener().native(), .events = POLLIN, .revents = 0}};
  std::vector<std::unique_ptr<Echo>> members(1);  // at the index of their entry; null for the listener
  service.open([](Json&) {});
  while (true) {
    int left = poll_all(entries);
    if (left < 0) fail("poll", last_error());
    // From the end: one that leaves is replaced by the last, which was handled already.
    for (std::size_t i = entries.size() - 1; i > 0 && left > 0; i--) {
      if (entries[i].revents == 0) continue;
      left--;
      const bool is_readable = (entries[i].revents & ~POLLOUT) != 0;
      if (const auto interest = members[i]->ready(service.counters(), is_readable)) {
        entries[i].events = mask_of(*interest);
        continue;
      }
      entries[i] = entries.back();
      std::swap(members[i], members.back());
      entries.pop_back();
      members.pop_back();
      service.counters().closed.add(1);
    }
    if (left == 0) continue;
    service.accept_all([&](Echo echo) {
      members.push_back(std::make_unique<Echo>(std::move(echo)));
      entries.push_back({.fd = members.back()->stream().native(), .events = POLLIN, .revents = 0});
    });
  }
}

}  // namespace bench
