// SPDX-License-Identifier: MIT
//
// stage0_wake: one thread sleeps on a completion port, another thread wakes it.
//
// What    A reactor is a thread that sleeps in one kernel call until there is something to do. On Windows an I/O
//         completion port is the only object that such a thread can wait on for everything at once. This gate proves
//         that the port does what a reactor needs: a wake from another thread ends the sleep at once and is never lost,
//         a time-out ends it when nothing comes, no time-out means none, and one call dequeues many packets.
// Why     A lost wake is a program that hangs. A late wake is a program that stutters.
// How     By the three functions of ntdll that the library uses. NtCreateIoCompletion makes the port, NtSetIoCompletion
//         queues a packet, NtRemoveIoCompletionEx dequeues up to N packets in one call or sleeps until there is one.
// Passes  when every packet comes back as it was sent, 10,000 wakes from 4 threads all arrive, each once, time-outs of
//         0 and 50 ms end with STATUS_TIMEOUT, and 1,000 packets are dequeued by 4 calls.
//
// Single file, only system headers, nothing shared with the other gates or the library. Read it from the top.

#define NOMINMAX
#define WIN32_NO_STATUS  // ntstatus.h defines all of them
#include <windows.h>
#include <winternl.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

// -- What ntdll exports and no header of the SDK declares (since Windows Vista) --

struct Packet {  // FILE_IO_COMPLETION_INFORMATION
  void* key;
  void* context;
  IO_STATUS_BLOCK result;
};
static_assert(sizeof(Packet) == 4 * sizeof(void*) && offsetof(Packet, result) == 2 * sizeof(void*));

NTSTATUS(NTAPI* NtCreateIoCompletion)(HANDLE* port, ACCESS_MASK access, void* attributes, ULONG threads);
NTSTATUS(NTAPI* NtSetIoCompletion)(HANDLE port, void* key, void* context, NTSTATUS status, ULONG_PTR information);
NTSTATUS(NTAPI* NtRemoveIoCompletionEx)(HANDLE port, Packet* packets, ULONG count, ULONG* removed,
                                        LARGE_INTEGER* timeout, BOOLEAN alertable);

// -- How this gate reports. A fact is a line `id asked -> answer`; "~" marks a figure, which differs from run to run --

std::string hex(std::uintptr_t value, int digits = 2 * sizeof(void*)) {
  std::array<char, 24> text;
  std::snprintf(text.data(), text.size(), "0x%0*llX", digits, static_cast<unsigned long long>(value));
  return text.data();
}
std::string hex(NTSTATUS status) { return hex(static_cast<ULONG>(status), 8); }
std::string hex(void* value) { return hex(reinterpret_cast<std::uintptr_t>(value)); }

void expect(bool holds, const std::string& expected, const std::string& came) {
  if (holds) return;
  std::printf("FAIL stage0: expected %s, came %s\n", expected.c_str(), came.c_str());
  std::fflush(stdout);
  std::_Exit(1);  // whatever the other threads do
}

void fact(const std::string& id, const std::string& asked, const std::string& answer, char mark = ' ') {
  std::printf("%c %-27s %-64s -> %s\n", mark, id.c_str(), asked.c_str(), answer.c_str());
  std::fflush(stdout);
}

std::string figure(const std::string& id, const std::string& asked, double value, const char* unit) {
  std::array<char, 48> text;
  std::snprintf(text.data(), text.size(), "%.1f %s", value, unit);
  fact(id, asked, text.data(), '~');
  return text.data();
}

// A fact that the gate requires.
void prove(const std::string& id, const std::string& asked, const std::string& expected, const std::string& answer) {
  fact(id, asked, answer);
  expect(answer == expected, expected + " from: " + asked, answer);
}

// -- The port --

using Clock = std::chrono::steady_clock;

bool lose_wake = false;  // --break lose-wake

template <class Function>
void resolve(Function*& function, const char* name) {
  auto* address = reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name));
  expect(address != nullptr, std::string("ntdll.dll to export ") + name, "no such export");
  function = reinterpret_cast<Function*>(address);
}

struct Batch {
  NTSTATUS status = STATUS_SUCCESS;
  ULONG removed = 0;
  std::array<Packet, 256> packets{};
};

