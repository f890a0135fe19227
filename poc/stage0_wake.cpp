// SPDX-License-Identifier: MIT
//
// stage0_wake: a thread sleeps on a completion port, another thread wakes it.
//
// What    A reactor is one thread that sleeps in one kernel call until there is something to do. On Windows
// the
//         only thing that one thread can wait on for everything at once is an I/O completion port. Before any
//         socket comes into it, this gate proves that the port itself does what a reactor needs: a wake from
//         another thread ends the sleep at once and is never lost, a time-out ends it when nothing comes, no
//         time-out means none, and one call takes many packets.
// Why     A lost wake is a program that hangs; a wake that is late is a program that stutters.
// How     Three functions of ntdll, resolved at run time, since no import library of the SDK promises them:
//         NtCreateIoCompletion makes the port, NtSetIoCompletion queues a packet made by hand, and
//         NtRemoveIoCompletionEx takes up to N packets in one call or sleeps until there is one.
// Passes  when every packet comes back as it was sent, 10,000 wakes from 4 threads all arrive, each once,
//         time-outs of 0 and 50 ms end with STATUS_TIMEOUT, and a batch takes many packets in one call.
//
// Single file, only system headers, nothing shared with the other gates or the library: read it from the top.

#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS  // the NTSTATUS values are declared here, as what they are
#include <windows.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

// -- What ntdll offers: declared here, as no header of the SDK promises it --

using NTSTATUS = LONG;
constexpr NTSTATUS STATUS_SUCCESS = 0;
constexpr NTSTATUS STATUS_TIMEOUT = 0x102;

struct IO_STATUS_BLOCK {
  union {
    NTSTATUS Status;
    void* Pointer;
  };
  ULONG_PTR Information;
};

struct FILE_IO_COMPLETION_INFORMATION {
  void* KeyContext;
  void* ApcContext;
  IO_STATUS_BLOCK IoStatusBlock;
};

static_assert(sizeof(IO_STATUS_BLOCK) == 2 * sizeof(void*));
static_assert(sizeof(FILE_IO_COMPLETION_INFORMATION) == 4 * sizeof(void*));
static_assert(offsetof(FILE_IO_COMPLETION_INFORMATION, IoStatusBlock) == 2 * sizeof(void*));

// All of them exported by ntdll.dll since Windows Vista.
NTSTATUS(NTAPI* RtlGetVersion)(OSVERSIONINFOW* version);
NTSTATUS(NTAPI* NtCreateIoCompletion)(HANDLE* port, ACCESS_MASK access, void* attributes, ULONG threads);
NTSTATUS(NTAPI* NtRemoveIoCompletionEx)(HANDLE port, FILE_IO_COMPLETION_INFORMATION* entries, ULONG count,
                                        ULONG* removed, LARGE_INTEGER* timeout, BOOLEAN alertable);
NTSTATUS(NTAPI* NtSetIoCompletion)(HANDLE port, void* key, void* context, NTSTATUS status, ULONG_PTR information);

constexpr const char* usage =
    "usage: stage0_wake [--json FILE] [--deadline SECONDS] [--break lose-wake]\n"
    "Proves that a completion port wakes a sleeping thread: at once, every time, many packets in one call.\n"
    "  --json FILE         write the facts and figures that were found to FILE\n"
    "  --deadline SECONDS  FAIL when not done by then (default 60)\n"
    "  --break lose-wake   one of the wakes is never sent: the gate has to notice\n";

// -- How this gate speaks: facts to the screen and the JSON file, one verdict at the end --

std::FILE* json = nullptr;  // what --json names
std::string broken;         // what --break names
int facts = 0;
std::atomic_flag ended;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) (c == '"' || c == '\\') ? (result += '\\') += c : result += c;
  return result + '"';
}

template <class Integer>
std::string hex(Integer value) {
  std::array<char, 24> text;
  std::snprintf(text.data(), text.size(), "0x%0*llX", static_cast<int>(2 * sizeof value),
                static_cast<unsigned long long>(static_cast<std::make_unsigned_t<Integer>>(value)));
  return text.data();
}

// The one way out. TerminateProcess, since threads of ours may be asleep in the kernel.
[[noreturn]] void conclude(bool passed, const std::string& verdict) {
  if (ended.test_and_set()) Sleep(INFINITE);  // another thread got here first and ends the process
  if (json != nullptr) {
    std::fprintf(json, "\n  ],\n  \"passed\": %s,\n  \"verdict\": %s\n}\n", passed ? "true" : "false",
                 quoted(verdict).c_str());
    std::fflush(json);
  }
  std::printf("%s stage0: %s\n", passed ? "PASS" : "FAIL", verdict.c_str());
  std::fflush(stdout);
  TerminateProcess(GetCurrentProcess(), passed ? 0 : 1);
  std::abort();
}

