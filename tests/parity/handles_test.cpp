// SPDX-License-Identifier: MIT
//
// Poller::add_handle: what can be waited for and is no socket.
#include <array>
#include <thread>

#include "support.hpp"

using namespace parity;

#ifdef _WIN32
namespace {

/// The one event of a wait, which must be a completion with that token.
Event completion_of(Poller& poller, std::uint64_t token) {
  std::array<Event, 8> buffer;
  const auto events = must(poller.wait(buffer, time_limit));
  REQUIRE(events.size() == 1);
  CHECK(events[0].token() == Token{token});
  CHECK(events[0].readiness() == none);
  REQUIRE(events[0].completion().has_value());
  return events[0];
}

}  // namespace
#endif

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

TEST_CASE_FIXTURE(NothingIsLeft, "handles: what ends on a handle of the program's own, on Windows") {
  Poller poller = make_poller();
#ifdef _WIN32
  OverlappedPipe pipe;
  must(poller.associate(pipe.native(), Token{7}));
  CHECK(reason(poller.associate(pipe.native(), Token{8})) == std::errc::invalid_argument);  // has a port
  const auto comes = [&](std::size_t bytes) {
    const Event event = completion_of(poller, 7);
    CHECK(event.completion()->overlapped == pipe.overlapped());
    CHECK(event.completion()->bytes == bytes);
    return event.error();
  };
  REQUIRE(pipe.begin_read());
  CHECK(next(poller, quiet) == nothing);
  pipe.write("hello");
  CHECK(comes(5) == std::error_code());
  CHECK(pipe.text(5) == "hello");
  pipe.write("at once");
  REQUIRE(pipe.begin_read());
  CHECK(comes(7) == std::error_code());
  REQUIRE(pipe.begin_read());
  pipe.cancel();
  CHECK(comes(0) == std::errc::operation_canceled);
  pipe.skip_packets_on_success();
  pipe.write("and then");
  REQUIRE(pipe.begin_read());
  CHECK(next(poller, quiet) == nothing);
  CHECK(pipe.text(8) == "and then");
  REQUIRE(pipe.begin_read());
  pipe.close_other();
  CHECK(comes(0) == std::errc::broken_pipe);
  CHECK(next(poller, quiet) == nothing);
  const Signal event;
  Signal closed;
  closed.close();
  CHECK(reason(poller.associate(event.native(), Token{1})) == std::errc::bad_file_descriptor);
  CHECK(reason(poller.associate(closed.native(), Token{1})) == std::errc::bad_file_descriptor);
  CHECK(reason(poller.associate(pipe.native(), Token{~std::uint64_t{0}})) == std::errc::invalid_argument);
#else
  const Signal signal;
  CHECK(reason(poller.associate(signal.native(), Token{7})) == std::errc::function_not_supported);
  CHECK_FALSE(Event(Token{7}, readable).completion().has_value());
#endif
}

TEST_CASE_FIXTURE(NothingIsLeft, "handles: a socket with operations of its own is registered beside them, on Windows") {
#ifdef _WIN32
  const Pair pair = make_pair();
  Poller poller = make_poller();
  must(poller.associate(reinterpret_cast<reactor::NativeHandle>(pair.server.native()), Token{7}));
  begin_receive(pair.server);
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_both));
  CHECK(next(poller) == Reports{{1, writable}});
  must(registration.modify(asks_read));
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  CHECK(completion_of(poller, 7).completion()->bytes == 1);
  CHECK(next(poller, quiet) == nothing);  // the receive has taken the byte
  send_byte(pair.client);
  CHECK(next(poller) == Reports{{1, readable}});
#endif
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "handles: packets that the program posts, on Windows, beside sockets in a small buffer") {
  Poller poller = make_poller();
#ifdef _WIN32
  const Pair pair = make_pair();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read, Mode::oneshot));
  CHECK(next(poller, nanoseconds(0)) == nothing);
  int anything = 0;
  post(poller, 99, 5, &anything);  // none of its keys
  const std::uintptr_t key = must(poller.completion_key(Token{20}));
  for (unsigned i = 0; i < 20; i++) post(poller, key + i, i, i == 0 ? nullptr : &anything);
  send_byte(pair.client);
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < 21; i++) {
    std::array<Event, 1> buffer;
    const auto events = must(poller.wait(buffer, time_limit));
    REQUIRE(events.size() == 1);
    const auto token = static_cast<std::uint64_t>(events[0].token());
    CHECK(events[0].completion().has_value() == (token != 1));
    if (token == 1) continue;
    tokens.push_back(token);
    CHECK(events[0].completion()->bytes == token - 20);
    CHECK(events[0].completion()->overlapped == (token == 20 ? nullptr : &anything));
    CHECK(events[0].error() == std::error_code());
  }
  REQUIRE(tokens.size() == 20);
  for (std::size_t i = 0; i < tokens.size(); i++) CHECK(tokens[i] == 20 + i);
  CHECK(next(poller, quiet) == nothing);
  CHECK(poller.stats().unknown_packets == 1);
#else
  CHECK(reason(poller.completion_key(Token{20})) == std::errc::function_not_supported);
#endif
}
