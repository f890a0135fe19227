// SPDX-License-Identifier: MIT
//
// stage3_stress: ten thousand connections, and requests cancelled at every awkward moment.
//
// What    While a poll is pending the kernel owns its IO_STATUS_BLOCK and will write to it. This gate proves when it
//         gives the block back: with the packet, always, and with nothing else, whatever the program does meanwhile.
// Why     A status block that is freed or used again too early is memory corruption that shows up anywhere; one that
//         is never given back is a leak. Cancelling is where programs get both wrong.
// How     Status blocks come from a fixed pool of 256 and go back on their packet only. Connections come in batches of
//         64, and each cancels its request at a moment of its own: before it is submitted, while it is pending, after
//         the event, in the same breath as the event, twice, after closesocket, or not at all.
// Passes  when every request that was submitted completed exactly once, every status block came back, and handles and
//         private bytes at the end are what they were after the first thousand connections.
//
// Single file, only system headers, nothing shared with the other gates or the library: read it from the top.

#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS  // the NTSTATUS values are declared here, as what they are
#include <winsock2.h>
// winsock2.h first
#include <mswsock.h>
#include <windows.h>
// then windows.h
#include <psapi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

// -- What ntdll and AFD offer: declared here, as no header of the SDK promises it --

using NTSTATUS = LONG;
constexpr NTSTATUS STATUS_SUCCESS = 0;
constexpr NTSTATUS STATUS_TIMEOUT = 0x102;
constexpr NTSTATUS STATUS_PENDING = 0x103;
constexpr NTSTATUS STATUS_INFO_LENGTH_MISMATCH = static_cast<NTSTATUS>(0xC0000004);
constexpr NTSTATUS STATUS_CANCELLED = static_cast<NTSTATUS>(0xC0000120);

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;

constexpr ULONG AFD_POLL_RECEIVE = 0x001;
constexpr ULONG AFD_POLL_DISCONNECT = 0x008;
constexpr ULONG AFD_POLL_ABORT = 0x010;

struct UNICODE_STRING {
  USHORT Length, MaximumLength;  // in bytes
  wchar_t* Buffer;
};

struct OBJECT_ATTRIBUTES {
  ULONG Length;
  HANDLE RootDirectory;
  UNICODE_STRING* ObjectName;
  ULONG Attributes;
  void *SecurityDescriptor, *SecurityQualityOfService;
};

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

struct AFD_POLL_HANDLE_INFO {
  HANDLE Handle;
  ULONG Events;
  NTSTATUS Status;
};

struct AFD_POLL_INFO {
  LARGE_INTEGER Timeout;  // in 100 ns; negative: from now; INT64_MAX: never
  ULONG NumberOfHandles;
  ULONG Exclusive;
  AFD_POLL_HANDLE_INFO Handles[1];  // the kernel takes any number
};

// What NtQuerySystemInformation(64) tells: every open handle of the system.
struct SYSTEM_HANDLE_INFORMATION_EX {
  ULONG_PTR NumberOfHandles, Reserved;
  struct {
    void* Object;
    ULONG_PTR UniqueProcessId, HandleValue;
    ULONG GrantedAccess;
    USHORT CreatorBackTraceIndex, ObjectTypeIndex;
    ULONG HandleAttributes, Reserved;
  } Handles[1];
};

static_assert(offsetof(SYSTEM_HANDLE_INFORMATION_EX, Handles) == 2 * sizeof(void*));
static_assert(sizeof(SYSTEM_HANDLE_INFORMATION_EX::Handles) == 16 + 3 * sizeof(void*));
static_assert(sizeof(OBJECT_ATTRIBUTES) == 6 * sizeof(void*));
static_assert(sizeof(IO_STATUS_BLOCK) == 2 * sizeof(void*));
static_assert(sizeof(FILE_IO_COMPLETION_INFORMATION) == 4 * sizeof(void*));
static_assert(sizeof(AFD_POLL_HANDLE_INFO) == 8 + sizeof(void*));
static_assert(offsetof(AFD_POLL_INFO, Handles) == 16);

// All of them exported by ntdll.dll since Windows Vista.
NTSTATUS(NTAPI* RtlGetVersion)(OSVERSIONINFOW* version);
NTSTATUS(NTAPI* NtRemoveIoCompletionEx)(HANDLE port, FILE_IO_COMPLETION_INFORMATION* entries, ULONG count,
                                        ULONG* removed, LARGE_INTEGER* timeout, BOOLEAN alertable);
