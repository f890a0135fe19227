// SPDX-License-Identifier: MIT
#include "../allocation_count.hpp"
#include "support.hpp"

#include <array>

using namespace parity;

TEST_CASE_FIXTURE(NothingIsLeft, "steady state allocates nothing: events, modify, remove and add") {
  constexpr std::size_t sockets = 100;
  Loopback loopback;
  Poller poller = make_poller();
  const Waker waker = poller.waker();
  std::vector<Pair> pairs;
  std::vector<Registration> registrations;
  for (std::uint64_t i = 0; i < sockets; ++i) {
    pairs.push_back(loopback.connect());
    registrations.push_back(must(poller.add(pairs.back().server.native(), Token{i}, asks_read)));
  }
  std::array<Event, 64> buffer;
  bool is_right = true;
  const auto work = [&] {
    for (std::size_t i = 0; i < sockets; i += 3) {
      const std::byte byte{};
      is_right = is_right && pairs[i].client.send({&byte, 1});
      is_right = is_right && registrations[i].modify(asks_read, static_cast<Mode>(i % 2));
    }
    waker.wake();
    for (std::size_t received = 0; is_right && received < (sockets + 2) / 3;) {
      const auto events = poller.wait(buffer, time_limit);
      is_right = is_right && events.has_value();
      for (const Event& event : is_right ? *events : std::span<const Event>()) {
        const auto index = static_cast<std::size_t>(event.token());
        received += receive_all(pairs[index].server);
        if (index % 2 == 0) is_right = is_right && registrations[index].modify(asks_both);
        is_right = is_right && registrations[index].modify(asks_read);
      }
    }
    // A socket that is added uses the place of the one that was removed before.
    is_right = is_right && registrations[1].remove();
    auto again = poller.add(pairs[1].server.native(), Token{1}, asks_read);
    is_right = is_right && again;
    if (again) registrations[1] = *std::move(again);
    is_right = is_right && poller.wait(buffer, nanoseconds::zero());
  };
  for (int i = 0; i < 20; ++i) work();
  const auto held = poller.stats();
  const auto before = allocations();
  for (int i = 0; i < 50; ++i) work();
  const auto after = allocations();
  CHECK(is_right);
  CHECK(after - before == 0);
  CHECK(poller.stats().memory_bytes == held.memory_bytes);
  CHECK(poller.stats().arena_blocks == held.arena_blocks);
}
