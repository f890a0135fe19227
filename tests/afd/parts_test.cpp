// SPDX-License-Identifier: MIT
#include <reactor/afd/arena.hpp>
#include <reactor/afd/batch_size.hpp>
#include <reactor/afd/directions.hpp>
#include <reactor/afd/handle_table.hpp>
#include <reactor/afd/registry.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/nt/functions.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "fake_kernel.hpp"

using namespace reactor;
using namespace reactor::afd;
using namespace reactor::nt;

TEST_CASE("Arena: slots do not move, and all empty blocks but one are released") {
  Arena arena;
  std::vector<Slot*> slots;
  for (std::uint32_t i = 0; i < 3 * Arena::slots_per_block; i++) {
    slots.push_back(&arena.allocate());
    CHECK(arena.at(slots.back()->index) == slots.back());
  }
  CHECK(arena.blocks() == 3);
  CHECK(std::set<Slot*>(slots.begin(), slots.end()).size() == slots.size());
  for (Slot* slot : slots) arena.free(*slot);
  CHECK(arena.blocks() == 1);
  CHECK(arena.used() == 0);
  for (std::uint32_t i = 0; i < slots.size(); i++) CHECK(arena.at(i) == nullptr);
  for (int i = 0; i < 100; i++) arena.free(arena.allocate());
  CHECK(arena.blocks() == 1);
}

TEST_CASE("Arena: slots are found by their index after blocks were released and allocated again") {
  Arena arena;
  std::vector<Slot*> slots;
  for (int round = 0; round < 5; round++) {
    for (std::uint32_t i = 0; i < 4 * Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
    CHECK(arena.blocks() == 4);
    for (Slot* slot : slots) CHECK(arena.at(slot->index) == slot);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(static_cast<unsigned>(round)));
    for (Slot* slot : slots) arena.free(*slot);
    slots.clear();
    CHECK(arena.blocks() == 1);
  }
}