NTSTATUS(NTAPI* NtCreateFile)(HANDLE* file, ACCESS_MASK access, OBJECT_ATTRIBUTES* attributes, IO_STATUS_BLOCK* iosb,
                              LARGE_INTEGER* size, ULONG file_attributes, ULONG share, ULONG disposition, ULONG options,
                              void* ea, ULONG ea_length);
NTSTATUS(NTAPI* NtDeviceIoControlFile)(HANDLE file, HANDLE event, void* apc, void* apc_context, IO_STATUS_BLOCK* iosb,
                                       ULONG code, void* in, ULONG in_length, void* out, ULONG out_length);
NTSTATUS(NTAPI* NtCancelIoFileEx)(HANDLE file, IO_STATUS_BLOCK* request, IO_STATUS_BLOCK* iosb);
NTSTATUS(NTAPI* NtQuerySystemInformation)(int what, void* buffer, ULONG length, ULONG* needed);

constexpr const char* usage =
    "usage: stage3_stress [--count N] [--csv FILE] [--json FILE] [--deadline SECONDS] [--break "
    "leak-handle|leak-block]\n"
    "Proves that each request completes exactly once, however it is cancelled, and that nothing leaks.\n"
    "  --count N            how many connections (default 10000, at least 2000)\n"
    "  --csv FILE           write a row per thousand connections: handles, private bytes, pending, cancelled\n"
    "  --json FILE          write the facts and figures that were found to FILE\n"
    "  --deadline SECONDS   FAIL when not done by then (default 300)\n"
    "  --break leak-handle  one socket in a hundred connections is not closed\n"
    "  --break leak-block   one status block in five hundred is not given back\n";

int connections = 10'000;
std::string csv_path;

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
  std::printf("%s stage3: %s\n", passed ? "PASS" : "FAIL", verdict.c_str());
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
  std::fprintf(file, "{\n  \"gate\": \"stage3_stress\",\n  \"system\": {\"windows\": \"%lu.%lu.%lu\", \"wine\": %s, ",
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
  int deadline_s = 300;
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
    else if (option == "--count") connections = number(option, value, 2000, 100'000'000);
    else if (option == "--csv") csv_path = value;
    else expect(false, "an option that --help lists, and its value", "'" + option + "'");
  }
  expect(broken.empty() || broken == "leak-handle" || broken == "leak-block", "one of --break leak-handle, leak-block",
         "'" + broken + "'");
  if (!path.empty()) open_json(path);
  start_watchdog(deadline_s);
}

// -- The port and the driver --

HANDLE port, helper;

void open_port_and_helper() {
  port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  std::wstring path = L"\\Device\\Afd\\reactor";
  const auto bytes = static_cast<USHORT>(path.size() * sizeof(wchar_t));
  UNICODE_STRING name{bytes, bytes, path.data()};
  OBJECT_ATTRIBUTES attributes{sizeof attributes, nullptr, &name, 0, nullptr, nullptr};
  IO_STATUS_BLOCK iosb{};
  const NTSTATUS status = NtCreateFile(&helper, SYNCHRONIZE, &attributes, &iosb, nullptr, 0,
                                       FILE_SHARE_READ | FILE_SHARE_WRITE, 1 /* FILE_OPEN */, 0, nullptr, 0);
  expect(status == STATUS_SUCCESS, "0x00000000 from NtCreateFile", hex(status));
  expect(CreateIoCompletionPort(helper, port, 0, 0) == port, "the helper handle to belong to the port", "an error");
}

// The handle AFD knows. Below a layered service provider that is not the value the program has: SIO_BASE_HANDLE tells,
// or where a provider breaks that on purpose, SIO_BSP_HANDLE_POLL, asked again for as long as the value changes.
SOCKET base_of(SOCKET socket) {
  SOCKET base = socket;
  DWORD bytes = 0;
  const auto ask = [&](SOCKET from, DWORD code) {
    return WSAIoctl(from, code, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr) == 0;
  };
  if (ask(socket, SIO_BASE_HANDLE)) return base;
  for (SOCKET layer = base = socket; ask(layer, SIO_BSP_HANDLE_POLL) && base != layer;) layer = base;
  return base;
}

// A request. The kernel owns it while it is out: from submit until its packet, whatever happens in between.
struct Request {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{};
  bool out = false;
};

std::array<Request, 256> pool;  // neither moves nor ends
std::deque<int> free_slots;     // used in turn, so that all of them get their share
int pending = 0, most_pending = 0, submitted = 0, completed = 0, cancelled = 0;

int take_slot() {
  expect(!free_slots.empty(), "a free status block", "none: all 256 are out");
  const int slot = free_slots.front();
  free_slots.pop_front();
  return slot;
}

