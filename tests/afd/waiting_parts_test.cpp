// SPDX-License-Identifier: MIT
//
// The parts for several waiting threads, each by itself: WaitingThreads, Doorbell, SlotList and ArmQueue.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/doorbell.hpp>
#include <reactor/afd/waiting_threads.hpp>

#include "fake_kernel.hpp"

using namespace reactor::afd;
using namespace std::chrono_literals;
using reactor::nt::Handle;

TEST_CASE("WaitingThreads: a thread with events is between two waits until it waits again") {
  WaitingThreads threads;
  CHECK_FALSE(threads.is_between_waits(7));
  threads.end_wait(7, 0, 0);  // a wait without events leaves nothing to handle
  CHECK_FALSE(threads.is_between_waits(7));
  threads.end_wait(7, 3, 0);
  CHECK(threads.is_between_waits(7));
  CHECK_FALSE(threads.is_between_waits(8));
  threads.begin_wait(8);
  CHECK(threads.is_between_waits(7));
  threads.begin_wait(7);
  CHECK_FALSE(threads.is_between_waits(7));
}

TEST_CASE("WaitingThreads: the last re-arm ends the batch of its thread, and no other") {
  WaitingThreads threads;
  threads.end_wait(7, 3, 2);
  threads.end_wait(8, 1, 0);
  CHECK_FALSE(threads.rearmed(9));
  CHECK_FALSE(threads.rearmed(8));  // had nothing to re-arm
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.is_between_waits(7));
  CHECK(threads.rearmed(7));
  CHECK_FALSE(threads.is_between_waits(7));
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.is_between_waits(8));
}

TEST_CASE("WaitingThreads: at most 32 threads are between waits, and a wait frees a place") {
  WaitingThreads threads;
  for (std::uint32_t thread = 1; thread <= 33; thread++) threads.end_wait(thread, 1, 1);
  CHECK(threads.is_between_waits(32));
  CHECK_FALSE(threads.is_between_waits(33));
  threads.begin_wait(5);
  threads.end_wait(33, 1, 1);
  CHECK(threads.is_between_waits(33));
  CHECK_FALSE(threads.is_between_waits(5));
}

TEST_CASE("WaitingThreads: counts the sleeping threads, and those among them that watch the grace period") {
  WaitingThreads threads;
  CHECK_FALSE(threads.any_sleeps());
  threads.begin_sleep(false);
  CHECK(threads.any_sleeps());
  CHECK_FALSE(threads.any_watches());
  threads.begin_sleep(true);
  CHECK(threads.any_watches());
  threads.end_sleep(true);
  CHECK(threads.any_sleeps());
  CHECK_FALSE(threads.any_watches());
  threads.end_sleep(false);
  CHECK_FALSE(threads.any_sleeps());
}

TEST_CASE("WaitingThreads: the grace period begins with the first deferral") {
  WaitingThreads threads;
  CHECK_FALSE(threads.due().has_value());
  threads.defer(5ms);
  threads.defer(50ms);
  CHECK(threads.due() == 5ms + WaitingThreads::grace);
  threads.end_deferral();
  CHECK_FALSE(threads.due().has_value());
  threads.defer(200ms);
  CHECK(threads.due() == 200ms + WaitingThreads::grace);
}

TEST_CASE("Doorbell: several nudges and wakes queue one packet until it was dequeued") {
  FakeKernel kernel;
  const Handle port(kernel, *kernel.create_port());
  Doorbell doorbell(kernel, port.get());
  doorbell.open();
  CHECK(doorbell.has_reserve());
  for (int i = 0; i < 3; i++) doorbell.nudge();
  CHECK(kernel.packets.size() == 1);
  CHECK_FALSE(doorbell.answer());  // a nudge ends no wait
  doorbell.nudge();
  doorbell.wake();
  doorbell.nudge();
  CHECK(kernel.posts == 2);
  CHECK(doorbell.posts() == 2);
  CHECK(doorbell.answer());
  CHECK_FALSE(doorbell.answer());
  doorbell.wake();
  CHECK(kernel.posts == 3);
  CHECK(doorbell.answer());
}

