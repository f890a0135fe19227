// SPDX-License-Identifier: MIT
//
// Real threads over the simulated kernel, for a race detector.
#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <thread>
#include <vector>

#include <reactor/sim/sim_kernel.hpp>

using namespace reactor;
using namespace std::chrono_literals;

// Four threads wait and read, four write to peers that are added, removed and closed meanwhile: every byte is received.
TEST_CASE("smoke: eight threads, every byte sent is received") {
  constexpr int readers = 4, writers = 4, rounds = 20;
  constexpr std::size_t bytes_per_round = 5;
  sim::Options options{.seed = 3};
  options.real_threads = true;
  options.flight = options.completion = options.packet = {0us, 200us};
  sim::SimKernel kernel(options);
  std::atomic<std::size_t> received{0};
  std::atomic<bool> is_over{false};
  {
    Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
    const auto read = [&] {
      std::array<Event, 8> buffer;
      while (!is_over) {
        const auto events = poller.wait(buffer, 50ms);
        if (!events) return;
        for (const Event& event : *events) {
          const auto socket = static_cast<sim::SocketNumber>(event.token());
          for (;;) {
            const auto got = kernel.net().recv(socket, 100);
            if (!got || *got == 0) break;
            received += *got;
          }
        }
      }
    };
    const auto write = [&] {
      for (int round = 0; round < rounds; round++) {
        const auto [a, b] = kernel.net().tcp_pair();
        const auto limit = std::chrono::steady_clock::now() + 20s;
        auto added = poller.add(static_cast<NativeSocket>(a), Token{a}, Interest::readable);
        if (!added) return;
        for (std::size_t i = 0; i < bytes_per_round; i++) {
          static_cast<void>(kernel.net().send(b, 1));
          static_cast<void>(added->modify(i % 2 == 0 ? Interest::readable | Interest::priority : Interest::readable));
        }
        // In this order, so that a byte that has arrived is seen as unread.
        const auto all_read = [&] { return kernel.net().in_flight(b) == 0 && !kernel.net().readable(a); };
        while (!all_read() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
        if (round % 2 == 0) static_cast<void>(added->remove());
        static_cast<void>(kernel.net().close(a));
        static_cast<void>(kernel.net().close(b));
      }
    };
    std::deque<std::thread> reading, writing;
    for (int i = 0; i < readers; i++) reading.emplace_back(read);
    for (int i = 0; i < writers; i++) writing.emplace_back(write);
    for (auto& thread : writing) thread.join();
    is_over = true;
    for (auto& thread : reading) thread.join();
    CHECK(poller.stats().registrations <= writers * rounds / 2);
  }
  CHECK(received.load() == writers * rounds * bytes_per_round);
  CHECK(kernel.complaint() == "");
  CHECK(kernel.held_requests() == 0);
  CHECK(kernel.open_handles() == 0);
}
