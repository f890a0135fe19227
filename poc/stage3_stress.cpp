// SPDX-License-Identifier: MIT
//
// stage3_stress: ten thousand connections, and polls cancelled at every awkward moment.
//
// What    While a poll is pending the kernel owns its OVERLAPPED and will write to it. This gate proves when the kernel
//         releases it: with the packet, always, and with nothing else, whatever the program does meanwhile.
// Why     Memory that is released too early is corrupted later; memory that is never released is a leak.
// How     Requests come from a pool of 256 and return to it by their packet only. Each connection cancels its poll at a
//         moment of its own: before submit, while pending, after the event or with it, twice, after closesocket, or
//         not.
// Passes  when every poll completed exactly once and nothing leaked: no request, no handle, no memory.
//
// Single file, only system headers, nothing shared with the other gates or the library. Read it from the top.

#include <winsock2.h>
// winsock2.h before all of these
#include <mswsock.h>
#include <psapi.h>
#include <windows.h>
#include <winternl.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>

namespace {

// -- AFD_POLL: in no header of the SDK (see stage1_accept) --

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;
constexpr ULONG events = 0x001 | 0x008 | 0x010;  // AFD_POLL_RECEIVE, AFD_POLL_DISCONNECT, AFD_POLL_ABORT

struct AFD_POLL_INFO {
  std::int64_t Timeout;  // in 100 ns; negative: from now; INT64_MAX: never
  ULONG NumberOfHandles, Exclusive;
  struct {
    HANDLE Handle;
    ULONG Events;
    NTSTATUS Status;
  } Handles[1];
};

// -- How this gate reports. A fact is a line `id asked -> answer`; "~" marks a figure, which differs from run to run --

using Text = const std::string&;
std::string hex(auto value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08lX", static_cast<unsigned long>(value));
  return text;
}

void expect(bool holds, Text expected, Text came = "error " + std::to_string(WSAGetLastError())) {
  if (holds) return;
  std::printf("FAIL stage3: expected %s, came %s\n", expected.c_str(), came.c_str());
  std::exit(1);
}

// Fails the gate if another answer was required.
void fact(Text id, Text asked, Text answer, Text required = "", char mark = ' ') {
  std::printf("%c %-27s %-64s -> %s\n", mark, id.c_str(), asked.c_str(), answer.c_str());
  std::fflush(stdout);
  expect(required.empty() || answer == required, required + " from: " + asked, answer);
}

// -- The port, the driver and the connections --

// A connection and its poll. The kernel owns the OVERLAPPED and `poll` while `pending`: from submit until the packet.
struct Connection : OVERLAPPED {
  AFD_POLL_INFO poll{};
  bool pending = false;
  SOCKET near_end = INVALID_SOCKET, far_end = INVALID_SOCKET;
  std::string cancels;
};

HANDLE port, helper;
std::string broken;              // --break WHAT
Connection pool[256];            // neither moves nor is released
std::deque<Connection*> unused;  // used in turn, so that each gets its share
int submitted = 0, completed = 0, cancelled = 0;
SOCKET listener;
sockaddr_in address{};

SOCKET tcp() { return WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED); }

void open_all() {
  WSADATA data;
  WSAStartup(MAKEWORD(2, 2), &data);
  port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\Device\\Afd\\reactor");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, 0, nullptr, nullptr);
  IO_STATUS_BLOCK iosb{};
  NtCreateFile(&helper, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0,
               nullptr, 0);
  expect(CreateIoCompletionPort(helper, port, 0, 0) == port, "a helper handle on the port");
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* where = reinterpret_cast<sockaddr*>(&address);
  int length = sizeof address;
  listener = tcp();
  expect(bind(listener, where, length) == 0 && getsockname(listener, where, &length) == 0, "a loopback port");
  expect(listen(listener, 128) == 0, "a listener");
  for (Connection& c : pool) unused.push_back(&c);
}

