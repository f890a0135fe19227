// SPDX-License-Identifier: MIT
// libevent with its events: a callback for each socket that is ready, which does its own I/O.
#include <event2/event.h>

#include "service.hpp"

namespace bench {

namespace {

struct Member {
  Echo echo;
  Service& service;
  event* registration = nullptr;
  Interest interest = Interest::readable;
};

struct Acceptor {
  Service& service;
  event_base* base;
};

short mask_of(Interest interest) {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  return static_cast<short>(EV_PERSIST | (wants(Interest::readable) ? EV_READ : 0) |
                            (wants(Interest::writable) ? EV_WRITE : 0));
}

void on_ready(int socket, short what, void* pointer) {
  auto* member = static_cast<Member*>(pointer);
  const auto interest = member->echo.ready(member->service.counters(), (what & EV_READ) != 0);
  if (!interest) {
    event_free(member->registration);
    member->service.counters().closed.add(1);
    delete member;
  } else if (*interest != member->interest) {
    member->interest = *interest;
    event_base* base = event_get_base(member->registration);
    event_del(member->registration);
    event_assign(member->registration, base, socket, mask_of(*interest), on_ready, member);
    event_add(member->registration, nullptr);
  }
}

void on_connection(int, short, void* pointer) {
  auto& acceptor = *static_cast<Acceptor*>(pointer);
  acceptor.service.accept_all([&acceptor](Echo echo) {
    auto* member = new Member{.echo = std::move(echo), .service = acceptor.service};  // deleted when it closes
    const int socket = member->echo.stream().native();
    member->registration = event_new(acceptor.base, socket, mask_of(Interest::readable), on_ready, member);
    event_add(member->registration, nullptr);
  });
}

}  // namespace

void serve_libevent(Service& service) {
  Acceptor acceptor{.service = service, .base = event_base_new()};
  event* listening =
      event_new(acceptor.base, service.listener().native(), EV_READ | EV_PERSIST, on_connection, &acceptor);
  event_add(listening, nullptr);
  service.open([](Json&) {});
  event_base_dispatch(acceptor.base);
  fail("libevent's loop has ended", {});
}

}  // namespace bench
