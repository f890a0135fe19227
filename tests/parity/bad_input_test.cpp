// SPDX-License-Identifier: MIT
// Invalid calls are refused, each with its exact error, and do not affect other registrations.
#include "support.hpp"

#include <array>
#include <optional>

using namespace parity;

namespace {

/// The poller still works.
void still_works(Poller& poller) {
  const Pair pair = make_pair();
  const Registration registration = must(poller.add(pair.server.native(), Token{99}, asks_read));
  send_byte(pair.client);
  CHECK(next(poller) == Reports{{99, readable}});
}

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: an invalid socket is bad_file_descriptor") {
  Poller poller = make_poller();
  CHECK(reason(poller.add(reactor::invalid_socket, Token{1}, asks_read)) == std::errc::bad_file_descriptor);
  CHECK(reason(poller.add(Socket().native(), Token{1}, asks_read)) == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
  still_works(poller);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a number that never was a socket is bad_file_descriptor") {
  Poller poller = make_poller();
  CHECK(reason(poller.add(NativeSocket{1'000'000}, Token{1}, asks_read)) == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
  still_works(poller);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a closed socket is bad_file_descriptor") {
  Poller poller = make_poller();
  Pair pair = make_pair();
  const NativeSocket closed = pair.server.native();
  pair.server.close();
  CHECK(reason(poller.add(closed, Token{1}, asks_read)) == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 0);
  still_works(poller);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a handle that is no socket is not_a_socket") {
  Poller poller = make_poller();
  const RegularFile file;
  CHECK(reason(poller.add(file.native(), Token{1}, asks_read)) == std::errc::not_a_socket);
  CHECK(poller.stats().registrations == 0);
  still_works(poller);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: an empty buffer and a negative time-out are invalid_argument") {
  Poller poller = make_poller();
  std::array<Event, 4> buffer;
  CHECK(reason(poller.wait({})) == std::errc::invalid_argument);
  CHECK(reason(poller.wait({}, seconds(1))) == std::errc::invalid_argument);
  CHECK(reason(poller.wait(buffer, nanoseconds(-1))) == std::errc::invalid_argument);
  CHECK(reason(poller.wait(buffer, nanoseconds::min())) == std::errc::invalid_argument);
  CHECK(poller.stats().wait_calls == 0);
  still_works(poller);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: nanoseconds::max is a valid time-out") {
  Poller poller = make_poller();
  std::array<Event, 4> buffer;
  poller.waker().wake();
  CHECK(must(poller.wait(buffer, nanoseconds::max())).empty());
  const Pair pair = make_pair();
  const Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_write));
  CHECK(must(poller.wait(buffer, nanoseconds::max())).size() == 1);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a registration after remove is bad_file_descriptor") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  must(registration.remove());
  CHECK(reason(registration.remove()) == std::errc::bad_file_descriptor);
  CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(reason(registration.modify(asks_read, Mode::edge)) == std::errc::bad_file_descriptor);
  CHECK(reason(registration.drained(asks_read)) == std::errc::bad_file_descriptor);
  still_works(poller);
}

// Moved-from objects are used on purpose: they must return an error, and not crash.
// NOLINTBEGIN(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a registration that was moved from is bad_file_descriptor") {
  Poller poller = make_poller();
  const Pair pair = make_pair();
  Registration from = must(poller.add(pair.server.native(), Token{1}, asks_read));
  Registration to = std::move(from);
  CHECK(reason(from.modify(asks_both)) == std::errc::bad_file_descriptor);
  CHECK(reason(from.drained(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(reason(from.remove()) == std::errc::bad_file_descriptor);
  CHECK(poller.stats().registrations == 1);
  must(to.modify(asks_write));
  CHECK(next(poller) == Reports{{1, writable}});
  to = Registration();  // the assignment removes the old registration
  CHECK(poller.stats().registrations == 0);
  CHECK(next(poller, quiet) == nothing);
  CHECK(reason(to.remove()) == std::errc::bad_file_descriptor);
}

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a poller that was moved from is bad_file_descriptor") {
  Poller from = make_poller();
  const Pair pair = make_pair();
  Registration registration = must(from.add(pair.server.native(), Token{1}, asks_write));
  const Waker made_before = from.waker();
  Poller to = std::move(from);
  std::array<Event, 4> buffer;
  CHECK(reason(from.wait(buffer, nanoseconds::zero())) == std::errc::bad_file_descriptor);
  CHECK(reason(from.wait({}, nanoseconds::zero())) == std::errc::bad_file_descriptor);
  CHECK(reason(from.add(pair.client.native(), Token{2}, asks_write)) == std::errc::bad_file_descriptor);
  CHECK(from.stats().kernel_calls() == 0);
  from.waker().wake();
  // Registrations and wakers belong to the poller that it was moved to.
  CHECK(next(to) == Reports{{1, writable}});
  must(registration.modify(asks_read));
  made_before.wake();
  CHECK(next(to) == nothing);
  // The assignment destroys the old poller.
  to = make_poller();
  CHECK(reason(registration.modify(asks_write)) == std::errc::bad_file_descriptor);
  CHECK(next(to, quiet) == nothing);
  still_works(to);
}
// NOLINTEND(bugprone-use-after-move,clang-analyzer-cplusplus.Move)

TEST_CASE_FIXTURE(NothingIsLeft, "bad input: a default registration is bad_file_descriptor") {
  Registration registration;
  CHECK(reason(registration.modify(asks_both)) == std::errc::bad_file_descriptor);
  CHECK(reason(registration.drained(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(reason(registration.remove()) == std::errc::bad_file_descriptor);
}
