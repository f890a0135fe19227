// SPDX-License-Identifier: MIT
// The HTTP example's service on a Poller, and on epoll: the system's own, or on Windows ours.
#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include <reactor/poller.hpp>

#include "../common/epoll_api.hpp"
#include "describe.hpp"
#include "http_service.hpp"

namespace bench {

namespace {

using reactor::Poller, reactor::Token;

constexpr std::size_t events_max = 256;

void control(EpollPort port, int operation, reactor::NativeSocket socket, Interest interest, HttpMember* member) {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  epoll_event event{};
  event.events = (wants(Interest::readable) ? std::uint32_t{EPOLLIN | EPOLLRDHUP} : 0U) |
                 (wants(Interest::writable) ? std::uint32_t{EPOLLOUT} : 0U);
  event.data.ptr = member;
  if (epoll_ctl(port, operation, socket, &event) != 0) fail("epoll_ctl", {errno, std::generic_category()});
}

}  // namespace

void serve_http_poller(Service& service) {
  Poller poller = value_or_fail(Poller::create(), "Poller::create");
  auto accepting = value_or_fail(poller.add(service.listener().native(), Token{0}, Interest::readable), "Poller::add");
  service.open([&poller](Json& json) { describe(poller.stats(), json); });
  HttpMembers members;
  bool accepts = true;
  std::array<reactor::Event, events_max> buffer;
  const auto end = [&](HttpMember& member) {
    members.remove(member);
    service.counters().closed.add(1);
    if (!std::exchange(accepts, true)) value_or_fail(accepting.modify(Interest::readable), "modify");
  };
  for (;;) {
    const auto events = value_or_fail(poller.wait(buffer, members.timeout()), "wait");
    members.read_clock();
    for (const reactor::Event& event : events) {
      if (event.token() == Token{0}) {
        for (accepts = !members.is_full(); accepts; accepts = !members.is_full()) {
          auto stream = service.listener().accept();
          if (!stream) break;
          service.prepare(*stream);
          HttpMember& member = members.add(std::move(*stream));
          const Token token{reinterpret_cast<std::uintptr_t>(&member)};
          member.registration = value_or_fail(poller.add(member.stream.native(), token, Interest::readable), "add");
        }
        if (!accepts) value_or_fail(accepting.modify(Interest::none), "modify");
        continue;
      }
      // NOLINTNEXTLINE(performance-no-int-to-ptr): the token is the member's address
      auto& member = *reinterpret_cast<HttpMember*>(static_cast<std::uintptr_t>(event.token()));
      members.touch(member);
      const auto interest = member.ready(event.readable());
      if (!interest) {
        end(member);
      } else if (*interest != member.interest) {
        member.interest = *interest;
        value_or_fail(member.registration.modify(*interest), "modify");
      }
    }
    while (HttpMember* const member = members.expired()) end(*member);
  }
}

void serve_http_epoll(Service& service) {
  const EpollPort port = epoll_create1(0);
  const auto listener = service.listener().native();
  control(port, EPOLL_CTL_ADD, listener, Interest::readable, nullptr);
  service.open([](Json&) {});
  HttpMembers members;
  bool accepts = true;
  std::array<epoll_event, events_max> buffer{};
  const auto end = [&](HttpMember& member) {
    control(port, EPOLL_CTL_DEL, member.stream.native(), Interest::none, nullptr);
    members.remove(member);
    service.counters().closed.add(1);
    if (!std::exchange(accepts, true)) control(port, EPOLL_CTL_MOD, listener, Interest::readable, nullptr);
  };
  for (;;) {
    const auto timeout = members.timeout();
    const auto timeout_ms =
        timeout ? static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*timeout).count()) : -1;
    const int count = epoll_wait(port, buffer.data(), static_cast<int>(buffer.size()), timeout_ms);
    if (count < 0) fail("epoll_wait", {errno, std::generic_category()});
    members.read_clock();
    for (const epoll_event& event : std::span(buffer).first(static_cast<std::size_t>(count))) {
      auto* const member = static_cast<HttpMember*>(event.data.ptr);
      if (member == nullptr) {
        for (accepts = !members.is_full(); accepts; accepts = !members.is_full()) {
          auto stream = service.listener().accept();
          if (!stream) break;
          service.prepare(*stream);
          HttpMember& made = members.add(std::move(*stream));
          control(port, EPOLL_CTL_ADD, made.stream.native(), Interest::readable, &made);
        }
        if (!accepts) control(port, EPOLL_CTL_MOD, listener, Interest::none, nullptr);
        continue;
      }
      members.touch(*member);
      const auto interest = member->ready((event.events & ~std::uint32_t{EPOLLOUT}) != 0);
      if (!interest) {
        end(*member);
      } else if (*interest != member->interest) {
        member->interest = *interest;
        control(port, EPOLL_CTL_MOD, member->stream.native(), *interest, member);
      }
    }
    while (HttpMember* const member = members.expired()) end(*member);
  }
}

}  // namespace bench