void give_back(int slot) {
  static int given_back = 0;
  if (++given_back % 500 == 0 && broken == "leak-block") return;
  free_slots.push_back(slot);
}

NTSTATUS submit(int slot, SOCKET socket, ULONG events) {
  Request& request = pool[slot];
  request.info = {};
  request.info.Timeout.QuadPart = INT64_MAX;
  request.info.NumberOfHandles = 1;
  request.info.Handles[0] = {reinterpret_cast<HANDLE>(base_of(socket)), events, 0};
  request.iosb.Status = STATUS_PENDING;
  request.out = true;
  const NTSTATUS status = NtDeviceIoControlFile(helper, nullptr, nullptr, &request, &request.iosb, IOCTL_AFD_POLL,
                                                &request.info, sizeof request.info, &request.info, sizeof request.info);
  expect(status == STATUS_SUCCESS || status == STATUS_PENDING, "0x00000000 or 0x00000103 from AFD_POLL", hex(status));
  submitted++;
  most_pending = std::max(most_pending, ++pending);
  return status;
}

NTSTATUS cancel(int slot) {
  IO_STATUS_BLOCK iosb{};
  return NtCancelIoFileEx(helper, &pool[slot].iosb, &iosb);
}

// Takes packets until no request is out.
void drain() {
  while (pending > 0) {
    std::array<FILE_IO_COMPLETION_INFORMATION, 64> packets;
    ULONG removed = 0;
    LARGE_INTEGER timeout;
    timeout.QuadPart = -50'000'000;  // 5 s: negative is relative, in units of 100 ns
    const NTSTATUS status = NtRemoveIoCompletionEx(port, packets.data(), 64, &removed, &timeout, FALSE);
    expect(status == STATUS_SUCCESS, "every request to complete within 5 s", std::to_string(pending) + " that did not");
    for (ULONG i = 0; i < removed; i++) {
      const auto offset =
          reinterpret_cast<std::uintptr_t>(packets[i].ApcContext) - reinterpret_cast<std::uintptr_t>(&pool);
      expect(offset < sizeof pool && offset % sizeof(Request) == 0, "a packet for a block of the pool", hex(offset));
      Request& request = pool[offset / sizeof(Request)];
      expect(request.out, "each request to complete once",
             "a second packet for slot " + std::to_string(&request - pool.data()));
      request.iosb = packets[i].IoStatusBlock;
      request.out = false;
      pending--;
      completed++;
      cancelled += request.iosb.Status == STATUS_CANCELLED;
    }
  }
}

// -- Connections --

void check(bool ok, const char* what) { expect(ok, what, "error " + std::to_string(WSAGetLastError())); }

struct Loopback {
  SOCKET listener = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  sockaddr_in address{};

  Loopback() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int length = sizeof address;
    auto* where = reinterpret_cast<sockaddr*>(&address);
    check(bind(listener, where, length) == 0 && getsockname(listener, where, &length) == 0, "a loopback port");
    check(listen(listener, 128) == 0, "a listening socket");
  }

  void connect_pair(SOCKET& near_end, SOCKET& far_end) const {
    far_end = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
    check(connect(far_end, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "a loopback connection");
    near_end = accept(listener, nullptr, nullptr);
    check(near_end != INVALID_SOCKET, "the accepted end");
  }
};

// Closed so, a connection leaves no TIME_WAIT: with it, 10,000 of them would use up the ports of the system.
void reset(SOCKET& socket) {
  const linger abortive{1, 0};
  check(setsockopt(socket, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&abortive), sizeof abortive) == 0,
        "linger");
  check(closesocket(socket) == 0, "closesocket");
  socket = INVALID_SOCKET;
}

enum Moment {
  before_submit,
  while_pending,
  after_event,
  with_event,
  twice,
  after_close,
  never_closed,
  never_reset,
  moments
};

struct Case {
  const char *id, *what;
  std::map<std::string, int> outcomes;
};

std::array<Case, moments> cases{{
    {"cancel.before", "cancelled before it was submitted, then an event", {}},
    {"cancel.pending", "cancelled while pending", {}},
    {"cancel.after", "cancelled after the event, before its packet was taken", {}},
    {"cancel.with", "cancelled in the same breath as the event", {}},
    {"cancel.twice", "cancelled twice", {}},
    {"cancel.closed", "cancelled after closesocket", {}},
    {"close.pending", "closesocket while pending, no cancel", {}},
    {"reset.pending", "reset by the peer while pending, no cancel", {}},
}};