TEST_CASE("Doorbell: a refused post is owed, and posted once") {
  FakeKernel kernel;
  kernel.has_reserves = false;
  const Handle port(kernel, *kernel.create_port());
  Doorbell doorbell(kernel, port.get());
  doorbell.open();
  CHECK_FALSE(doorbell.has_reserve());
  kernel.post_refusals = 2;
  doorbell.wake();
  CHECK(kernel.packets.empty());
  doorbell.pay();  // refused again, so it is still owed
  CHECK(kernel.packets.empty());
  doorbell.nudge();  // posts what is owed
  CHECK(kernel.packets.size() == 1);
  doorbell.pay();
  CHECK(kernel.packets.size() == 1);
  CHECK(doorbell.posts() == 3);
  CHECK(doorbell.answer());  // the wake
}

TEST_CASE("SlotList: agrees with a deque through random insertions and removals") {
  Arena arena;
  SlotList list(arena, ListName::marked);
  std::deque<Slot*> model;
  std::vector<Slot*> slots;
  for (int i = 0; i < 100; i++) {
    slots.push_back(&arena.allocate());
    slots.back()->generation = 1;
  }
  std::mt19937 random(7);
  for (int i = 0; i < 5'000; i++) {
    Slot& slot = *slots[random() % slots.size()];
    if (slot.list == ListName::marked) {
      list.erase(slot);
      std::erase(model, &slot);
    } else if (random() % 2 == 0) {
      list.push_back(slot);
      model.push_back(&slot);
    } else {
      list.push_front(slot);
      model.push_front(&slot);
    }
    REQUIRE(list.size() == model.size());
    REQUIRE(list.empty() == model.empty());
    Slot* at = list.empty() ? nullptr : &list.front();
    for (const Slot* expected : model) {
      REQUIRE(at == expected);
      at = list.after(*at);
    }
    REQUIRE(at == nullptr);
  }
}

TEST_CASE("ArmQueue: marked slots keep their order, and deferred ones come behind them") {
  Arena arena;
  ArmQueue queue(arena);
  std::array<Slot*, 6> slots{};
  for (Slot*& slot : slots) {
    slot = &arena.allocate();
    slot->generation = 1;
  }
  const auto marked = [&] {
    std::vector<std::ptrdiff_t> order;
    for (const Slot* slot = queue.marked().empty() ? nullptr : &queue.marked().front(); slot != nullptr;
         slot = queue.marked().after(*slot)) {
      order.push_back(std::ranges::find(slots, slot) - slots.begin());
    }
    return order;
  };
  using Order = std::vector<std::ptrdiff_t>;
  queue.mark(*slots[0]);
  queue.mark(*slots[1]);
  queue.mark(*slots[0]);
  CHECK(marked() == Order{0, 1});
  queue.mark_first(*slots[1]);
  CHECK(marked() == Order{1, 0});
  CHECK_FALSE(queue.has_deferred());

  queue.defer_modified(*slots[2]);
  queue.defer_delivered(*slots[3]);
  queue.defer_modified(*slots[0]);
  queue.suspect(*slots[4]);
  CHECK(queue.has_deferred());
  CHECK(marked() == Order{1});
  queue.mark_modified();
  CHECK(marked() == Order{1, 2, 0});
  CHECK(queue.has_deferred());
  queue.defer_modified(*slots[1]);
  queue.mark_deferred();
  CHECK(marked() == Order{2, 0, 3, 1});
  CHECK_FALSE(queue.has_deferred());
  CHECK(queue.suspected().size() == 1);
  CHECK(&queue.suspected().front() == slots[4]);

  for (Slot* slot : slots) queue.erase(*slot);
  CHECK(queue.marked().empty());
  CHECK(queue.suspected().empty());
  for (const Slot* slot : slots) CHECK(slot->list == ListName::none);
}