void expect(bool holds, const std::string& expected, const std::string& came) {
  if (!holds) conclude(false, "expected " + expected + ", came " + came);
}

// A fact is what was asked and what the kernel answered. One of another kind, a figure, differs from run to run.
void fact(const std::string& id, const std::string& asked, const std::string& came, const char* kind = "fact") {
  std::printf("  %-72s -> %s\n", asked.c_str(), came.c_str());
  std::fflush(stdout);
  if (json == nullptr) return;
  std::fprintf(json, "%s\n    {\"kind\": \"%s\", \"id\": %s, \"asked\": %s, \"came\": %s}", facts++ ? "," : "", kind,
               quoted(id).c_str(), quoted(asked).c_str(), quoted(came).c_str());
  std::fflush(json);
}

std::string figure(const std::string& id, const std::string& what, double value, const std::string& unit) {
  std::array<char, 48> text;
  std::snprintf(text.data(), text.size(), "%.*f ", value == std::floor(value) ? 0 : 1, value);
  fact(id, what, text.data() + unit, "figure");
  return text.data() + unit;
}

// A fact that has to be so.
void prove(const std::string& id, const std::string& asked, const std::string& expected, const std::string& came) {
  fact(id, asked, came);
  expect(came == expected, expected + " from: " + asked, came);
}

template <class Function>
void resolve(Function*& function, const char* name) {
  auto* address = reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name));
  expect(address != nullptr, std::string("ntdll.dll to export ") + name, "no such export");
  function = reinterpret_cast<Function*>(address);
}

void open_json(const std::string& path) {
  resolve(RtlGetVersion, "RtlGetVersion");
  OSVERSIONINFOW os{sizeof os, 0, 0, 0, 0, {}};
  RtlGetVersion(&os);
  auto* wine = reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version"));
  SYSTEM_INFO info;
  GetNativeSystemInfo(&info);
  const int cpu = info.wProcessorArchitecture;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  expect(file != nullptr, "to write " + path, std::strerror(errno));
  std::fprintf(file, "{\n  \"gate\": \"stage0_wake\",\n  \"system\": {\"windows\": \"%lu.%lu.%lu\", \"wine\": %s, ",
               os.dwMajorVersion, os.dwMinorVersion, os.dwBuildNumber,
               wine ? quoted(reinterpret_cast<const char*(__cdecl*)()>(wine)()).c_str() : "null");
  std::fprintf(file, "\"architecture\": \"%s\"},\n  \"facts\": [", cpu == 12 ? "arm64" : cpu == 9 ? "x64" : "x86");
  json = file;
}

void start_watchdog(int deadline_s) {
  std::thread([deadline_s] {
    Sleep(static_cast<DWORD>(deadline_s) * 1000);
    std::thread([] {
      Sleep(2000);  // should the report itself be stuck, say in a full pipe
      TerminateProcess(GetCurrentProcess(), 1);
    }).detach();
    expect(false, "an end within " + std::to_string(deadline_s) + " s", "none after the steps above");
  }).detach();
}

int number(const std::string& option, const std::string& text, int smallest, int largest) {
  const long long value = std::atoll(text.c_str());
  expect(std::to_string(value) == text && value >= smallest && value <= largest,
         option + " from " + std::to_string(smallest) + " to " + std::to_string(largest), "'" + text + "'");
  return static_cast<int>(value);
}

void parse(int argc, char** argv) {
  std::string path;
  int deadline_s = 60;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--help") {
      std::fputs(usage, stdout);
      std::exit(0);
    }
    expect(!value.empty(), "an option that --help lists, and its value", "'" + option + "'");
    if (option == "--json") path = value;
    else if (option == "--break") broken = value;
    else if (option == "--deadline") deadline_s = number(option, value, 1, 86400);
    else expect(false, "an option that --help lists, and its value", "'" + option + "'");
  }
  expect(broken.empty() || broken == "lose-wake", "one of --break lose-wake", "'" + broken + "'");
  if (!path.empty()) open_json(path);
  start_watchdog(deadline_s);
}

// -- The port --

using Clock = std::chrono::steady_clock;

constexpr int forever = -1;

struct Batch {
  NTSTATUS status = STATUS_SUCCESS;
  ULONG removed = 0;
  std::array<FILE_IO_COMPLETION_INFORMATION, 256> packets{};
};

