// SPDX-License-Identifier: MIT
#include <reactor/poller.hpp>

#include <deque>
#include <memory>

#include "describe.hpp"
#include "make_poller.hpp"
#include "service.hpp"

namespace bench {

namespace {

using reactor::Event, reactor::Poller, reactor::Token;

struct Member {
  Echo echo;
  reactor::Registration registration;
  Interest interest = Interest::readable;
};

// Serves a connection that is ready. False when it has ended.
bool on_ready(Member& member, const Event& event, Counters& counters) {
  const auto interest = member.echo.ready(counters, event.readable());
  if (!interest) return false;
  if (*interest == member.interest) return true;
  member.interest = *interest;
  return member.registration.modify(*interest).has_value();
}

// Widens the interest, or narrows it again: it changes no event and costs a modify.
void toggle(Member& member) {
  const bool is_wide = member.interest != Interest::readable;
  member.interest = is_wide ? Interest::readable : Interest::readable | Interest::priority;
  value_or_fail(member.registration.modify(member.interest), "modify");
}

}  // namespace

void serve_poller(Service& service) {
  if (service.settings().threads > 1 || service.settings().oneshot) serve_shared_poller(service);
  Poller poller = value_or_fail(make_poller(service.settings().kind), "Poller::create");
  [[maybe_unused]] const auto accepting =
      value_or_fail(poller.add(service.listener().native(), Token{0}, Interest::readable), "add");
  const auto waker = poller.waker();
  service.open([&poller](Json& json) { describe(poller.stats(), json); });
  const auto join = [&](Echo echo) {
    auto member = std::make_unique<Member>(std::move(echo));
    const Token token{reinterpret_cast<std::uintptr_t>(member.get())};
    member->registration = value_or_fail(poller.add(member->echo.stream().native(), token, Interest::readable), "add");
    static_cast<void>(member.release());  // the token owns it now
  };
  Member* toggled = nullptr;                 // its interest is changed by the events of others
  std::deque<reactor::Registration> closed;  // of closed sockets: the Poller has to notice that by itself
  const auto leave = [&](Member* member) {
    if (service.settings().leaves_closed) {
      closed.push_back(std::move(member->registration));
      if (closed.size() > 64) closed.pop_front();
    }
    delete member;
    service.counters().closed.add(1);
  };
  std::vector<Event> buffer(service.settings().event_buffer_size);
  while (true) {
    if (service.settings().wakes) waker.wake();
    const auto events = value_or_fail(poller.wait(buffer), "wait");
    for (const Event& event : events) {
      if (event.token() == Token{0}) {
        service.accept_all(join);
        continue;
      }
      auto* member = reinterpret_cast<Member*>(event.token());
      if (service.settings().toggles_other) {
        if (toggled == nullptr) toggled = member;
        if (toggled != member) toggle(*toggled);
      }
      if (on_ready(*member, event, service.counters())) continue;
      if (toggled == member) toggled = nullptr;
      leave(member);
    }
  }
}

}  // namespace bench