// Sleeps until there is a packet or `timeout_ms` are over (-1: no time-out), then dequeues up to 256 packets.
void dequeue(HANDLE port, Batch& batch, int timeout_ms) {
  LARGE_INTEGER timeout;
  timeout.QuadPart = std::int64_t{timeout_ms} * -10'000;  // negative: relative, in units of 100 ns
  batch.removed = 0xAAAAAAAA;                             // shows what a time-out leaves here
  batch.status = NtRemoveIoCompletionEx(port, batch.packets.data(), 256, &batch.removed,
                                        timeout_ms < 0 ? nullptr : &timeout, FALSE);
}

void* pointer(std::uint64_t value) { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(value)); }

void post(HANDLE port, std::uintptr_t context) { NtSetIoCompletion(port, nullptr, pointer(context), 0, 0); }

// -- The proofs --

void prove_timeouts(HANDLE port) {
  Batch batch;
  dequeue(port, batch, 0);
  prove("port.timeout_0", "wait 0 ms on an empty port", hex(STATUS_TIMEOUT), hex(batch.status));
  fact("port.timeout_removed", "the packet count after that time-out, 0xAAAAAAAA before", hex(batch.removed, 8));
  double earliest_ms = 1e9, latest_ms = -1e9;
  for (int i = 0; i < 10 && batch.status == STATUS_TIMEOUT; i++) {
    const auto before = Clock::now();
    dequeue(port, batch, 50);
    const double took_ms = std::chrono::duration<double, std::milli>(Clock::now() - before).count();
    earliest_ms = std::min(earliest_ms, took_ms - 50);
    latest_ms = std::max(latest_ms, took_ms - 50);
  }
  prove("port.timeout_50", "wait 50 ms on an empty port, ten times", hex(STATUS_TIMEOUT), hex(batch.status));
  const std::string earliest = figure("port.timeout_50_earliest", "wait 50 ms: earliest overrun", earliest_ms, "ms");
  figure("port.timeout_50_latest", "wait 50 ms: latest overrun", latest_ms, "ms");
  // The system clock ticks every 15.6 ms, and real Windows is known to end a wait one tick early.
  expect(earliest_ms >= -31.3, "no time-out more than two clock ticks early", earliest);
}

void prove_round_trip(HANDLE port) {
  void* const key = pointer(0x1122334455667788);
  void* const context = pointer(0x99AABBCCDDEEFF00);
  const auto information = static_cast<std::uintptr_t>(0x0123456789ABCDEF);
  const NTSTATUS posted = NtSetIoCompletion(port, key, context, STATUS_CANCELLED, information);
  prove("port.post", "NtSetIoCompletion", hex(STATUS_SUCCESS), hex(posted));
  Batch batch;
  dequeue(port, batch, 1000);
  prove("port.remove", "NtRemoveIoCompletionEx dequeues that packet", hex(STATUS_SUCCESS), hex(batch.status));
  const Packet& packet = batch.packets[0];
  prove("port.round_trip.key", "its key", hex(key), hex(packet.key));
  prove("port.round_trip.context", "its context", hex(context), hex(packet.context));
  prove("port.round_trip.status", "its status", hex(STATUS_CANCELLED), hex(packet.result.Status));
  prove("port.round_trip.information", "its Information", hex(information), hex(pointer(packet.result.Information)));
}

// Without a time-out the thread must still be asleep after 300 ms, and awake at once after a wake.
void prove_no_timeout(HANDLE port) {
  const HANDLE awake = CreateEventW(nullptr, FALSE, FALSE, nullptr);
  Batch batch;
  std::thread sleeper([&] {
    dequeue(port, batch, -1);
    SetEvent(awake);
  });
  prove("port.timeout_none", "wait without a time-out, nothing is posted for 300 ms", "asleep",
        WaitForSingleObject(awake, 300) == WAIT_TIMEOUT ? "asleep" : "awake");
  post(port, 0);
  prove("port.wake", "then one wake", "awake",
        WaitForSingleObject(awake, 2000) == WAIT_TIMEOUT ? "asleep after 2 s" : "awake");
  sleeper.join();
}

