// SPDX-License-Identifier: MIT
//
// What reading the backend has found, each as small as it gets.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <vector>

#include <reactor/afd/group.hpp>
#include <reactor/afd/group_policy.hpp>

#include "afd_fixture.hpp"

using namespace afd_fixture;

namespace {

NativeSocket nth(int i) { return NativeSocket{200} + 4 * i; }

struct Hot : Fixture {
  std::vector<std::optional<Registration>> members;

  explicit Hot(int count) {
    for (int i = 0; i < count; i++) members.emplace_back(add(nth(i)));
    fire(afd::GroupPolicy::hot_score + 1);
    CHECK(wait().empty());
    REQUIRE(kernel.pending.size() == 1);
    REQUIRE(kernel.pending[0].asked.size() == static_cast<std::size_t>(count));
  }

  // All of them, together, so many times.
  void fire(int times) {
    for (int i = 0; i < static_cast<int>(members.size()); i++) {
      kernel.ready[base(nth(i))] = AFD_POLL_RECEIVE;
      if (kernel.pending_on(base(nth(i))) != nullptr) kernel.complete(base(nth(i)), AFD_POLL_RECEIVE);
    }
    for (int i = 0; i < times; i++) {
      while (wait().size() < members.size()) {
      }
    }
    kernel.ready.clear();
  }
};

}  // namespace

// Those that are ready at once leave room for one packet in each wait; behind it the others must not wait for ever.
TEST_CASE("everyone gets a turn: many packets, and sockets that are ready at once and almost fill the room") {
  constexpr int always = 7, seldom = 100, room = 8;
  Fixture f(PollerOptions{.hot_groups = false});
  std::vector<Registration> registrations;
  for (int i = 0; i < seldom; i++) registrations.push_back(f.add(nth(i), Interest::readable, Mode::oneshot));
  CHECK(f.wait().empty());
  for (int i = 0; i < always; i++) {
    registrations.push_back(f.add(nth(seldom + i)));
    f.kernel.ready[base(nth(seldom + i))] = AFD_POLL_RECEIVE;
  }
  for (int i = 0; i < seldom; i++) f.kernel.complete(base(nth(i)), AFD_POLL_RECEIVE);
  f.poller->waker().wake();  // behind them all
  std::map<NativeSocket, int> told;
  int waits = 0;
  for (; f.poller->stats().wakes == 0 && waits < 2 * seldom; waits++) {
    for (const NativeSocket socket : f.readable(room)) told[socket]++;
  }
  CHECK(told.size() == seldom + always);
  CHECK(waits <= 2 * ((seldom + always) / room + 1));
  const auto turns = [&](int i) { return told[nth(seldom + i)]; };
  for (int i = 0; i < always; i++) CHECK(turns(i) >= waits / 2 - 1);
}

// At the front of the queue, where there may not be room for all, a cold one stands between two hot ones.
TEST_CASE("group: a hot socket that has to be armed alone does not keep those behind it from being armed together") {
  Hot f(7);
  REQUIRE(f.members[1]->modify(Interest::readable | Interest::writable));  // brings the group back, and is cold then
  for (int i = 0; i < 7; i++) f.kernel.ready[base(nth(i))] = AFD_POLL_RECEIVE;
  const std::uint64_t groups = f.poller->stats().group_arms;
  CHECK(f.readable(4) == Sockets{nth(0), nth(1), nth(2), nth(3)});
  CHECK(f.poller->stats().group_arms == groups + 1);
}

TEST_CASE("group: who takes the number of a removed member is no toggler") {
  Hot f(4);
  f.members[2].reset();
  f.members[2] = f.add(nth(2));
  CHECK(f.wait().empty());
  CHECK(f.kernel.cancels == 1);
  f.fire(afd::GroupPolicy::hot_score + 1);
  CHECK(f.wait().empty());
  REQUIRE(f.kernel.pending_on(base(nth(2))) != nullptr);
  CHECK(f.kernel.pending_on(base(nth(2)))->asked.size() == 4);
}

TEST_CASE("rule 3: a packet that claims to be a member's own poll does not disturb the end") {
  Hot f(4);
  auto* group = reinterpret_cast<afd::Group*>(f.kernel.pending[0].iosb);
  const afd::Slot& slot = *group->all[0].slot;
  auto* const member_context = reinterpret_cast<void*>((slot.asked_for << 32) + slot.index + 1);
  const HANDLE port = *f.kernel.open.begin();
  REQUIRE(f.kernel.post(port, nullptr, std::to_underlying(afd::PacketKey::poll), member_context) == 0);
  const auto before = f.kernel.clock;
  f.poller.reset();
  CHECK(f.kernel.clock == before);  // nothing was waited for in vain
  for (auto& member : f.members) member.reset();
}

TEST_CASE("whether answers come in the call is asked again when it could not be found out") {
  Fixture f;
  f.kernel.poll_refusals = {STATUS_INSUFFICIENT_RESOURCES};
  std::vector<Registration> registrations;
  constexpr auto first_of_the_next = static_cast<int>(afd::HelperHandles::sockets_per_handle);
  for (int i = 0; i <= first_of_the_next; i++) registrations.push_back(f.add(nth(i)));
  f.kernel.ready[base(nth(0))] = f.kernel.ready[base(nth(first_of_the_next))] = AFD_POLL_RECEIVE;
  CHECK(f.wait().size() == 2);
  CHECK(f.poller->stats().inline_completions == 1);
}

TEST_CASE("a poll that ends in the call with a warning is the kernel's until its packet") {
  Fixture f;
  auto registration = f.add(a);
  constexpr auto warning = static_cast<NTSTATUS>(0x80000005);
  f.kernel.poll_refusals = {warning};
  CHECK(f.wait().empty());
  CHECK(f.poller->stats().pending_polls == 1);
  // FakeKernel knows nothing of what it has refused: this is the packet that a kernel would queue.
  const auto key = FakeKernel::handle(std::to_underlying(afd::PacketKey::poll));
  f.kernel.packets.push_back({*f.kernel.open.begin(), {key, f.kernel.last_context, {{warning}, 0}}, std::nullopt, {}});
  const auto events = f.wait();
  REQUIRE(events.size() == 1);
  CHECK(events[0].failed());
  CHECK(f.poller->stats().pending_polls == 0);
  f.kernel.ready[base(a)] = AFD_POLL_RECEIVE;
  CHECK(f.readable() == Sockets{a});
}

// A number that was closed unseen may come back as what lies below a layered socket.
TEST_CASE("rule 1: a layered socket whose base is polled for a registration that is over waits for that poll") {
  for (const bool is_removed : {false, true}) {
    CAPTURE(is_removed);
    Hot f(4);
    if (is_removed) {
      f.members[2].reset();  // struck, and its group's poll stays out
    } else {
      f.kernel.complete(base(nth(2)), AFD_POLL_RECEIVE);
      CHECK(f.readable() == Sockets{nth(2)});  // told, and closed by its handler
    }
    f.kernel.bases[static_cast<std::uintptr_t>(a)] = base(nth(2));
    auto layered = f.add(a);
    CHECK(f.wait().empty());  // FakeKernel notes two polls on one socket
    REQUIRE(f.kernel.pending_on(base(nth(2))) != nullptr);
    f.kernel.complete(base(nth(2)), AFD_POLL_RECEIVE);
    f.kernel.ready[base(nth(2))] = 0;
    CHECK(f.readable() == Sockets{a});
  }
}
