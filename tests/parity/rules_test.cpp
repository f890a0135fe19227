// SPDX-License-Identifier: MIT
// The rules of docs/architecture.md that can be seen through the public interface, by their names.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

using namespace parity;

namespace {

/// Closes it, and opens a socket with the same number: systems use the number that was closed last.
UdpSocket reuse_number(TcpStream& old) {
  const NativeSocket number = old.native();
  std::vector<UdpSocket> others;
  old.close();
  for (int attempt = 0; attempt < 1000; ++attempt) {
    UdpSocket fresh = must(UdpSocket::bind(Address::loopback_ipv4()));
    if (fresh.native() == number) return fresh;
    others.push_back(std::move(fresh));
  }
  FAIL("the system does not use the number again");
  return {};
}

void send_byte_to(const UdpSocket& socket) {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  constexpr std::byte byte{'x'};
  REQUIRE(must(from.send_to({&byte, 1}, must(socket.local_address()))) == 1);
}

}  // namespace

TEST_CASE_FIXTURE(
    NothingIsLeft,
    "kernel owns its memory: a poller is destroyed while polls are pending, and its registrations are used after it") {
  constexpr std::size_t count = 300;  // more than a block of the arena and a helper handle have
  Loopback loopback;
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  std::optional<Poller> poller = make_poller();
  const Waker waker = poller->waker();
  for (std::uint64_t i = 0; i < count; ++i) {
    pairs.push_back(loopback.connect());
    const Mode mode = i % 3 == 0 ? Mode::level : i % 3 == 1 ? Mode::oneshot : Mode::edge;
    registrations.push_back(must(poller->add(pairs.back().server.native(), Token{i}, asks_read, mode)));
  }
  CHECK(next(*poller, nanoseconds::zero()) == nothing);  // now all of them are polled
  // Some have an event on its way, some were removed or modified, some closed.
  for (std::size_t i = 0; i < count; i += 7) send_byte(pairs[i].client);
  for (std::size_t i = 1; i < count; i += 7) must(registrations[i].remove());
  for (std::size_t i = 2; i < count; i += 7) must(registrations[i].modify(asks_both));
  for (std::size_t i = 3; i < count; i += 7) pairs[i].server.close();
  waker.wake();
  poller.reset();
  waker.wake();
  for (Registration& registration : registrations) {
    CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
    CHECK(reason(registration.drained(asks_read)) == std::errc::bad_file_descriptor);
    CHECK(reason(registration.remove()) == std::errc::bad_file_descriptor);
  }
  for (const Pair& pair : pairs) {
    if (pair.server.is_open()) send_byte(pair.client);  // not reported to anyone
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "nothing after remove: no later wait reports the registration") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  for (std::uint64_t i = 0; i < 200; ++i) {
    Registration registration = must(poller.add(pair.server.native(), Token{i}, asks_read));
    if (i % 2 == 0) CHECK(next(poller, nanoseconds::zero()) == nothing);
    send_byte(pair.client);  // with its event on the way, or reported already
    if (i % 3 == 0) CHECK(next(poller) == Reports{{i, readable}});
    must(registration.remove());
    REQUIRE(next(poller, milliseconds(1)) == nothing);
    CHECK(receive_all(pair.server) == 1);
  }
  CHECK(poller.stats().registrations == 0);
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "nothing after remove: a duplicated socket that was closed once is not reported and costs no calls") {
  Pair pair = make_pair();
  const TcpStream other = duplicate(pair.server);
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_both));
  CHECK(next(poller) == Reports{{1, writable}});
  pair.server.close();
  must(registration.remove());
  send_byte(pair.client);
  CHECK(next(poller, quiet) == nothing);
  const auto before = poller.stats().wait_calls;
  CHECK(next(poller, quiet) == nothing);
  CHECK(poller.stats().wait_calls - before <= 2);
}

