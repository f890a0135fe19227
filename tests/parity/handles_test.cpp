// SPDX-License-Identifier: MIT
//
// Poller::add_handle: what can be waited for and is no socket.
#include <array>
#include <thread>

#include "support.hpp"

using namespace parity;

TEST_CASE_FIXTURE(NothingIsLeft, "handles: one event for a signal, and the next when it is armed again") {
  const Signal signal;
  Poller poller = make_poller();
  Registration registration = must(poller.add_handle(signal.native(), Token{7}));
  CHECK(next(poller, quiet) == nothing);
  signal.set();
  CHECK(next(poller) == Reports{{7, readable}});
  CHECK(next(poller, quiet) == nothing);
  must(registration.rearm());  // it is still signalled
  CHECK(next(poller) == Reports{{7, readable}});
  signal.clear();
  must(registration.rearm());
  must(registration.rearm());
  CHECK(next(poller, quiet) == nothing);
  signal.set();
  CHECK(next(poller) == Reports{{7, readable}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: what is signalled already is reported by the next wait") {
  const Signal signal;
  signal.set();
  Poller poller = make_poller();
  const Registration registration = must(poller.add_handle(signal.native(), Token{7}));
  CHECK(next(poller) == Reports{{7, readable}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: a signal of another thread ends a wait that is under way") {
  const Signal signal;
  Poller poller = make_poller();
  const Registration registration = must(poller.add_handle(signal.native(), Token{7}));
  std::thread other([&] { signal.set(); });
  CHECK(next(poller) == Reports{{7, readable}});
  other.join();
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: beside sockets, with a buffer of one event") {
  const Pair pair = make_pair();
  const Signal first, second;
  Poller poller = make_poller();
  const Registration of_socket = must(poller.add(pair.server.native(), Token{1}, asks_read, Mode::oneshot));
  const Registration of_first = must(poller.add_handle(first.native(), Token{2}));
  const Registration of_second = must(poller.add_handle(second.native(), Token{3}));
  first.set();
  second.set();
  send_byte(pair.client);
  std::uint64_t tokens = 0;
  for (int i = 0; i < 3; i++) {
    std::array<Event, 1> buffer;
    const auto events = must(poller.wait(buffer, time_limit));
    REQUIRE(events.size() == 1);
    tokens += std::uint64_t{1} << 8 * static_cast<std::uint64_t>(events[0].token());
  }
  CHECK(tokens == 0x01010100);
  CHECK(next(poller, quiet) == nothing);
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: nothing is reported after a removal") {
  const Signal signal;
  signal.set();
  Poller poller = make_poller();
  Registration removed = must(poller.add_handle(signal.native(), Token{7}));
  must(removed.remove());
  CHECK(next(poller, quiet) == nothing);
  Registration withdrawn = must(poller.add_handle(signal.native(), Token{8}));
  CHECK(withdrawn.withdraw().has_value());
  CHECK(next(poller, quiet) == nothing);
  CHECK(reason(withdrawn.rearm()) == std::errc::bad_file_descriptor);
  const Registration last = must(poller.add_handle(signal.native(), Token{9}));
  CHECK(next(poller) == Reports{{9, readable}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: its interest cannot be changed, and a socket is armed again by rearm too") {
  const Pair pair = make_pair();
  const Signal signal;
  Poller poller = make_poller();
  Registration of_handle = must(poller.add_handle(signal.native(), Token{7}));
  CHECK(reason(of_handle.modify(asks_read)) == std::errc::invalid_argument);
  CHECK(of_handle.drained(asks_read).has_value());
  Registration of_socket = must(poller.add(pair.server.native(), Token{1}, asks_write, Mode::oneshot));
  CHECK(next(poller) == Reports{{1, writable}});
  CHECK(next(poller, quiet) == nothing);
  must(of_socket.rearm());
  CHECK(next(poller) == Reports{{1, writable}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: one that is closed is refused, and one that is closed later does no harm") {
  Signal closed, signal;
  Poller poller = make_poller();
  closed.close();
  CHECK(reason(poller.add_handle(closed.native(), Token{6})) == std::errc::bad_file_descriptor);
  Registration registration = must(poller.add_handle(signal.native(), Token{7}));
  signal.close();
  CHECK(next(poller, quiet) == nothing);
  CHECK(registration.remove().has_value());
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: the Poller may end while one is armed, and one has fired") {
  const Signal armed, fired;
  fired.set();
  Poller poller = make_poller();
  const Registration of_armed = must(poller.add_handle(armed.native(), Token{1}));
  const Registration of_fired = must(poller.add_handle(fired.native(), Token{2}));
}