struct Connection {
  Moment moment;
  SOCKET near_end = INVALID_SOCKET, far_end = INVALID_SOCKET;
  int slot = 0;
  std::string cancels;
};

void send_byte(SOCKET socket) { check(send(socket, "x", 1, 0) == 1, "a byte sent"); }

// Submits the connection's request and does to it what its moment says.
void disturb(Connection& c) {
  const auto arm = [&] { submit(c.slot, c.near_end, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT); };
  const auto note_cancel = [&] { c.cancels += "cancel " + hex(cancel(c.slot)) + ", "; };
  if (c.moment == before_submit) note_cancel();
  if (c.moment == after_event) {
    send_byte(c.far_end);
    char byte;
    check(recv(c.near_end, &byte, 1, MSG_PEEK) == 1, "the byte to arrive");  // so the poll completes in the call
  }
  arm();
  switch (c.moment) {
    case before_submit: send_byte(c.far_end); break;
    case while_pending:
    case after_event: note_cancel(); break;
    case with_event:
      send_byte(c.far_end);
      note_cancel();
      break;
    case twice:
      note_cancel();
      note_cancel();
      break;
    case after_close:
      closesocket(std::exchange(c.near_end, INVALID_SOCKET));
      note_cancel();
      break;
    case never_closed: closesocket(std::exchange(c.near_end, INVALID_SOCKET)); break;
    case never_reset: reset(c.far_end); break;
    case moments: break;
  }
}

// 64 connections at once: disturbed in order, so that requests of all kinds are pending together, drained, closed.
void run_batch(const Loopback& loopback, int first, int count) {
  std::array<Connection, 64> batch{};
  for (int i = 0; i < count; i++) {
    Connection& c = batch[i];
    c.moment = static_cast<Moment>((first + i) % moments);
    c.slot = take_slot();
    loopback.connect_pair(c.near_end, c.far_end);
    disturb(c);
  }
  drain();
  for (int i = 0; i < count; i++) {
    Connection& c = batch[i];
    const Request& request = pool[c.slot];
    const ULONG mask =
        request.info.NumberOfHandles == 0 || request.iosb.Status != STATUS_SUCCESS ? 0 : request.info.Handles[0].Events;
    cases[c.moment].outcomes[c.cancels + "packet " + hex(request.iosb.Status) + " mask " + hex(mask)]++;
    give_back(c.slot);
    if (broken == "leak-handle" && (first + i) % 100 == 0) c.far_end = INVALID_SOCKET;
    // One in five goes the graceful way, and what was closed before it was drained; the rest leaves no TIME_WAIT.
    if ((first + i) % 5 != 0) {
      for (SOCKET* socket : {&c.near_end, &c.far_end}) {
        if (*socket != INVALID_SOCKET) reset(*socket);
      }
    }
    for (SOCKET socket : {c.near_end, c.far_end})
      if (socket != INVALID_SOCKET) closesocket(socket);
  }
}

// -- What the process holds --

int open_handles() {
  DWORD count = 0;
  GetProcessHandleCount(GetCurrentProcess(), &count);
  if (count != 0) return static_cast<int>(count);
  // Wine 8 says 0: count ours in the list of all handles of the system.
  static std::vector<char> buffer(1 << 20);
  ULONG needed = 0;
  while (NtQuerySystemInformation(64, buffer.data(), static_cast<ULONG>(buffer.size()), &needed) ==
         STATUS_INFO_LENGTH_MISMATCH) {
    buffer.resize(2 * buffer.size());
  }
  const auto& all = *reinterpret_cast<const SYSTEM_HANDLE_INFORMATION_EX*>(buffer.data());
  return static_cast<int>(std::count_if(all.Handles, all.Handles + all.NumberOfHandles, [](const auto& handle) {
    return handle.UniqueProcessId == GetCurrentProcessId();
  }));
}

long long private_bytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters);
  return static_cast<long long>(counters.PagefileUsage);  // what PrivateUsage is too, but Wine 8 leaves that at 0
}

// -- The proofs --

struct Sample {
  int handles = 0;
  long long bytes = 0;
};