void submit(Connection& c) {
  SOCKET base = c.near_end;
  DWORD bytes = 0;
  WSAIoctl(base, SIO_BASE_HANDLE, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr);
  c.poll = {INT64_MAX, 1, 0, {{reinterpret_cast<HANDLE>(base), events, 0}}};
  c.pending = true;
  submitted++;
  const BOOL done =
      DeviceIoControl(helper, IOCTL_AFD_POLL, &c.poll, sizeof c.poll, &c.poll, sizeof c.poll, nullptr, &c);
  expect(done || GetLastError() == ERROR_IO_PENDING, "AFD_POLL to be accepted");
}

std::string cancel(Connection& c) {
  if (CancelIoEx(helper, &c)) return "cancelled, ";
  return GetLastError() == ERROR_NOT_FOUND ? "not found, " : "error " + std::to_string(GetLastError()) + ", ";
}

void drain() {  // until no poll is pending
  while (completed < submitted) {
    OVERLAPPED_ENTRY packet;
    ULONG removed = 0;
    const BOOL came = GetQueuedCompletionStatusEx(port, &packet, 1, &removed, 5000, FALSE);
    expect(came, "every poll to complete within 5 s", std::to_string(submitted - completed) + " that did not");
    auto* c = static_cast<Connection*>(packet.lpOverlapped);
    expect(c >= pool && c < pool + 256 && c->pending, "each poll to complete once", "another packet");
    c->pending = false;
    completed++;
    cancelled += static_cast<ULONG>(c->Internal) == 0xC0000120;  // STATUS_CANCELLED
  }
}

// Closed by a reset, a connection leaves no TIME_WAIT: 10,000 of those would use up the ports of the system.
void close_socket(SOCKET& socket, bool reset) {
  const linger abortive{1, 0};
  if (reset) setsockopt(socket, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&abortive), sizeof abortive);
  if (socket != INVALID_SOCKET) closesocket(std::exchange(socket, INVALID_SOCKET));
}

struct {
  const char *id, *what, *required;  // the other moments are reported, not judged
} const cases[8] = {
    {"cancel.before", "cancelled before submit, then an event", "not found, packet 0x00000000 mask 0x00000001"},
    {"cancel.pending", "cancelled while pending", "cancelled, packet 0xC0000120 mask 0x00000000"},
    {"cancel.after", "cancelled after the event", "not found, packet 0x00000000 mask 0x00000001"},
    {"cancel.with", "cancelled at the same time as the event", ""},
    {"cancel.twice", "cancelled twice", ""},
    {"cancel.closed", "cancelled after closesocket", ""},
    {"close.pending", "closesocket while pending, no cancel", "packet 0x00000000 mask 0x00000020"},
    {"reset.pending", "reset by the peer while pending, no cancel", ""},
};
std::string outcomes[8];

