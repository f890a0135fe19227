// SPDX-License-Identifier: MIT
// The rules of "What must never break" that can be seen from outside, each by its number.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

using namespace parity;

namespace {

/// Closes it, and makes a socket that has the same number: systems give one that was closed to who asks next.
UdpSocket reuse_number(TcpStream& old) {
  const NativeSocket number = old.native();
  std::vector<UdpSocket> others;
  old.close();
  for (int attempt = 0; attempt < 1000; ++attempt) {
    UdpSocket fresh = must(UdpSocket::bind(Address::loopback_ipv4()));
    if (fresh.native() == number) return fresh;
    others.push_back(std::move(fresh));
  }
  FAIL("the system does not give the number again");
  return {};
}

void send_byte_to(const UdpSocket& socket) {
  const UdpSocket from = must(UdpSocket::bind(Address::loopback_ipv4()));
  constexpr std::byte byte{'x'};
  REQUIRE(must(from.send_to({&byte, 1}, must(socket.local_address()))) == 1);
}

const Tellings is_readable{{1, readable}};

}  // namespace

TEST_CASE_FIXTURE(NothingIsLeft,
                  "rule 2: a poller destroyed with everything pending, then all that is left of it used") {
  constexpr std::size_t count = 300;  // more than a block of the arena, more than a helper handle
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
  CHECK(next(*poller, nanoseconds::zero()) == nothing);  // now all of them are asked for
  // Some have an answer on its way, some were removed or changed, some closed.
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
    if (pair.server.is_open()) send_byte(pair.client);  // nobody is told
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 4: after remove returns, no later wait tells of the registration") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  for (std::uint64_t i = 0; i < 200; ++i) {
    Registration registration = must(poller.add(pair.server.native(), Token{i}, asks_read));
    if (i % 2 == 0) CHECK(next(poller, nanoseconds::zero()) == nothing);
    send_byte(pair.client);  // with its event on the way, or told already
    if (i % 3 == 0) CHECK(next(poller) == Tellings{{i, readable}});
    must(registration.remove());
    REQUIRE(next(poller, milliseconds(1)) == nothing);
    CHECK(receive_all(pair.server) == 1);
  }
  CHECK(poller.stats().registrations == 0);
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 4: a duplicated socket closed once is silent after remove, and costs nothing") {
  Pair pair = make_pair();
  const TcpStream other = duplicate(pair.server);
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_both));
  CHECK(next(poller) == Tellings{{1, writable}});
  pair.server.close();
  must(registration.remove());
  send_byte(pair.client);
  CHECK(next(poller, quiet) == nothing);
  const auto before = poller.stats().wait_calls;
  CHECK(next(poller, quiet) == nothing);
  CHECK(poller.stats().wait_calls - before <= 2);
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 5: closing a socket without removing it is safe") {
  Loopback loopback;
  Poller poller = make_poller();
  for (std::uint64_t i = 0; i < 60; ++i) {
    Pair pair = loopback.connect();
    const Mode mode = i % 3 == 0 ? Mode::level : i % 3 == 1 ? Mode::oneshot : Mode::edge;
    Registration registration = must(poller.add(pair.server.native(), Token{i}, asks_read, mode));
    const bool is_armed = i % 2 == 0;
    const bool has_told = i % 4 < 2;
    if (is_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
    if (has_told) {
      send_byte(pair.client);
      CHECK(next(poller) == Tellings{{i, readable}});
    }
    pair.server.close();
    CHECK(next(poller, milliseconds(1)) == nothing);
    CHECK(registration.remove().has_value());
  }
  CHECK(poller.stats().registrations == 0);
  CHECK(poller.stats().pending_polls == 0);
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 5: a number used again while the old registration lives") {
  for (const bool was_armed : {false, true}) {
    for (const bool has_told : {false, true}) {
      CAPTURE(was_armed);
      CAPTURE(has_told);
      Poller poller = make_poller();
      Pair old = make_pair();
      Registration old_one = must(poller.add(old.server.native(), Token{7}, asks_read));
      if (was_armed) CHECK(next(poller, nanoseconds::zero()) == nothing);
      if (has_told) {
        send_byte(old.client);
        CHECK(next(poller) == Tellings{{7, readable}});
      }
      const UdpSocket fresh = reuse_number(old.server);
      const auto added = poller.add(fresh.native(), Token{1}, asks_read);
      REQUIRE(added.has_value());
      CHECK(next(poller, quiet) == nothing);
      send_byte_to(fresh);
      CHECK(next(poller) == is_readable);
      // What is left of the old one must not harm the new one.
      CHECK(reason(old_one.modify(asks_both)) == std::errc::bad_file_descriptor);
      CHECK(reason(old_one.drained(asks_read)) == std::errc::bad_file_descriptor);
      CHECK(old_one.remove().has_value());
      CHECK(next(poller) == is_readable);
      CHECK(poller.stats().registrations == 1);
    }
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 5: a number used again, the old registration removed first") {
  Poller poller = make_poller();
  Pair old = make_pair();
  Registration old_one = must(poller.add(old.server.native(), Token{7}, asks_both));
  CHECK(next(poller) == Tellings{{7, writable}});
  const UdpSocket fresh = reuse_number(old.server);
  must(old_one.remove());
  const Registration registration = must(poller.add(fresh.native(), Token{1}, asks_read));
  CHECK(next(poller, quiet) == nothing);
  send_byte_to(fresh);
  CHECK(next(poller) == is_readable);
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "rule 5: adding a registered socket again: refused on Linux, a new registration on Windows") {
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
      // Nothing on Windows says whether the number still means the socket that it meant.
      CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
      registration = std::move(*again);
    }
    send_byte(pair.client);
    CHECK(next(poller) == Tellings{{is_windows() ? 2U : 1U, readable}});
    CHECK(poller.stats().registrations == 1);
    // Removed, it can be added again.
    must(registration.remove());
    registration = must(poller.add(pair.server.native(), Token{4}, asks_read));
    CHECK(next(poller) == Tellings{{4, readable}});
  }
}

