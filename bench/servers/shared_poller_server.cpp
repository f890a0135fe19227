// SPDX-License-Identifier: MIT
// Several threads wait on one Poller. Each serves the events of its own wait.
#include <reactor/poller.hpp>

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "describe.hpp"
#include "make_poller.hpp"
#include "service.hpp"

namespace bench {

namespace {

using reactor::Event, reactor::Mode, reactor::Poller, reactor::Token;

/// With Mode::level, two threads may get an event of one connection at the same time.
struct Member {
  explicit Member(Echo connection) : echo(std::move(connection)) {}

  std::mutex mutex;
  Echo echo;
  reactor::Registration registration;
  Interest interest = Interest::readable;
  bool is_open = true;
};

class SharedServer {
 public:
  explicit SharedServer(Service& service)
      : service_(service),
        poller_(value_or_fail(make_poller(service.settings().kind), "Poller::create")),
        listener_(value_or_fail(poller_.add(service.listener().native(), Token{0}, Interest::readable), "add")) {}

  [[noreturn]] void run() {
    service_.open([this](Json& json) { describe(poller_.stats(), json); });
    for (std::size_t i = 1; i < service_.settings().threads; i++) std::thread([this] { serve(); }).detach();
    serve();
  }

 private:
  [[noreturn]] void serve() {
    std::vector<Event> buffer(service_.settings().event_buffer_size);
    while (true) {
      for (const Event& event : value_or_fail(poller_.wait(buffer), "wait")) {
        if (event.token() == Token{0}) {
          service_.accept_all([this](Echo echo) { join(std::move(echo)); });
        } else {
          on_event(*reinterpret_cast<Member*>(event.token()), event);
        }
      }
    }
  }

  void join(Echo echo) {
    // Never freed: another thread may still have an event of a connection that has ended.
    auto* member = new Member(std::move(echo));
    const std::lock_guard lock(member->mutex);  // its first event may come before add returns
    const Token token{reinterpret_cast<std::uintptr_t>(member)};
    const Mode mode = service_.settings().oneshot ? Mode::oneshot : Mode::level;
    member->registration =
        value_or_fail(poller_.add(member->echo.stream().native(), token, Interest::readable, mode), "add");
  }

  void on_event(Member& member, const Event& event) {
    const std::lock_guard lock(member.mutex);
    if (!member.is_open) return;
    const auto interest = member.echo.ready(service_.counters(), event.readable());
    if (!interest) return leave(member);
    if (*interest == member.interest && !service_.settings().oneshot) return;
    member.interest = *interest;
    value_or_fail(member.registration.modify(*interest), "modify");
  }

  void leave(Member& member) {
    member.is_open = false;
    value_or_fail(member.registration.remove(), "remove");
    member.echo.close();
    service_.counters().closed.add(1);
  }

  Service& service_;
  Poller poller_;
  reactor::Registration listener_;
};

}  // namespace

void serve_shared_poller(Service& service) { SharedServer(service).run(); }

}  // namespace bench
