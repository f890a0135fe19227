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

namespace {

// A wait of that thread has delivered events; its batch.
std::uint8_t wait(WaitingThreads& threads, std::uint32_t thread, std::size_t events, std::size_t to_rearm) {
  const std::uint8_t batch = threads.begin_wait(thread);
  threads.end_wait(batch, events, to_rearm);
  return batch;
}

}  // namespace

TEST_CASE("WaitingThreads: a thread with events handles a batch until it waits again") {
  WaitingThreads threads;
  CHECK(threads.handled_by(7) == WaitingThreads::of_any_thread);
  wait(threads, 7, 0, 0);  // a wait without events leaves nothing to handle
  CHECK(threads.handled_by(7) == WaitingThreads::of_any_thread);
  const std::uint8_t batch = wait(threads, 7, 3, 0);
  CHECK(batch != WaitingThreads::of_any_thread);
  CHECK(threads.handled_by(7) == batch);
  CHECK(threads.handled_by(8) == WaitingThreads::of_any_thread);
  CHECK(threads.begin_wait(8) != batch);
  CHECK(threads.handled_by(7) == batch);
  CHECK(threads.begin_wait(7) == batch);
  CHECK(threads.handled_by(7) == WaitingThreads::of_any_thread);
}

TEST_CASE("WaitingThreads: the last re-arm ends the batch of its thread, and no other") {
  WaitingThreads threads;
  wait(threads, 7, 3, 2);
  const std::uint8_t other = wait(threads, 8, 1, 0);
  CHECK_FALSE(threads.rearmed(9));
  CHECK_FALSE(threads.rearmed(8));  // had nothing to re-arm
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.handled_by(7) != WaitingThreads::of_any_thread);
  CHECK(threads.rearmed(7));
  CHECK(threads.handled_by(7) == WaitingThreads::of_any_thread);
  CHECK_FALSE(threads.rearmed(7));
  CHECK(threads.handled_by(8) == other);
}

TEST_CASE("WaitingThreads: 32 threads have a batch, and more only where one may have been abandoned") {
  WaitingThreads threads;
  for (std::uint32_t thread = 1; thread <= 32; thread++) {
    threads.defer(wait(threads, thread, 1, 1), 0ms);
  }
  CHECK(threads.handled_by(32) == 32);
  CHECK(threads.begin_wait(33) == WaitingThreads::of_any_thread);
  threads.end_wait(WaitingThreads::of_any_thread, 1, 1);
  CHECK(threads.handled_by(33) == WaitingThreads::of_any_thread);
  CHECK_FALSE(threads.rearmed(33));
  const std::uint8_t batch = threads.handled_by(5);
  CHECK(threads.begin_wait(5) == batch);
  threads.end_deferral(batch);
  CHECK(threads.begin_wait(33) == WaitingThreads::of_any_thread);  // thread 5 waits
  threads.end_wait(batch, 1, 1);
  CHECK(threads.begin_wait(33) == batch);
  CHECK(threads.handled_by(5) == WaitingThreads::of_any_thread);
}

TEST_CASE("WaitingThreads: waits overlap until the grace period after the last overlap is over") {
  WaitingThreads threads;
  CHECK_FALSE(threads.has_overlapped());
  CHECK_FALSE(threads.is_overlapping(0ms));
  threads.overlapped(0ms);
  threads.overlapped(10ms);
  CHECK(threads.is_overlapping(10ms + WaitingThreads::grace - 1ns));
  CHECK(threads.has_overlapped());
  CHECK_FALSE(threads.is_overlapping(10ms + WaitingThreads::grace));
  CHECK_FALSE(threads.has_overlapped());
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

TEST_CASE("WaitingThreads: each batch is due a grace period after its first deferral") {
  constexpr auto grace = WaitingThreads::grace;
  WaitingThreads threads;
  CHECK_FALSE(threads.due().has_value());
  threads.defer(3, 20ms);
  threads.defer(1, 5ms);
  threads.defer(1, 50ms);
  CHECK(threads.due() == 5ms + grace);
  std::vector<std::uint8_t> expired;
  const auto expire = [&](std::chrono::nanoseconds now) {
    threads.expire(now, [&](std::uint8_t batch) { expired.push_back(batch); });
  };
  expire(4ms + grace);
  CHECK(expired.empty());
  expire(5ms + grace);
  CHECK(expired == std::vector<std::uint8_t>{1});
  CHECK(threads.due() == 20ms + grace);
  threads.end_deferral(3);
  CHECK_FALSE(threads.any_deferred());
  CHECK_FALSE(threads.due().has_value());
  threads.defer(3, 200ms);
  threads.defer(WaitingThreads::of_any_thread, 300ms);
  CHECK(threads.due() == 200ms + grace);
  threads.end_deferrals();
  CHECK_FALSE(threads.any_deferred());
  expire(1s);
  CHECK(expired.size() == 1);
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

  queue.defer_modified(*slots[2]);
  queue.defer_delivered(*slots[3], 7);
  queue.defer_delivered(*slots[5], 32);
  queue.defer_modified(*slots[0]);
  queue.suspect(*slots[4]);
  std::vector<int> batches;
  queue.for_each_delivered([&](std::uint8_t batch) { batches.push_back(batch); });
  CHECK(batches == std::vector{7, 32});
  CHECK(marked() == Order{1});
  queue.mark_modified();
  CHECK(marked() == Order{1, 2, 0});
  CHECK(queue.has_delivered(7));
  queue.mark_delivered(7);
  CHECK(marked() == Order{1, 2, 0, 3});
  CHECK_FALSE(queue.has_delivered(7));
  CHECK(queue.has_delivered(32));
  queue.defer_delivered(*slots[1], 0);
  queue.mark_delivered();
  CHECK(marked() == Order{2, 0, 3, 1, 5});
  queue.for_each_delivered([](std::uint8_t) { CHECK(false); });
  CHECK(queue.suspected().size() == 1);
  CHECK(&queue.suspected().front() == slots[4]);

  for (Slot* slot : slots) queue.erase(*slot);
  CHECK(queue.marked().empty());
  CHECK(queue.suspected().empty());
  for (const Slot* slot : slots) CHECK(slot->list == ListName::none);
}