void prove_batch(HANDLE port) {
  std::uintptr_t came = 0, calls = 0, misplaced = 0;
  for (std::uintptr_t i = 0; i < 1000; i++) post(port, i);
  Batch batch;
  for (dequeue(port, batch, 0); batch.status == STATUS_SUCCESS; dequeue(port, batch, 0), calls++) {
    for (ULONG i = 0; i < batch.removed; i++) misplaced += batch.packets[i].context != pointer(came++);
  }
  prove(
      "port.batch", "post 1000 packets, dequeue up to 256 a call", "1000 in 4 calls, 0 out of order",
      std::to_string(came) + " in " + std::to_string(calls) + " calls, " + std::to_string(misplaced) + " out of order");
}

// Each of four threads posts a wake and waits until it was seen, so the latency is that of a wake, not of a queue.
std::string prove_wakes(HANDLE port) {
  constexpr std::uintptr_t threads = 4, wakes_per_thread = 2500, wakes = threads * wakes_per_thread;
  std::vector<Clock::time_point> sent(wakes);
  std::array<HANDLE, threads> seen{};
  std::vector<std::thread> wakers;
  for (std::uintptr_t thread = 0; thread < threads; thread++) {
    seen[thread] = CreateEventW(nullptr, FALSE, FALSE, nullptr);
    wakers.emplace_back([&, thread] {
      for (std::uintptr_t i = 0; i < wakes_per_thread; i++) {
        const std::uintptr_t id = thread * wakes_per_thread + i;
        sent[id] = Clock::now();
        if (id == 7777 && lose_wake) continue;
        post(port, id);
        WaitForSingleObject(seen[thread], INFINITE);
      }
    });
  }
  std::vector<double> latency_us(wakes, -1.0);
  std::uintptr_t came = 0;
  Batch batch;
  while (came < wakes) {
    dequeue(port, batch, 2000);
    if (batch.status != STATUS_SUCCESS) break;
    const auto now = Clock::now();
    for (ULONG i = 0; i < batch.removed; i++, came++) {
      const auto id = reinterpret_cast<std::uintptr_t>(batch.packets[i].context);
      expect(id < wakes && latency_us[id] < 0, "each wake once", "wake " + std::to_string(id) + " again");
      latency_us[id] = std::chrono::duration<double, std::micro>(now - sent[id]).count();
      SetEvent(seen[id / wakes_per_thread]);
    }
  }
  const auto lost = std::ranges::find_if(latency_us, [](double us) { return us < 0; });
  expect(came == wakes, "10000 wakes from 4 threads",
         std::to_string(came) + "; wake " + std::to_string(lost - latency_us.begin()) + " was lost");
  for (auto& waker : wakers) waker.join();
  dequeue(port, batch, 0);
  prove("port.wakes", "10000 wakes from 4 threads", "10000, each once, then an empty port",
        std::to_string(came) + ", each once, then " + (batch.status == STATUS_TIMEOUT ? "an empty port" : "a packet"));
  std::ranges::sort(latency_us);
  const double median_us = latency_us[wakes / 2], p99_us = latency_us[wakes * 99 / 100];
  const std::string median = figure("port.wake_median", "from the wake to awake, median", median_us, "us");
  figure("port.wake_p99", "from the wake to awake, 99th percentile", p99_us, "us");
  expect(median_us < 20'000, "a median below 20 ms from the wake to awake", median);
  return "10000 wakes from 4 threads, none lost; median " + median + " from the wake to awake";
}

}  // namespace

int main(int argc, char** argv) {
  lose_wake = argc == 3 && argv[1] == std::string("--break") && argv[2] == std::string("lose-wake");
  if (argc > 1 && !lose_wake) {
    std::puts("usage: stage0_wake [--break lose-wake]   (one wake is never posted: the gate has to notice)");
    return 1;
  }
  resolve(NtCreateIoCompletion, "NtCreateIoCompletion");
  resolve(NtSetIoCompletion, "NtSetIoCompletion");
  resolve(NtRemoveIoCompletionEx, "NtRemoveIoCompletionEx");
  HANDLE port = nullptr;
  const NTSTATUS status = NtCreateIoCompletion(&port, IO_COMPLETION_ALL_ACCESS, nullptr, 0);
  prove("port.create", "NtCreateIoCompletion", hex(STATUS_SUCCESS), hex(status));
  prove_timeouts(port);
  prove_round_trip(port);
  prove_no_timeout(port);
  prove_batch(port);
  std::printf("PASS stage0: %s\n", prove_wakes(port).c_str());
}