TEST_CASE("Arena: for_each visits each slot in use, which may be freed in the call") {
  Arena arena;
  std::vector<Slot*> slots;
  for (std::uint32_t i = 0; i < 3 * Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
  for (std::size_t i = 0; i < slots.size(); i += 2) arena.free(*slots[i]);
  std::set<Slot*> visited;
  arena.for_each([&](Slot& slot) {
    visited.insert(&slot);
    arena.free(slot);
  });
  CHECK(visited.size() == slots.size() / 2);
  CHECK(visited.contains(slots[1]));
  CHECK(arena.used() == 0);
}

TEST_CASE("HandleTable: agrees with a map through random insertions and removals") {
  HandleTable table;
  std::map<SocketNumber, std::uint32_t> model;
  std::mt19937 random(42);
  for (std::uint32_t i = 0; i < 20'000; i++) {
    const SocketNumber socket = 4 * (random() % 16'384);  // several pages
    const HANDLE base = FakeKernel::handle(socket);
    if (const auto found = model.find(socket); found != model.end()) {
      REQUIRE(table.find(base) == found->second);
      table.erase(base);
      model.erase(found);
    } else {
      REQUIRE(table.find(base) == HandleTable::none);
      table.reserve(base);
      table.insert(base, i);
      model[socket] = i;
    }
  }
  for (const auto& [socket, index] : model) CHECK(table.find(FakeKernel::handle(socket)) == index);
  const std::size_t full = table.bytes();
  for (const auto& [socket, index] : model) table.erase(FakeKernel::handle(socket));
  CHECK(table.bytes() < full / 4);  // empty pages are released
}

TEST_CASE("HandleTable: has a largest handle, and ignores the low two bits of a handle") {
  HandleTable table;
  CHECK(HandleTable::can_hold(FakeKernel::handle(0x3FFFFFC)));  // the last of 2^24
  CHECK_FALSE(HandleTable::can_hold(FakeKernel::handle(std::uintptr_t{1} << 28)));
  CHECK(table.find(FakeKernel::handle(~std::uintptr_t{0})) == HandleTable::none);
  table.reserve(FakeKernel::handle(0x104));
  table.insert(FakeKernel::handle(0x104), 7);
  CHECK(table.find(FakeKernel::handle(0x107)) == 7);
  CHECK(table.find(FakeKernel::handle(0x108)) == HandleTable::none);
}

TEST_CASE("an idle registration takes at most 144 bytes, including the look-up table") {
  Registry registry;
  constexpr std::size_t count = 100'000;
  for (std::size_t i = 0; i < count; i++) {
    registry.begin(registry.create(FakeKernel::handle(4 * (i + 1))), 4 * (i + 1));
  }
  const std::size_t each = registry.bytes() / count;
  MESSAGE("bytes for each registration: ", each);
  CHECK(each <= 144);
}

TEST_CASE("flat cost: 100,000 registrations are found, and all blocks but one are released after them") {
  // The only work that depends on the size is the growth of vectors of pointers: one for 64 slots, one for 1,024
  // handles.
  Registry registry;
  std::vector<Slot*> slots;
  for (std::size_t i = 0; i < 100'000; i++) {
    slots.push_back(&registry.create(FakeKernel::handle(4 * (i + 1))));
    registry.begin(*slots.back(), 0);
  }
  CHECK(registry.blocks() == (slots.size() + 63) / 64);
  for (Slot* slot : slots) {
    const HANDLE base = slot->base;
    CHECK(registry.find(base) == slot);
    registry.retire(*slot);
    registry.release(*slot);
    CHECK(registry.find(base) == nullptr);
  }
  CHECK(registry.blocks() == 1);
}

TEST_CASE("BatchSize: asks for as many packets as polls are pending, and for many only while many come") {
  BatchSize batch;
  CHECK(batch.next(0) == 1);
  CHECK(batch.next(1) == 1);
  CHECK(batch.next(7) == 7);
  CHECK(batch.next(1000) == BatchSize::min);
  for (int i = 0; i < 10; i++) batch.took(batch.next(1000), batch.next(1000));
  CHECK(batch.next(1000) == BatchSize::max);
  CHECK(batch.next(100) == 100);
  for (int i = 0; i < 10; i++) batch.took(1, batch.next(1000));
  CHECK(batch.next(1000) == BatchSize::min);
}

TEST_CASE("directions: no value of a public Interest is an internal direction") {
  const auto any = static_cast<Interest>(0xFF);
  CHECK(directions_of(any) ==
        (Directions::readable | Directions::writable | Directions::priority | Directions::endings));
  CHECK(directions_of(Interest::none) == Directions::endings);
}

TEST_CASE("masks: each direction has its AFD events, and no direction has none") {
  CHECK(poll_mask(Directions::none) == 0);
  CHECK(poll_mask(Directions::endings) == (AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Directions::readable) ==
        (AFD_POLL_RECEIVE | AFD_POLL_ACCEPT | AFD_POLL_DISCONNECT | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Directions::writable) == (AFD_POLL_SEND | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Directions::priority) == (AFD_POLL_RECEIVE_EXPEDITED | AFD_POLL_LOCAL_CLOSE));
  CHECK((poll_mask(Directions::all) & AFD_POLL_CONNECT) == 0);  // it would complete at once, each time
}

TEST_CASE("masks: AFD events are translated to readiness and filtered by direction") {
  const Readiness broken =
      Readiness::readable | Readiness::writable | Readiness::read_closed | Readiness::hung_up | Readiness::failed;
  CHECK(to_readiness(AFD_POLL_RECEIVE) == Readiness::readable);
  CHECK(to_readiness(AFD_POLL_ACCEPT) == Readiness::readable);
  CHECK(to_readiness(AFD_POLL_SEND) == Readiness::writable);
  CHECK(to_readiness(AFD_POLL_RECEIVE_EXPEDITED) == Readiness::priority);
  CHECK(to_readiness(AFD_POLL_DISCONNECT) == (Readiness::readable | Readiness::read_closed));
  CHECK(to_readiness(AFD_POLL_ABORT) == broken);
  CHECK(to_readiness(AFD_POLL_CONNECT_FAIL) == broken);
  CHECK(filter_readiness(to_readiness(AFD_POLL_DISCONNECT), Directions::writable | Directions::endings) ==
        Readiness::none);
  CHECK(filter_readiness(broken, Directions::endings) ==
        (Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed));
  CHECK(filter_readiness(broken, Directions::none) == Readiness::none);
  CHECK(directions_of(broken) == (Directions::readable | Directions::writable | Directions::endings));
}

TEST_CASE("a function that ntdll does not export is an error that names it") {
  static int here = 0;
  const auto all = nt::resolve([](const char*) { return static_cast<void*>(&here); });
  REQUIRE(all.has_value());
  CHECK(all->size() == nt::function_names.size());
  const auto some = nt::resolve([](const char* name) {
    return std::string_view(name) == "NtCancelIoFileEx" ? nullptr : static_cast<void*>(&here);
  });
  REQUIRE_FALSE(some.has_value());
  CHECK(some.error() == std::errc::function_not_supported);
  CHECK(some.error().message() == "ntdll.dll does not export NtCancelIoFileEx");
  CHECK(some.error().category().name() == std::string_view("ntdll"));
  CHECK(some.error().category().message(0) == "ntdll.dll does not export a function");
}

TEST_CASE("Handle: closes its handle once, through its kernel") {
  FakeKernel kernel;
  const HANDLE opened = *kernel.create_port();
  {
    Handle handle(kernel, opened);
    Handle moved = std::move(handle);
    CHECK(moved.get() == opened);
    Handle* const alias = &moved;
    moved = std::move(*alias);
    CHECK(moved.get() == opened);
    moved = Handle(kernel, *kernel.create_port());
    CHECK(kernel.open.size() == 1);
    const Handle none;
    CHECK_FALSE(none);
  }
  CHECK(kernel.open.empty());
  CHECK(kernel.violations.empty());
}

TEST_CASE("Arena: a slot that was freed in a full block is used again") {
  afd::Arena arena;
  std::vector<afd::Slot*> slots;
  for (std::uint32_t i = 0; i < afd::Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
  for (int i = 0; i < 10; i++) {
    arena.free(*slots[5]);
    slots[5] = &arena.allocate();
    CHECK(arena.blocks() == 1);
  }
}

// The backend asks what a kernel has before it uses it.
TEST_CASE("a kernel that offers nothing but polls refuses all other calls") {
  FakeKernel fake;
  Kernel& kernel = fake;
  CHECK_FALSE(kernel.has_notifications());
  ULONG removed = 1;
  CHECK(kernel.notify(nullptr, {}, {}, removed, 0) == 120);  // ERROR_CALL_NOT_IMPLEMENTED
  CHECK(removed == 0);
  CHECK_FALSE(kernel.has_wait_packets());
  CHECK(kernel.create_wait_packet().error() == std::errc::function_not_supported);
  bool was_signalled = true;
  CHECK(kernel.associate(nullptr, nullptr, nullptr, 0, nullptr, was_signalled) == STATUS_NOT_SUPPORTED);
  CHECK_FALSE(was_signalled);
  CHECK(kernel.disassociate(nullptr, true) == STATUS_NOT_SUPPORTED);
  CHECK(kernel.begin_wait(nullptr, nullptr, 0, nullptr).error() == std::errc::function_not_supported);
  CHECK_FALSE(kernel.end_wait(nullptr));
  CHECK(kernel.create_timer().error() == std::errc::function_not_supported);
  CHECK(kernel.set_timer(nullptr, std::chrono::nanoseconds(1)) == STATUS_NOT_SUPPORTED);
  CHECK(kernel.duplicate(nullptr).error() == std::errc::function_not_supported);
}