// Sleeps until there is a packet or `timeout_ms` have passed; then takes all there are, up to 256.
void remove_packets(HANDLE port, Batch& batch, int timeout_ms) {
  LARGE_INTEGER timeout;
  timeout.QuadPart = std::int64_t{timeout_ms} * -10'000;  // negative: relative, in units of 100 ns
  batch.removed = 0xAAAAAAAA;  // what the kernel leaves here on a time-out is one of the things to find out
  batch.status = NtRemoveIoCompletionEx(port, batch.packets.data(), 256, &batch.removed,
                                        timeout_ms == forever ? nullptr : &timeout, FALSE);
}

void* word(std::uintptr_t value) { return reinterpret_cast<void*>(value); }  // to the kernel, key and context are

// -- The proofs --

HANDLE create_port() {
  resolve(NtCreateIoCompletion, "NtCreateIoCompletion");
  resolve(NtRemoveIoCompletionEx, "NtRemoveIoCompletionEx");
  resolve(NtSetIoCompletion, "NtSetIoCompletion");
  HANDLE port = nullptr;
  const NTSTATUS status = NtCreateIoCompletion(&port, IO_COMPLETION_ALL_ACCESS, nullptr, 0);
  prove("port.create", "NtCreateIoCompletion", hex(STATUS_SUCCESS), hex(status));
  return port;
}

void prove_timeouts(HANDLE port) {
  Batch batch;
  remove_packets(port, batch, 0);
  prove("port.timeout_0", "wait 0 ms on an empty port", hex(STATUS_TIMEOUT), hex(batch.status));
  fact("port.timeout_removed", "the packet count after that time-out, 0xAAAAAAAA before", hex(batch.removed));
  double earliest_ms = 1e9, latest_ms = 0;
  for (int i = 0; i < 10 && batch.status == STATUS_TIMEOUT; i++) {
    const auto before = Clock::now();
    remove_packets(port, batch, 50);
    const double took_ms = std::chrono::duration<double, std::milli>(Clock::now() - before).count();
    earliest_ms = std::min(earliest_ms, took_ms - 50);
    latest_ms = std::max(latest_ms, took_ms - 50);
  }
  prove("port.timeout_50", "wait 50 ms on an empty port, ten times", hex(STATUS_TIMEOUT), hex(batch.status));
  const std::string early = figure("port.timeout_50_earliest", "its earliest end, against 50 ms", earliest_ms, "ms");
  figure("port.timeout_50_latest", "its latest end, against 50 ms", latest_ms, "ms");
  // The system clock ticks every 15.6 ms. One tick early is known of real Windows; more than two would be news.
  expect(earliest_ms >= -31.3, "no time-out more than two clock ticks early", early);
}

void prove_round_trip(HANDLE port) {
  const auto key = static_cast<std::uintptr_t>(0x1122334455667788);
  const auto context = static_cast<std::uintptr_t>(0x99AABBCCDDEEFF00);
  const auto information = static_cast<std::uintptr_t>(0x0123456789ABCDEF);
  const auto status = static_cast<NTSTATUS>(0xC0000120);
  const NTSTATUS posted = NtSetIoCompletion(port, word(key), word(context), status, information);
  prove("port.post", "NtSetIoCompletion", hex(STATUS_SUCCESS), hex(posted));
  Batch batch;
  remove_packets(port, batch, 1000);
  prove("port.remove", "take that packet", hex(STATUS_SUCCESS), hex(batch.status));
  const auto& packet = batch.packets[0];
  prove("port.round_trip.key", "its key", hex(key), hex(reinterpret_cast<std::uintptr_t>(packet.KeyContext)));
  prove("port.round_trip.context", "its context", hex(context),
        hex(reinterpret_cast<std::uintptr_t>(packet.ApcContext)));
  prove("port.round_trip.status", "its status", hex(status), hex(packet.IoStatusBlock.Status));
  prove("port.round_trip.information", "its information", hex(information), hex(packet.IoStatusBlock.Information));
}

// No time-out at all: the sleeper must still be asleep after 300 ms, and up at once after a wake.
void prove_no_timeout(HANDLE port) {
  const HANDLE awake = CreateEventW(nullptr, FALSE, FALSE, nullptr);
  Batch batch;
  std::thread sleeper([&] {
    remove_packets(port, batch, forever);
    SetEvent(awake);
  });
  const bool woke_alone = WaitForSingleObject(awake, 300) != WAIT_TIMEOUT;
  prove("port.timeout_none", "wait without a time-out; nothing is sent for 300 ms", "asleep",
        woke_alone ? "awake" : "asleep");
  NtSetIoCompletion(port, nullptr, nullptr, STATUS_SUCCESS, 0);
  const bool woke = WaitForSingleObject(awake, 2000) != WAIT_TIMEOUT;
  prove("port.wake", "then one wake", "awake", woke ? "awake" : "still asleep after 2 s");
  sleeper.join();
  expect(batch.status == STATUS_SUCCESS && batch.removed == 1, "one packet for one wake", hex(batch.removed));
}

