// SPDX-License-Identifier: MIT
#include <reactor/afd/arena.hpp>
#include <reactor/afd/masks.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/afd/socket_table.hpp>
#include <reactor/nt/functions.hpp>
#include <reactor/nt/handle.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_kernel.hpp"

using namespace reactor;
using namespace reactor::afd;
using namespace reactor::nt;

TEST_CASE("rule 2: slots do not move, blocks go back when they are empty, one is kept in reserve") {
  Arena arena;
  std::vector<Slot*> slots;
  for (std::uint32_t i = 0; i < 3 * Arena::slots_per_block; i++) {
    slots.push_back(&arena.allocate());
    CHECK(arena.at(slots.back()->index) == slots.back());
  }
  CHECK(arena.blocks() == 3);
  CHECK(std::set<Slot*>(slots.begin(), slots.end()).size() == slots.size());
  for (Slot* slot : slots) CHECK(arena.at_address(slot) == slot);
  for (Slot* slot : slots) arena.free(*slot);
  CHECK(arena.blocks() == 1);
  CHECK(arena.used() == 0);
  for (std::uint32_t i = 0; i < slots.size(); i++) CHECK(arena.at(i) == nullptr);
  for (int i = 0; i < 100; i++) arena.free(arena.allocate());
  CHECK(arena.blocks() == 1);
}

TEST_CASE("rule 3: only the exact address of a slot in use is one") {
  Arena arena;
  CHECK(arena.at_address(nullptr) == nullptr);
  std::vector<Slot*> slots;
  for (std::uint32_t i = 0; i < 2 * Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
  arena.free(*slots[5]);
  CHECK(arena.at_address(slots[5]) == nullptr);
  CHECK(arena.at(slots[5]->index) == nullptr);
  CHECK(arena.at(2 * Arena::slots_per_block) == nullptr);
  for (const std::size_t i : {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{127}}) {
    auto* address = reinterpret_cast<char*>(slots[i]);
    CHECK(arena.at_address(address) == slots[i]);
    for (const int off : {-1, 1, 4, 8, static_cast<int>(sizeof(Slot)) - 1}) {
      CHECK(arena.at_address(address + off) == nullptr);
    }
  }
  CHECK(arena.at_address(slots[63] + 1) == nullptr);
}

TEST_CASE("a block that went back and came again is found") {
  Arena arena;
  std::vector<Slot*> slots;
  for (int round = 0; round < 5; round++) {
    for (std::uint32_t i = 0; i < 4 * Arena::slots_per_block; i++) slots.push_back(&arena.allocate());
    for (const Slot* slot : slots) CHECK(arena.at_address(slot) == slot);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(static_cast<unsigned>(round)));
    for (Slot* slot : slots) arena.free(*slot);
    slots.clear();
    CHECK(arena.blocks() == 1);
  }
}

TEST_CASE("the socket table agrees with a map through random insertions and removals") {
  Arena arena;
  SocketTable table(arena);
  std::map<SocketNumber, Slot*> model;
  std::mt19937 random(42);
  for (int i = 0; i < 20'000; i++) {
    const SocketNumber socket = 4 * (random() % 512);  // few numbers, so that chains form and break
    if (const auto found = model.find(socket); found != model.end()) {
      REQUIRE(table.find(FakeKernel::handle(socket)) == found->second);
      table.erase(FakeKernel::handle(socket));
      arena.free(*found->second);
      model.erase(found);
    } else {
      REQUIRE(table.find(FakeKernel::handle(socket)) == nullptr);
      table.reserve_one();
      Slot& slot = arena.allocate();
      slot.base = FakeKernel::handle(socket);
      table.insert(slot);
      model[socket] = &slot;
    }
  }
  for (const auto& [socket, slot] : model) CHECK(table.find(FakeKernel::handle(socket)) == slot);
  table.erase(FakeKernel::handle(1));  // none of them
  for (const auto& [socket, slot] : model) CHECK(table.find(FakeKernel::handle(socket)) == slot);
}

TEST_CASE("an idle registration takes at most 144 bytes, the look-up table included") {
  Arena arena;
  SocketTable table(arena);
  constexpr std::size_t count = 10'000;
  for (std::size_t i = 0; i < count; i++) {
    table.reserve_one();
    Slot& slot = arena.allocate();
    slot.base = FakeKernel::handle(4 * (i + 1));
    table.insert(slot);
  }
  const std::size_t each = (arena.bytes() + table.bytes()) / count;
  MESSAGE("bytes for each registration: ", each);
  CHECK(each <= 144);
}

TEST_CASE("masks: what is asked for each direction, and nothing for none") {
  CHECK(poll_mask(Interest::none) == 0);
  CHECK(poll_mask(endings) == (AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Interest::readable) ==
        (AFD_POLL_RECEIVE | AFD_POLL_ACCEPT | AFD_POLL_DISCONNECT | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Interest::writable) == (AFD_POLL_SEND | AFD_POLL_LOCAL_CLOSE));
  CHECK(poll_mask(Interest::priority) == (AFD_POLL_RECEIVE_EXPEDITED | AFD_POLL_LOCAL_CLOSE));
  CHECK((poll_mask(all_directions) & AFD_POLL_CONNECT) == 0);  // it would complete at once for ever
}

TEST_CASE("masks: what an answer means, and what of it is told") {
  const Readiness broken =
      Readiness::readable | Readiness::writable | Readiness::read_closed | Readiness::hung_up | Readiness::failed;
  CHECK(to_readiness(AFD_POLL_RECEIVE) == Readiness::readable);
  CHECK(to_readiness(AFD_POLL_ACCEPT) == Readiness::readable);
  CHECK(to_readiness(AFD_POLL_SEND) == Readiness::writable);
  CHECK(to_readiness(AFD_POLL_RECEIVE_EXPEDITED) == Readiness::priority);
  CHECK(to_readiness(AFD_POLL_DISCONNECT) == (Readiness::readable | Readiness::read_closed));
  CHECK(to_readiness(AFD_POLL_ABORT) == broken);
  CHECK(to_readiness(AFD_POLL_CONNECT_FAIL) == broken);
  CHECK(told(to_readiness(AFD_POLL_DISCONNECT), Interest::writable | endings) == Readiness::none);
  CHECK(told(broken, endings) == (Readiness::readable | Readiness::writable | Readiness::hung_up | Readiness::failed));
  CHECK(told(broken, Interest::none) == Readiness::none);
  CHECK(directions_of(broken) == (Interest::readable | Interest::writable | endings));
}

TEST_CASE("a function that ntdll lacks is an error that names it") {
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

TEST_CASE("a handle closes once, through its kernel") {
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
