// SPDX-License-Identifier: MIT
// Level, oneshot and edge, and changes of interest and mode while another thread waits.
#include "support.hpp"

using namespace parity;

namespace {

struct Registered {
  Pair pair = make_pair();
  Poller poller = make_poller();
  Registration registration;

  Registered(Interest interest, Mode mode)
      : registration(must(poller.add(pair.server.native(), Token{1}, interest, mode))) {}
};

const Reports is_readable{{1, readable}};
const Reports is_writable{{1, writable}};
const Reports is_both{{1, readable | writable}};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "level: reported in each wait while it is ready") {
  Registered on_level(asks_both, Mode::level);
  auto& [pair, poller, registration] = on_level;
  for (int i = 0; i < 3; ++i) CHECK(next(poller) == is_writable);
  send_byte(pair.client);
  CHECK(settled(poller, is_both) == is_both);
  for (int i = 0; i < 3; ++i) CHECK(next(poller, nanoseconds::zero()) == is_both);
  CHECK(receive_all(pair.server) == 1);
  for (int i = 0; i < 3; ++i) CHECK(settled(poller, is_writable) == is_writable);
  must(registration.modify(asks_read));
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "level: drained has no effect") {
  Registered on_level(asks_read, Mode::level);
  auto& [pair, poller, registration] = on_level;
  send_byte(pair.client);
  CHECK(next(poller) == is_readable);
  must(registration.drained(asks_read));
  CHECK(next(poller) == is_readable);
}