Sample sample(int done, std::FILE* csv) {
  const Sample now{open_handles(), private_bytes()};
  if (csv != nullptr) std::fprintf(csv, "%d,%d,%lld,%d,%d\n", done, now.handles, now.bytes, most_pending, cancelled);
  const int every = std::max(1000, connections / 20'000 * 1000);
  if (done % every == 0 || done == connections) {
    std::printf("  %9d of %d: %d handles, %lld private bytes, %d pending at most, %d cancelled\n", done, connections,
                now.handles, now.bytes, most_pending, cancelled);
    std::fflush(stdout);
  }
  most_pending = 0;
  return now;
}

// What each moment has to come to; the rest is told, not judged.
void prove_outcomes() {
  const std::array<const char*, moments> must{"cancel 0xC0000225, packet 0x00000000 mask 0x00000001",
                                              "cancel 0x00000000, packet 0xC0000120 mask 0x00000000",
                                              "cancel 0xC0000225, packet 0x00000000 mask 0x00000001",
                                              "",
                                              "",
                                              "",
                                              "packet 0x00000000 mask 0x00000020",
                                              ""};
  for (int i = 0; i < moments; i++) {
    std::string all;
    for (const auto& [outcome, count] : cases[i].outcomes) all += (all.empty() ? "" : " or ") + outcome;
    if (*must[i] != 0) prove(cases[i].id, cases[i].what, must[i], all);
    else fact(cases[i].id, cases[i].what, all, i == with_event ? "figure" : "fact");
  }
}

std::string prove_stress() {
  std::FILE* csv = csv_path.empty() ? nullptr : std::fopen(csv_path.c_str(), "wb");
  expect(csv_path.empty() || csv != nullptr, "to write " + csv_path, std::strerror(errno));
  if (csv != nullptr) std::fputs("connections,handles,private_bytes,most_pending,cancelled\n", csv);
  for (int slot = 0; slot < 256; slot++) free_slots.push_back(slot);

  const Loopback loopback;
  Sample first, last;
  for (int done = 0; done < connections;) {
    const int next_row = std::min(connections, done / 1000 * 1000 + 1000);
    const int count = std::min(64, next_row - done);
    run_batch(loopback, done, count);
    done += count;
    if (done == next_row) last = sample(done, csv);
    if (done == 1000) first = last;
  }
  if (csv != nullptr) std::fclose(csv);
  closesocket(loopback.listener);
  prove_outcomes();
  figure("stress.cancelled", "packets with 0xC0000120 STATUS_CANCELLED", cancelled, "packets");
  fact("stress.once", "requests submitted and packets that came, each for one that was out",
       std::to_string(submitted) + ", " + std::to_string(completed));
  FILE_IO_COMPLETION_INFORMATION extra;
  ULONG removed = 0;
  LARGE_INTEGER at_once{};
  const NTSTATUS quiet = NtRemoveIoCompletionEx(port, &extra, 1, &removed, &at_once, FALSE);
  prove("stress.quiet", "the port after the last of them", hex(STATUS_TIMEOUT), hex(quiet));
  prove("stress.blocks", "status blocks of 256 that came back", "256", std::to_string(free_slots.size()));
  // A leak of one handle in a thousand connections is more than 8 by the end of ten thousand; less than that is the
  // system's own: a thread or an event that Winsock made meanwhile. 256 KiB likewise is under 32 bytes a connection.
  const int handles = last.handles - first.handles;
  const long long kib = (last.bytes - first.bytes) / 1024;
  figure("stress.handles", "handles at the end more than after the first thousand", handles, "handles");
  figure("stress.bytes", "private bytes at the end more than after the first thousand", static_cast<double>(kib),
         "KiB");
  expect(handles <= 8, "at most 8 handles more than after the first thousand", std::to_string(handles));
  expect(kib <= 256, "at most 256 KiB more than after the first thousand", std::to_string(kib) + " KiB");
  return std::to_string(completed) + " requests, each completed once; 256 of 256 blocks back; handles " +
         (handles < 0 ? "" : "+") + std::to_string(handles) + ", private bytes " + (kib < 0 ? "" : "+") +
         std::to_string(kib) + " KiB";
}

}  // namespace

int main(int argc, char** argv) {
  parse(argc, argv);
  std::puts("stage3_stress: ten thousand connections, requests cancelled at every awkward moment");
  resolve(NtRemoveIoCompletionEx, "NtRemoveIoCompletionEx");
  resolve(NtCreateFile, "NtCreateFile");
  resolve(NtDeviceIoControlFile, "NtDeviceIoControlFile");
  resolve(NtCancelIoFileEx, "NtCancelIoFileEx");
  resolve(NtQuerySystemInformation, "NtQuerySystemInformation");
  WSADATA data;
  expect(WSAStartup(MAKEWORD(2, 2), &data) == 0, "Winsock 2.2", "none");
  open_port_and_helper();
  const std::string summary = prove_stress();
  CloseHandle(helper);
  CloseHandle(port);
  conclude(true, summary);
}