TEST_CASE_FIXTURE(NothingIsLeft,
                  "rule 5: the old socket lives on in a duplicate: the new one with its number is added") {
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
    CHECK(next(poller) == is_readable);
    send_byte(old.client);  // to the old socket: no registration is its any more
    CHECK(next(poller) == is_readable);
    must(added.remove());
    CHECK(next(poller, quiet) == nothing);
  }
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 7: an idle poller makes no calls, whatever was reported before") {
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
  const auto tells_no_more = [&] {
    for (int i = 0; i < 10 && !next(poller, quiet).empty(); ++i) continue;
    const auto before = poller.stats();
    CHECK(next(poller, milliseconds(200)) == nothing);
    const auto after = poller.stats();
    CHECK(after.wait_calls - before.wait_calls <= 2);
    CHECK(after.kernel_calls() - before.kernel_calls() <= 2);
  };

  send_byte(add(asks_read, Mode::level).client);  // data that was read
  CHECK(next(poller) == Tellings{{1, readable}});
  CHECK(receive_all(pairs.back().server) == 1);
  tells_no_more();
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {  // data that was not
    send_byte(add(asks_read, mode).client);
    CHECK(next(poller) == Tellings{{pairs.size(), readable}});
    tells_no_more();
  }
  for (const Mode mode : {Mode::oneshot, Mode::edge}) {  // FIN and RST, told once
    must(add(asks_read, mode).client.shutdown(Shutdown::write));
    CHECK(next(poller) == Tellings{{pairs.size(), readable | read_closed}});
    reset(add(asks_nothing, mode).client);
    CHECK(next(poller) == Tellings{{pairs.size(), readable | writable | hung_up | failed}});
    tells_no_more();
  }
  for (const Interest deaf : {asks_nothing, Interest::priority}) {  // FIN and data that nobody asked for
    send_byte(add(deaf, Mode::level).client);
    must(pairs.back().client.shutdown(Shutdown::write));
    tells_no_more();
  }
  fill(add(asks_write, Mode::level).server);  // room that is gone, and a FIN that is not asked for
  must(pairs.back().client.shutdown(Shutdown::write));
  tells_no_more();
  add(asks_read, Mode::level).server.close();
  tells_no_more();
  const Registration listening = must(poller.add(listener.native(), Token{99}, asks_read));
  const TcpStream client = must(TcpStream::connect(must(listener.local_address())));
  CHECK(next(poller) == Tellings{{99, readable}});
  const TcpStream server = must(listener.accept());
  tells_no_more();
  poller.waker().wake();
  tells_no_more();
  registrations.clear();
  tells_no_more();
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 7: Interest::none reports a reset once, then nothing until modify") {
  Pair pair = make_pair();
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_nothing));
  CHECK(next(poller, nanoseconds::zero()) == nothing);
  reset(pair.client);
  constexpr Readiness end = readable | writable | hung_up | failed;
  for (int i = 0; i < 3; ++i) {
    CHECK(next(poller) == Tellings{{1, end}});
    const auto before = poller.stats();
    CHECK(next(poller, quiet) == nothing);
    CHECK(poller.stats().kernel_calls() - before.kernel_calls() <= 2);
    must(registration.modify(asks_nothing));
  }
  must(registration.modify(asks_read));
  for (int i = 0; i < 3; ++i) CHECK(next(poller) == Tellings{{1, end | read_closed}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 8: one bad socket never fails wait") {
  Loopback loopback;
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  Poller poller = make_poller();
  Tellings wanted;
  for (std::uint64_t i = 0; i < 40; ++i) {
    pairs.push_back(loopback.connect());
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read)));
  }
  for (std::uint64_t i = 0; i < 40; ++i) {
    if (i == 20) CHECK_FALSE(next(poller).empty());  // half were closed before they were asked for, half will be after
    // One thing each: what a poll that is out has answered is told, also when more came or the socket was closed since.
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

TEST_CASE_FIXTURE(NothingIsLeft, "rule 9: a refused change leaves the registration consistent") {
  Pair pair = make_pair();
  const Pair good = make_pair();
  Poller poller = make_poller();
  Registration registration = must(poller.add(pair.server.native(), Token{1}, asks_read));
  const Registration other = must(poller.add(good.server.native(), Token{2}, asks_read));
  CHECK(next(poller, nanoseconds::zero()) == nothing);
  pair.server.close();
  // epoll says so at once; AFD when it comes to arm it.
  const auto changed = registration.modify(asks_both);
  if (!changed) CHECK(reason(changed) == std::errc::bad_file_descriptor);
  send_byte(good.client);
  CHECK(next(poller) == Tellings{{2, readable}});
  CHECK(reason(registration.modify(asks_read)) == std::errc::bad_file_descriptor);
  CHECK(registration.remove().has_value());
  CHECK(poller.stats().registrations == 1);
  CHECK(next(poller) == Tellings{{2, readable}});
}

TEST_CASE_FIXTURE(NothingIsLeft, "rule 9: the thread that registered exits, and its registrations go on") {
  const Pair pair = make_pair();
  Poller poller = make_poller();
  std::optional<Registration> registration;
  Tellings told{{0, none}};
  std::thread([&] {
    std::array<Event, 4> room;
    registration = *poller.add(pair.server.native(), Token{1}, asks_read);
    told = tellings(*poller.wait(room, nanoseconds::zero()));  // asked for by this thread
  }).join();
  CHECK(told == nothing);
  CHECK(next(poller, quiet) == nothing);
  send_byte(pair.client);
  CHECK(next(poller) == is_readable);
}