TEST_CASE_FIXTURE(NothingIsLeft, "oneshot: reported once, then disarmed until modify") {
  Registered once(asks_read, Mode::oneshot);
  auto& [pair, poller, registration] = once;
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  CHECK(next(poller) == is_readable);
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  must(registration.drained(asks_read));  // has an effect with edge only
  CHECK(next(poller, quiet) == nothing);
  must(registration.modify(asks_read));  // does not change the mode
  CHECK(next(poller) == is_readable);
  CHECK(next(poller, quiet) == nothing);
  must(registration.modify(asks_both));
  CHECK(next(poller) == is_both);
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "oneshot: an event in one direction disarms all directions") {
  Registered once(asks_both, Mode::oneshot);
  auto& [pair, poller, registration] = once;
  CHECK(next(poller) == is_writable);
  send_byte(pair.client);
  CHECK(next(poller, quiet) == nothing);
  reset(pair.client);
  CHECK(next(poller, quiet) == nothing);
  must(registration.modify(asks_nothing));
  CHECK(next(poller) == Reports{{1, readable | writable | hung_up | failed}});
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "edge: reported once, disarmed, and reported again after drained") {
  Registered edge(asks_read, Mode::edge);
  auto& [pair, poller, registration] = edge;
  for (int i = 0; i < 3; ++i) {
    send_byte(pair.client);
    CHECK(next(poller) == is_readable);
    CHECK(next(poller, quiet) == nothing);
    CHECK(receive_all(pair.server) == 1);
    must(registration.drained(asks_read));
    CHECK(next(poller, quiet) == nothing);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "edge: data that came between would-block and drained is reported") {
  Registered edge(asks_read, Mode::edge);
  auto& [pair, poller, registration] = edge;
  for (int i = 0; i < 100; ++i) {
    send_byte(pair.client);
    REQUIRE(next(poller) == is_readable);
    CHECK(receive_all(pair.server) == 1);
    send_byte(pair.client);
    must(registration.drained(asks_read));
    REQUIRE(next(poller) == is_readable);
    CHECK(receive_all(pair.server) == 1);
    must(registration.drained(asks_read));
  }
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "edge: new data before drained is reported by epoll and not by AFD") {
  Registered edge(asks_read, Mode::edge);
  auto& [pair, poller, registration] = edge;
  send_byte(pair.client);
  CHECK(next(poller) == is_readable);
  send_byte(pair.client);
  CHECK(next(poller, quiet) == (is_windows() ? nothing : is_readable));
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "edge: each direction is disarmed by itself") {
  Registered edge(asks_both, Mode::edge);
  auto& [pair, poller, registration] = edge;
  CHECK(next(poller) == is_writable);
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  // epoll's event for something new repeats what else is ready.
  CHECK(next(poller) == (is_windows() ? is_readable : is_both));
  CHECK(next(poller, quiet) == nothing);
  const std::size_t taken = fill(pair.server);
  must(registration.drained(asks_write));
  CHECK(next(poller, quiet) == nothing);
  std::size_t read = 0;
  while (read < taken) read += receive_all(pair.client);
  CHECK(next(poller) == (is_windows() ? is_writable : is_both));
}

TEST_CASE_FIXTURE(NothingIsLeft, "edge: a reset is reported once") {
  Registered edge(asks_read, Mode::edge);
  auto& [pair, poller, registration] = edge;
  send_byte(pair.client);
  CHECK(next(poller) == is_readable);
  CHECK(next(poller, quiet) == nothing);
  reset(pair.client);
  // Reading is disarmed for AFD: it reports the reset, and what a reset always sets.
  constexpr Readiness over = readable | writable | hung_up | failed;
  CHECK(next(poller) == Reports{{1, on(over | read_closed, over)}});
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "modify arms what oneshot and edge have disarmed") {
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {
    Registered registered(asks_both, mode);
    auto& [pair, poller, registration] = registered;
    send_byte(pair.client);
    Reports reports = settled(poller, is_both);  // the byte may come after the first event
    for (int i = 0; i < 3; ++i) {
      must(registration.modify(asks_both));
      reports = settled(poller, is_both);
      CHECK(reports == is_both);
      CHECK(next(poller, quiet) == nothing);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "modify changes each mode to each other mode") {
  constexpr Mode modes[]{Mode::level, Mode::oneshot, Mode::edge};
  for (const Mode from : modes) {
    for (const Mode to : modes) {
      CAPTURE(static_cast<int>(from));
      CAPTURE(static_cast<int>(to));
      Registered changing(asks_read, from);
      auto& [pair, poller, registration] = changing;
      send_byte(pair.client);
      CHECK(next(poller) == is_readable);
      must(registration.modify(asks_read, to));
      CHECK(next(poller) == is_readable);
      CHECK(next(poller, quiet) == (to == Mode::level ? is_readable : nothing));
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "every mode: a wider interest takes effect in a wait that has begun") {
  for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
    CAPTURE(static_cast<int>(mode));
    Registered waited_for(asks_nothing, mode);
    auto& [pair, poller, registration] = waited_for;
    Waiting waiting(poller);
    for (int i = 0; i < 100; ++i) {
      must(registration.modify(asks_write, mode));
      REQUIRE(waiting.take() == is_writable);
      must(registration.modify(asks_nothing));
      send_byte(pair.client);
      must(registration.modify(asks_read));
      // In level mode the wait that had begun may have reported writable once more.
      Reports reports = waiting.take();
      if (mode == Mode::level && reports == is_writable) reports = waiting.take();
      REQUIRE(reports == is_readable);
      must(registration.modify(asks_nothing));
      CHECK(receive_all(pair.server) == 1);
      poller.waker().wake();
      // And readable, too.
      reports = waiting.take();
      if (mode == Mode::level && reports == is_readable) reports = waiting.take();
      REQUIRE(reports == nothing);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "every mode: a narrower interest takes effect in a wait that has begun") {
  for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
    CAPTURE(static_cast<int>(mode));
    Registered waited_for(asks_read, mode);
    auto& [pair, poller, registration] = waited_for;
    Waiting waiting(poller);
    poller.waker().wake();
    REQUIRE(waiting.take() == nothing);
    for (int i = 0; i < 100; ++i) {
      must(registration.modify(asks_read));
      must(registration.modify(asks_nothing));
      send_byte(pair.client);
      poller.waker().wake();
      REQUIRE(waiting.take() == nothing);
      CHECK(receive_all(pair.server) == 1);
    }
    send_byte(pair.client);
    must(registration.modify(asks_read));
    CHECK(waiting.take() == is_readable);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "every mode: sockets added and removed while a thread waits") {
  for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
    CAPTURE(static_cast<int>(mode));
    const Pair pair = make_pair();
    Poller poller = make_poller();
    Waiting waiting(poller);
    send_byte(pair.client);
    for (std::uint64_t i = 0; i < 100; ++i) {
      Registration registration = must(poller.add(pair.server.native(), Token{i}, asks_read, mode));
      REQUIRE(waiting.take() == Reports{{i, readable}});
      must(registration.remove());
      poller.waker().wake();
      Reports reports = waiting.take();
      if (mode == Mode::level && reports == Reports{{i, readable}})
        reports = waiting.take();  // begun before the remove
      REQUIRE(reports == nothing);
    }
  }
}