TEST_CASE_FIXTURE(NothingIsLeft, "a number is not an identity: closing a socket without removing it is safe") {
  Loopback loopback;
  Poller poller = make_poller();
  for (std::uint64_t i = 0; i < 60; ++i) {
    Pair pair = loopback.connect();
    const Mode mode = i % 3 == 0 ? Mode::level : i % 3 == 1 ? Mode::oneshot : Mode::edge;
    Registration registration = must(poller.add(pair.server.native(), Token{i}, asks_read, mode));
    const bool is_armed = i % 2 == 0;
    const bool has_fired = i % 4 < 2;
    if (is_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
    if (has_fired) {
      send_byte(pair.client);
      CHECK(next(poller) == Reports{{i, readable}});
    }
    pair.server.close();
    CHECK(next(poller, milliseconds(1)) == nothing);
    CHECK(registration.remove().has_value());
  }
  CHECK(poller.stats().registrations == 0);
  CHECK(poller.stats().pending_polls == 0);
}

TEST_CASE_FIXTURE(NothingIsLeft, "a number is not an identity: reuse while the old registration exists") {
  for (const bool was_armed : {false, true}) {
    for (const bool has_fired : {false, true}) {
      CAPTURE(was_armed);
      CAPTURE(has_fired);
      Poller poller = make_poller();
      Pair old = make_pair();
      Registration old_one = must(poller.add(old.server.native(), Token{7}, asks_read));
      if (was_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
      if (has_fired) {
        send_byte(old.client);
        CHECK(next(poller) == Reports{{7, readable}});
      }
      const UdpSocket fresh = reuse_number(old.server);
      const auto added = poller.add(fresh.native(), Token{1}, asks_read);
      REQUIRE(added.has_value());
      CHECK(next(poller, quiet) == nothing);
      send_byte_to(fresh);
      CHECK(next(poller) == Reports{{1, readable}});
      // To use the old registration must not affect the new one.
      CHECK(reason(old_one.modify(asks_both)) == std::errc::bad_file_descriptor);
      CHECK(reason(old_one.drained(asks_read)) == std::errc::bad_file_descriptor);
      CHECK(old_one.remove().has_value());
      CHECK(next(poller) == Reports{{1, readable}});
      CHECK(poller.stats().registrations == 1);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "a number is not an identity: reuse after the old registration was removed") {
  Poller poller = make_poller();
  Pair old = make_pair();
  Registration old_one = must(poller.add(old.server.native(), Token{7}, asks_both));
  CHECK(next(poller) == Reports{{7, writable}});
  const UdpSocket fresh = reuse_number(old.server);
  must(old_one.remove());
  const Registration registration = must(poller.add(fresh.native(), Token{1}, asks_read));
  CHECK(next(poller, quiet) == nothing);
  send_byte_to(fresh);
  CHECK(next(poller) == Reports{{1, readable}});
}

TEST_CASE_FIXTURE(
    NothingIsLeft,
    "a number is not an identity: adding again is refused on Linux, and replaces the registration on Windows") {
  for (const Mode mode : {Mode::level, Mode::oneshot, Mode::edge}) {
    CAPTURE(static_cast<int>(mode));
    const Pair pair = make_pair();
    Poller poller = make_poller();
    Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read, mode));
    for (const bool was_armed : {false, true}) {
      CAPTURE(was_armed);
      if (was_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
      auto again = poller.add(pair.server.native(), Token{2}, asks_read, mode);
      CHECK(again.has_value() == is_windows());
      if (!again) {
        CHECK(reason(again) == std::errc::file_exists);
        continue;
      }
      // On Windows it cannot be determined whether the number still means the same socket.
      CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
      registration = std::move(*again);
    }
    send_byte(pair.client);
    CHECK(next(poller) == Reports{{is_windows() ? 2U : 1U, readable}});
    CHECK(poller.stats().registrations == 1);
    // After remove, it can be added again.
    must(registration.remove());
    registration = must(poller.add(pair.server.native(), Token{4}, asks_read));
    CHECK(next(poller) == Reports{{4, readable}});
  }
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "a number is not an identity: a new socket is added although the old one is open in a duplicate") {
  for (const bool was_armed : {false, true}) {
    CAPTURE(was_armed);
    Poller poller = make_poller();
    Pair old = make_pair();
    Registration old_one = must(poller.add(old.server.native(), Token{7}, asks_read));
    if (was_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
    const TcpStream other = duplicate(old.server);
    const UdpSocket fresh = reuse_number(old.server);
    Registration added = must(poller.add(fresh.native(), Token{1}, asks_read));
    send_byte_to(fresh);
    CHECK(next(poller) == Reports{{1, readable}});
    send_byte(old.client);  // to the old socket, which is not registered any more
    CHECK(next(poller) == Reports{{1, readable}});
    must(added.remove());
    CHECK(next(poller, quiet) == nothing);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "no spin: an idle poller makes no calls, whatever was reported before") {
  Loopback loopback;
  Poller poller = make_poller();
  const TcpListener listener = must(TcpListener::bind(Address::loopback_ipv4()));
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  const auto add = [&](Interest interest, Mode mode) -> Pair& {
    pairs.push_back(loopback.connect());
    const Token token{pairs.size()};
    registrations.push_back(must(poller.add(pairs.back().server.native(), token, interest, mode)));
    return pairs.back();
  };
  pairs.reserve(16);
  const auto reports_nothing_more = [&] {
    for (int i = 0; i < 10 && !next(poller, quiet).empty(); ++i) continue;
    const auto before = poller.stats();
    CHECK(next(poller, milliseconds(200)) == nothing);
    const auto after = poller.stats();
    CHECK(after.wait_calls - before.wait_calls <= 2);
    CHECK(after.kernel_calls() - before.kernel_calls() <= 2);
  };

  send_byte(add(asks_read, Mode::level).client);  // data that was read
  CHECK(next(poller) == Reports{{1, readable}});
  CHECK(receive_all(pairs.back().server) == 1);
  reports_nothing_more();
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {  // data that was not
    send_byte(add(asks_read, mode).client);
    CHECK(next(poller) == Reports{{pairs.size(), readable}});
    reports_nothing_more();
  }
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {  // FIN and RST, reported once
    must(add(asks_read, mode).client.shutdown(Shutdown::write));
    CHECK(next(poller) == Reports{{pairs.size(), readable | read_closed}});
    reset(add(asks_nothing, mode).client);
    CHECK(next(poller) == Reports{{pairs.size(), readable | writable | hung_up | failed}});
    reports_nothing_more();
  }
  for (const Interest interest : {asks_nothing, Interest::priority}) {  // FIN and data that are not wanted
    send_byte(add(interest, Mode::level).client);
    must(pairs.back().client.shutdown(Shutdown::write));
    reports_nothing_more();
  }
  fill(add(asks_write, Mode::level).server);  // a full send buffer, and a FIN that is not wanted
  must(pairs.back().client.shutdown(Shutdown::write));
  reports_nothing_more();
  add(asks_read, Mode::level).server.close();
  reports_nothing_more();
  const Registration listening = must(poller.add(listener.native(), Token{99}, asks_read));
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  CHECK(next(poller) == Reports{{99, readable}});
  const TcpStream server = must(listener.accept());
  reports_nothing_more();
  poller.waker().wake();
  reports_nothing_more();
  registrations.clear();
  reports_nothing_more();
}

TEST_CASE_FIXTURE(NothingIsLeft, "no spin: Interest::none reports a reset once, then nothing until modify") {
  Pair pair = make_pair();
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_nothing));
  CHECK(next(poller, nanoseconds::zero()) == nothing);
  reset(pair.client);
  constexpr Readiness end = readable | writable | hung_up | failed;
  for (int i = 0; i < 3; ++i) {
    CHECK(next(poller) == Reports{{1, end}});
    const auto before = poller.stats();
    CHECK(next(poller, quiet) == nothing);
    CHECK(poller.stats().kernel_calls() - before.kernel_calls() <= 2);
    must(registration.modify(asks_nothing));
  }
  must(registration.modify(asks_read));
  for (int i = 0; i < 3; ++i) CHECK(next(poller) == Reports{{1, end | read_closed}});
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "one bad socket never fails wait: sockets that are closed, reset or refused between good ones") {
  Loopback loopback;
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  Poller poller = make_poller();
  Reports wanted;
  for (std::size_t i = 0; i < 40; ++i) {
    pairs.push_back(loopback.connect());
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read)));
  }
  for (std::size_t i = 0; i < 40; ++i) {
    if (i == 20) CHECK_FALSE(next(poller).empty());  // half are closed before they are polled, half after
    // One event each: what a poll has reported is delivered, also when more came or the socket was closed since.
    if (i % 4 == 1) {
      pairs[i].server.close();
      continue;
    }
    i % 4 == 2 ? reset(pairs[i].client) : send_byte(pairs[i].client);
    wanted.push_back({i, i % 4 == 2 ? readable | writable | read_closed | hung_up | failed : readable});
  }
  CHECK(settled(poller, wanted) == wanted);
  CHECK(settled(poller, wanted) == wanted);
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "unasked cancellation means arm again: a refused change leaves the registration consistent") {
  Pair pair = make_pair();
  const Pair good = make_pair();
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  const Registration other = must(poller.add(good.server.native(), Token{2}, asks_read));
  CHECK(next(poller, nanoseconds::zero()) == nothing);
  pair.server.close();
  // epoll reports it at once, AFD when the registration is armed.
  const auto changed = registration.modify(asks_both);
  if (!changed) CHECK(reason(changed) == std::errc::bad_file_descriptor);
  send_byte(good.client);
  CHECK(next(poller) == Reports{{2, readable}});
  CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(registration.remove().has_value());
  CHECK(poller.stats().registrations == 1);
  CHECK(next(poller) == Reports{{2, readable}});
}

TEST_CASE_FIXTURE(
    NothingIsLeft,
    "unasked cancellation means arm again: registrations work after the thread that added them has ended") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  std::optional<Registration> registration;
  Reports reports{{0, none}};
  std::thread([&] {
    std::array<Event, 4> buffer;
    registration = *poller.add(pair.server.native(), Token{1}, asks_read);
    reports = reports_of(*poller.wait(buffer, nanoseconds::zero()));  // polled by this thread
  }).join();
  CHECK(reports == nothing);
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  CHECK(next(poller) == Reports{{1, readable}});
}
