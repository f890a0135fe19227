// SPDX-License-Identifier: MIT
//
// A Poller inside another loop, which watches its native_handle() and nothing else.
#include <array>
#include <cstddef>
#include <optional>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace parity;

namespace {

// As the comment of native_handle says: waits with a time-out of zero, until one reports neither events nor a wake or,
// where the handle is level-triggered, reports what is still so.
struct Drained {
  Reports events;
  bool woken = false;
};

Drained drain(Poller& poller) {
  Drained drained;
  std::array<Event, 4> buffer;
  for (;;) {
    const auto events = must(poller.wait(buffer, nanoseconds::zero()));
    for (const Report& report : reports_of(events.span())) drained.events.push_back(report);
    drained.woken = drained.woken || events.woken();
    if (events.empty() && !events.woken()) return drained;
    if (drained.events.size() > 100) return drained;  // a level socket is reported for as long as it is ready
  }
}

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "embedding: the native handle is signalled by what a wait finds") {
  Pair pair = make_pair();
  Poller poller = make_poller();
  const auto handle = must(poller.native_handle());
  CHECK(must(poller.native_handle()) == handle);
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read, Mode::oneshot));
  CHECK(drain(poller).events == nothing);  // after every change: it arms what is registered
  for (int round = 0; round != 3; ++round) {
    CHECK_FALSE(is_signalled(handle, quiet));
    send_byte(pair.client);
    REQUIRE(is_signalled(handle, time_limit));
    CHECK(drain(poller).events == Reports{{1, readable}});
    CHECK_FALSE(is_signalled(handle, quiet));  // oneshot, and not read
    CHECK(receive_all(pair.server) == 1);
    must(registration.modify(asks_read));
    CHECK(drain(poller).events == nothing);
  }
  must(registration.modify(asks_read, Mode::level));
  CHECK(drain(poller).events == nothing);
  send_byte(pair.client);
  REQUIRE(is_signalled(handle, time_limit));
  CHECK(drain(poller).events.size() > 100);
  CHECK(receive_all(pair.server) == 1);
  CHECK(drain(poller).events == nothing);
  CHECK_FALSE(is_signalled(handle, quiet));
}

TEST_CASE_FIXTURE(NothingIsLeft, "embedding: the native handle is signalled by a wake from any thread") {
  Poller poller = make_poller();
  const auto handle = must(poller.native_handle());
  for (int round = 0; round != 3; ++round) {
    CHECK_FALSE(is_signalled(handle, quiet));
    std::thread([waker = poller.waker()] { waker.wake(); }).join();
    REQUIRE(is_signalled(handle, time_limit));
    CHECK(drain(poller).woken);
  }
  CHECK_FALSE(is_signalled(handle, quiet));
}

TEST_CASE_FIXTURE(NothingIsLeft, "embedding: an outer loop serves a connection by the native handle alone") {
  Poller poller = make_poller();
  const auto handle = must(poller.native_handle());
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  const Registration listening = must(poller.add(listener.native(), Token{1}, asks_read));
  CHECK(drain(poller).events == nothing);
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  std::optional<TcpStream> server;
  Registration serving;
  std::size_t echoed = 0;
  send_all(client, std::vector<std::byte>(1000));
  while (echoed < 1000) {
    REQUIRE(is_signalled(handle, time_limit));
    for (std::size_t count = 1; count > 0;) {
      std::array<Event, 4> buffer;
      const auto events = must(poller.wait(buffer, nanoseconds::zero()));
      count = events.size();
      for (const Event& event : events) {
        if (event.token() == Token{1}) {
          server = must(listener.accept());
          serving = must(poller.add(server->native(), Token{2}, asks_read));
        } else {
          echoed += receive_all(*server);
        }
      }
    }
  }
  CHECK(echoed == 1000);
  CHECK_FALSE(is_signalled(handle, quiet));
}

TEST_CASE_FIXTURE(NothingIsLeft, "level: with any interest but none an end is reported in every wait") {
  for (const Interest interest : {asks_read, asks_write, Interest::priority, asks_all}) {
    Pair pair = make_pair();
    Poller poller = make_poller();
    Registration registration = must(poller.add(pair.server.native(), Token{1}, interest));
    static_cast<void>(next(poller, nanoseconds::zero()));
    reset(pair.client);
    const Readiness end =
        readable | writable | hung_up | failed | (covers(Readiness(interest), readable) ? read_closed : none);
    for (int i = 0; i != 3; ++i) CHECK(settled(poller, {{1, end}}) == Reports{{1, end}});
    must(registration.modify(asks_nothing));
    CHECK(next(poller) == Reports{{1, readable | writable | hung_up | failed}});
    CHECK(next(poller, quiet) == nothing);
  }
}