// Makes a connection, submits its poll and does to it what its moment says.
Connection* disturb(const std::string& moment) {
  expect(!unused.empty(), "an unused request", "none: all 256 are in use");
  Connection& c = *unused.front();
  unused.pop_front();
  c.far_end = tcp();
  expect(connect(c.far_end, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "a loopback connection");
  c.near_end = accept(listener, nullptr, nullptr);
  char byte = 'x';
  c.cancels = moment == "cancel.before" ? cancel(c) : "";
  if (moment == "cancel.after")  // wait for the byte, so that the poll completes in the call
    expect(send(c.far_end, &byte, 1, 0) == 1 && recv(c.near_end, &byte, 1, MSG_PEEK) == 1, "a byte to arrive");
  submit(c);
  if (moment == "cancel.before" || moment == "cancel.with") send(c.far_end, &byte, 1, 0);
  if (moment == "cancel.closed" || moment == "close.pending") close_socket(c.near_end, false);
  if (moment == "reset.pending") close_socket(c.far_end, true);
  if (moment.starts_with("cancel.") && moment != "cancel.before") c.cancels += cancel(c);
  if (moment == "cancel.twice") c.cancels += cancel(c);
  return &c;
}

void run_batch(int first) {  // 50 connections at once, so that polls of all kinds are pending together
  Connection* batch[50];
  for (int i = 0; i < 50; i++) batch[i] = disturb(cases[(first + i) % 8].id);
  drain();
  for (int i = first; i < first + 50; i++) {
    Connection& c = *batch[i - first];
    const ULONG mask = c.Internal == 0 ? c.poll.Handles[0].Events : 0;
    const std::string outcome = c.cancels + "packet " + hex(c.Internal) + " mask " + hex(mask);
    std::string& all = outcomes[i % 8];
    if (all.find(outcome) == std::string::npos) all += (all.empty() ? "" : " or ") + outcome;
    if (broken != "leak-block" || i % 500 != 0) unused.push_back(&c);
    if (broken == "leak-handle" && i % 100 == 0) c.far_end = INVALID_SOCKET;
    for (SOCKET* socket : {&c.near_end, &c.far_end}) close_socket(*socket, i % 5 != 0);  // one in five gracefully
  }
}

// Wine 8 has no GetProcessHandleCount: there, how many of the first numbers are open handles?
int open_handles() {
  DWORD count = 0, flags = 0;
  GetProcessHandleCount(GetCurrentProcess(), &count);
  if (count > 0) return static_cast<int>(count);
  for (ULONG_PTR i = 1; i < 2048; i++) count += GetHandleInformation(reinterpret_cast<HANDLE>(4 * i), &flags) != FALSE;
  return static_cast<int>(count);
}

int private_kib() {
  PROCESS_MEMORY_COUNTERS counters{};
  K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters);
  return static_cast<int>(counters.PagefileUsage / 1024);  // the private bytes
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && argv[1] == std::string("--break")) broken = argv[2];
  if (argc > 1 && broken != "leak-handle" && broken != "leak-block") {
    std::puts("usage: stage3_stress [--break leak-handle|leak-block]");
    return 1;
  }
  open_all();
  int handles = 0, kib = 0;
  for (int done = 0; done < 10'000; done += 50) {
    run_batch(done);
    if (done + 50 == 1000) handles = open_handles(), kib = private_kib();
  }
  handles = open_handles() - handles;
  kib = private_kib() - kib;
  for (int i = 0; i < 8; i++) {
    fact(cases[i].id, cases[i].what, outcomes[i], cases[i].required,
         cases[i].id == std::string("cancel.with") ? '~' : ' ');
  }
  fact("stress.once", "polls submitted, packets dequeued",
       std::to_string(submitted) + ", " + std::to_string(completed));
  OVERLAPPED_ENTRY packet;
  ULONG removed = 0;
  const BOOL more = GetQueuedCompletionStatusEx(port, &packet, 1, &removed, 0, FALSE);
  fact("stress.quiet", "the port after the last of them", more ? "a packet" : "nothing", "nothing");
  fact("stress.blocks", "requests of 256 that returned to the pool", std::to_string(unused.size()), "256");
  fact("stress.cancelled", "packets with 0xC0000120 STATUS_CANCELLED", std::to_string(cancelled) + " packets", "", '~');
  fact("stress.handles", "handles more than after the first thousand", std::to_string(handles) + " handles", "", '~');
  fact("stress.bytes", "private bytes more than after the first thousand", std::to_string(kib) + " KiB", "", '~');
  // A leak of one in a thousand is more than 8 here. Less is the system's own: a thread or an event of Winsock.
  expect(handles <= 8, "at most 8 handles more than after the first thousand", std::to_string(handles));
  expect(kib <= 256, "at most 256 KiB more than after the first thousand", std::to_string(kib) + " KiB");
  std::printf("PASS stage3: %d polls, each completed once; handles %+d, private bytes %+d KiB\n", completed, handles,
              kib);
}