void prove_batch(HANDLE port) {
  std::uintptr_t came = 0, calls = 0, misplaced = 0;
  for (std::uintptr_t i = 0; i < 1000; i++) NtSetIoCompletion(port, nullptr, word(i), STATUS_SUCCESS, 0);
  Batch batch;
  for (remove_packets(port, batch, 0); batch.status == STATUS_SUCCESS; remove_packets(port, batch, 0), calls++) {
    for (ULONG i = 0; i < batch.removed; i++) misplaced += batch.packets[i].ApcContext != word(came++);
  }
  prove(
      "port.batch", "send 1000 packets, take up to 256 a call", "1000 in 4 calls, 0 out of order",
      std::to_string(came) + " in " + std::to_string(calls) + " calls, " + std::to_string(misplaced) + " out of order");
}

// Each of four threads sends a wake and waits until it was seen: the latency is that of a wake, not of a
// queue.
std::string prove_wakes(HANDLE port) {
  constexpr std::uintptr_t threads = 4, wakes_per_thread = 2500, wakes = threads * wakes_per_thread;
  std::vector<Clock::time_point> sent(wakes);
  std::array<HANDLE, threads> seen{};  // not std::atomic::wait: GCC 12 for MinGW loses notifications
  std::vector<std::thread> wakers;
  for (std::uintptr_t thread = 0; thread < threads; thread++) {
    seen[thread] = CreateEventW(nullptr, FALSE, FALSE, nullptr);
    wakers.emplace_back([&, thread] {
      for (std::uintptr_t i = 0; i < wakes_per_thread; i++) {
        const std::uintptr_t id = thread * wakes_per_thread + i;
        sent[id] = Clock::now();
        if (id == 7777 && broken == "lose-wake") continue;
        const NTSTATUS status = NtSetIoCompletion(port, nullptr, word(id), STATUS_SUCCESS, 0);
        expect(status == STATUS_SUCCESS, hex(STATUS_SUCCESS) + " from NtSetIoCompletion", hex(status));
        WaitForSingleObject(seen[thread], INFINITE);
      }
    });
  }
  std::vector<double> latency_us(wakes, -1.0);
  std::uintptr_t came = 0;
  Batch batch;
  while (came < wakes) {
    remove_packets(port, batch, 2000);
    if (batch.status != STATUS_SUCCESS) break;
    const auto now = Clock::now();
    for (ULONG i = 0; i < batch.removed; i++, came++) {
      const auto id = reinterpret_cast<std::uintptr_t>(batch.packets[i].ApcContext);
      expect(id < wakes && latency_us[id] < 0, "each wake once", "wake " + std::to_string(id) + " again");
      latency_us[id] = std::chrono::duration<double, std::micro>(now - sent[id]).count();
      SetEvent(seen[id / wakes_per_thread]);
    }
  }
  const auto lost = std::ranges::find_if(latency_us, [](double us) { return us < 0; });
  expect(came == wakes, "10000 wakes from 4 threads",
         std::to_string(came) + "; wake " + std::to_string(lost - latency_us.begin()) + " was lost");
  for (auto& waker : wakers) waker.join();
  remove_packets(port, batch, 0);
  prove("port.wakes", "10000 wakes from 4 threads", "10000, each once, then an empty port",
        std::to_string(came) + ", each once, then " +
            (batch.status == STATUS_TIMEOUT ? "an empty port" : "one more packet"));
  std::ranges::sort(latency_us);
  const std::string median = figure("port.wake_median", "from wake to awake, median", latency_us[wakes / 2], "us");
  const std::string p99 = figure("port.wake_p99", "the same, 99th percentile", latency_us[wakes * 99 / 100], "us");
  expect(latency_us[wakes / 2] < 20'000, "to be awake at once, by the median within 20 ms", median);
  return "10000 wakes from 4 threads, none lost; from wake to awake median " + median + ", p99 " + p99;
}

}  // namespace

int main(int argc, char** argv) {
  parse(argc, argv);
  std::puts("stage0_wake: a thread sleeps on a completion port, another thread wakes it");
  const HANDLE port = create_port();
  prove_timeouts(port);
  prove_round_trip(port);
  prove_no_timeout(port);
  prove_batch(port);
  const std::string summary = prove_wakes(port);
  CloseHandle(port);
  conclude(true, summary);
}
