// SPDX-License-Identifier: MIT
//
// stage2_echo: a whole conversation on readiness alone, non-blocking recv and send at both ends.
//
// What    A client sends a megabyte, a server echoes it, one thread serves both ends through one port. Each end asks
//         AFD_POLL for just what it is waiting for (RECEIVE while it has room, SEND while it has bytes that did not
//         fit) and asks again after each answer.
// Why     A poll is one-shot. A loop that forgets to ask again goes dark; a loop that asks for what it does not want
//         spins. Both pass a test with a few bytes, so this one is long, its socket buffers are small, and it counts.
// How     Sockets with 4 KiB buffers, so that send really says "would block" and SEND is really waited for. Halfway the
//         client pauses: for half a second nothing may happen at all. At the end it half-closes, and so does the
//         server.
// Passes  when every byte is back with the same checksum, both ends saw DISCONNECT, both waited for SEND, a paused
//         connection costs no packet and no CPU time, and there were few packets per KiB.
//
// Single file, only system headers, nothing shared with the other gates or the library: read it from the top.

#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS  // the NTSTATUS values are declared here, as what they are
#include <winsock2.h>
// winsock2.h first
#include <mswsock.h>
#include <windows.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>

namespace {

// -- What ntdll and AFD offer: declared here, as no header of the SDK promises it --

using NTSTATUS = LONG;
constexpr NTSTATUS STATUS_SUCCESS = 0;
constexpr NTSTATUS STATUS_TIMEOUT = 0x102;
constexpr NTSTATUS STATUS_PENDING = 0x103;

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;

constexpr ULONG AFD_POLL_RECEIVE = 0x001;
constexpr ULONG AFD_POLL_SEND = 0x004;
constexpr ULONG AFD_POLL_DISCONNECT = 0x008;  // the peer sent FIN
constexpr ULONG AFD_POLL_ABORT = 0x010;       // the peer sent RST
constexpr ULONG AFD_POLL_ALL = AFD_POLL_RECEIVE | AFD_POLL_SEND | AFD_POLL_DISCONNECT | AFD_POLL_ABORT;

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

constexpr const char* usage =
    "usage: stage2_echo [--bytes N] [--json FILE] [--deadline SECONDS] [--break no-rearm|spin|drop-byte]\n"
    "Proves that AFD_POLL readiness carries a conversation: neither dark, nor spinning, every byte exact.\n"
    "  --bytes N           how much goes there and back (default 1048576, at least 65536)\n"
    "  --json FILE         write the facts and figures that were found to FILE\n"
    "  --deadline SECONDS  FAIL when not done by then (default 120)\n"
    "  --break no-rearm    the server is not armed again after its tenth packet\n"
    "  --break spin        both ends ask for SEND even when they have nothing to send\n"
    "  --break drop-byte   the server swallows one byte\n";

int total_bytes = 1'048'576;

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
  std::printf("%s stage2: %s\n", passed ? "PASS" : "FAIL", verdict.c_str());
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
  std::fprintf(file, "{\n  \"gate\": \"stage2_echo\",\n  \"system\": {\"windows\": \"%lu.%lu.%lu\", \"wine\": %s, ",
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
  int deadline_s = 120;
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
    else if (option == "--bytes") total_bytes = number(option, value, 65536, 1 << 30);
    else expect(false, "an option that --help lists, and its value", "'" + option + "'");
  }
  expect(broken.empty() || broken == "no-rearm" || broken == "spin" || broken == "drop-byte",
         "one of --break no-rearm, spin, drop-byte", "'" + broken + "'");
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

// One socket and its one request, which the kernel owns while `pending`: it must neither move nor end then.
struct Poll {
  SOCKET socket = INVALID_SOCKET;
  bool pending = false;
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{};
  int polls = 0, packets = 0;
};

void arm(Poll& poll, ULONG events, std::int64_t timeout = INT64_MAX) {
  poll.info = {};
  poll.info.Timeout.QuadPart = timeout;
  poll.info.NumberOfHandles = 1;
  poll.info.Handles[0] = {reinterpret_cast<HANDLE>(base_of(poll.socket)), events, 0};
  poll.iosb.Status = STATUS_PENDING;
  poll.pending = true;
  poll.polls++;
  const NTSTATUS status = NtDeviceIoControlFile(helper, nullptr, nullptr, &poll, &poll.iosb, IOCTL_AFD_POLL, &poll.info,
                                                sizeof poll.info, &poll.info, sizeof poll.info);
  expect(status == STATUS_SUCCESS || status == STATUS_PENDING, "0x00000000 or 0x00000103 from AFD_POLL", hex(status));
}

// The next poll to complete, or null when none does in time.
Poll* take(int timeout_ms) {
  FILE_IO_COMPLETION_INFORMATION packet{};
  ULONG removed = 0;
  LARGE_INTEGER timeout;
  timeout.QuadPart = std::int64_t{timeout_ms} * -10'000;  // negative: relative, in units of 100 ns
  const NTSTATUS status = NtRemoveIoCompletionEx(port, &packet, 1, &removed, &timeout, FALSE);
  if (status == STATUS_TIMEOUT) return nullptr;
  expect(status == STATUS_SUCCESS && removed == 1, "one packet", hex(status));
  auto* poll = static_cast<Poll*>(packet.ApcContext);
  expect(poll != nullptr && poll->pending, "a packet for a pending poll", "another");
  poll->pending = false;
  poll->packets++;
  return poll;
}

ULONG answer(const Poll& poll) { return poll.info.NumberOfHandles == 0 ? 0 : poll.info.Handles[0].Events; }

// What the socket is ready for within 500 ms.
ULONG wait_for(Poll& poll, ULONG events) {
  arm(poll, events, -5'000'000);
  expect(take(2000) == &poll, "a poll with a time-out to end", "no packet");
  return answer(poll);
}

// -- Sockets --

void check(bool ok, const char* what) { expect(ok, what, "error " + std::to_string(WSAGetLastError())); }

SOCKET tcp() {
  const SOCKET socket = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  check(socket != INVALID_SOCKET, "a TCP socket");
  // Set before connect, as the window is agreed on there. No Nagle, and sends of at most half of the send buffer: else
  // a send that fills the buffer waits for an acknowledgement that Windows delays.
  const auto set = [socket](int level, int option, int value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    check(setsockopt(socket, level, option, bytes, sizeof value) == 0, "a socket option");
  };
  set(SOL_SOCKET, SO_SNDBUF, 4096);
  set(SOL_SOCKET, SO_RCVBUF, 16384);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  return socket;
}

void connect_pair(SOCKET& client, SOCKET& server) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* where = reinterpret_cast<sockaddr*>(&address);
  int length = sizeof address;
  const SOCKET listener = tcp();
  check(bind(listener, where, length) == 0 && getsockname(listener, where, &length) == 0, "a loopback port");
  check(listen(listener, 1) == 0, "a listening socket");
  client = tcp();
  check(connect(client, where, length) == 0, "a loopback connection");
  server = accept(listener, nullptr, nullptr);
  check(server != INVALID_SOCKET, "the accepted end");
  closesocket(listener);
  u_long on = 1;
  for (SOCKET socket : {client, server})
    check(ioctlsocket(socket, static_cast<long>(FIONBIO), &on) == 0, "non-blocking");
}

// -- The two ends --

struct Stream {
  int bytes = 0, would_block = 0;
  std::uint64_t checksum = 0xCBF29CE484222325;  // FNV-1a

  void add(const char* data, int count) {
    for (int i = 0; i < count; i++) checksum = (checksum ^ static_cast<unsigned char>(data[i])) * 0x100000001B3;
    bytes += count;
  }
  [[nodiscard]] std::string text() const { return std::to_string(bytes) + " bytes, checksum " + hex(checksum); }
};

struct End : Poll {
  Stream in, out;
  bool peer_finished = false, finished = false;
  int saw_send = 0, saw_disconnect = 0;  // packets that said so
  std::array<char, 4096> data{};         // of the server: what came and has not gone back yet
  int held = 0;
};

// One recv; false when the other side has finished.
bool receive(End& end, char* into, int room, int& got) {
  got = recv(end.socket, into, room, 0);
  if (got > 0) end.in.add(into, got);
  if (got >= 0) return got > 0;
  check(WSAGetLastError() == WSAEWOULDBLOCK, "recv to succeed or to say would-block");
  end.in.would_block++;
  got = 0;
  return true;
}

int send_some(End& end, const char* from, int count) {
  const int sent = send(end.socket, from, count, 0);
  if (sent >= 0) {
    end.out.add(from, sent);
    return sent;
  }
  check(WSAGetLastError() == WSAEWOULDBLOCK, "send to succeed or to say would-block");
  end.out.would_block++;
  return 0;
}

void finish(End& end) {
  if (!end.finished) check(shutdown(end.socket, SD_SEND) == 0, "a half-close");
  end.finished = true;
}

char pattern(int position) { return static_cast<char>((static_cast<std::uint32_t>(position) * 2654435761u) >> 24); }

// Sends up to `goal`, but reads slowly, one recv of 1 KiB a turn, so that the server has to wait for SEND as well.
// Returns what to ask for next.
ULONG run_client(End& client, int goal) {
  std::array<char, 2048> chunk;
  for (int count = 1; count > 0 && client.out.bytes < goal;) {
    count = std::min(static_cast<int>(chunk.size()), goal - client.out.bytes);
    for (int i = 0; i < count; i++) chunk[i] = pattern(client.out.bytes + i);
    count = send_some(client, chunk.data(), count);
  }
  if (client.out.bytes == total_bytes) finish(client);
  int got = 0;
  client.peer_finished = client.peer_finished || !receive(client, chunk.data(), 1024, got);
  return (client.peer_finished ? 0 : AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT) |
         (client.out.bytes < goal ? AFD_POLL_SEND : 0);
}

// Echoes: takes, by one recv a turn, no more than it has room for, and gives back what it holds until send would block.
// Returns what to ask for next.
ULONG run_server(End& server) {
  int got = 0;
  const int room = static_cast<int>(server.data.size()) - server.held;
  if (room > 0 && !server.peer_finished) {
    server.peer_finished = !receive(server, server.data.data() + server.held, room, got);
    server.held += got;
    if (broken == "drop-byte" && got > 0 && server.in.bytes == got) server.held--;
  }
  for (int sent = 1; sent > 0 && server.held > 0;) {
    sent = send_some(server, server.data.data(), std::min(server.held, 2048));
    server.held -= sent;
    std::memmove(server.data.data(), server.data.data() + sent, static_cast<std::size_t>(server.held));
  }
  if (server.peer_finished && server.held == 0) finish(server);
  const bool has_room = server.held < static_cast<int>(server.data.size());
  return (server.peer_finished || !has_room ? 0 : AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT) |
         (server.held > 0 ? AFD_POLL_SEND : 0);
}

// -- The proofs --

struct Echo {
  End client, server;
  int goal = 0;

  // Let an end do what it can, then ask for what it now waits for.
  void run(End& end) {
    ULONG events = &end == &client ? run_client(client, goal) : run_server(server);
    if (broken == "spin" && !end.finished) events |= AFD_POLL_SEND;
    if (broken == "no-rearm" && &end == &server && server.packets >= 10) return;
    if (events != 0 && !end.pending) arm(end, events | AFD_POLL_ABORT);
  }

  // One packet; false when none came in time.
  bool step(int timeout_ms) {
    auto* end = static_cast<End*>(take(timeout_ms));
    if (end == nullptr) return false;
    end->saw_send += (answer(*end) & AFD_POLL_SEND) != 0;
    end->saw_disconnect += (answer(*end) & AFD_POLL_DISCONNECT) != 0;
    run(*end);
    return true;
  }

  void step_until(auto done) {
    while (!done()) {
      expect(step(10'000), "a packet within 10 s",
             "none: the loop went dark with " + std::to_string(client.in.bytes) + " of " + std::to_string(goal) +
                 " bytes back");
    }
  }
};

double cpu_ms() {
  FILETIME created, exited, kernel, user;
  GetProcessTimes(GetCurrentProcess(), &created, &exited, &kernel, &user);
  const auto ticks = [](FILETIME time) { return (std::uint64_t{time.dwHighDateTime} << 32) | time.dwLowDateTime; };
  return static_cast<double>(ticks(kernel) + ticks(user)) / 10'000;
}

void prove_idle(Echo& echo) {
  using namespace std::chrono;
  const auto until = steady_clock::now() + milliseconds(500);
  const double before_ms = cpu_ms();
  int packets = 0;
  for (auto left = milliseconds(500); left.count() > 0; left = ceil<milliseconds>(until - steady_clock::now())) {
    packets += echo.step(static_cast<int>(left.count()));
  }
  const double used_ms = cpu_ms() - before_ms;
  prove("idle.packets", "paused half-way for 500 ms, both ends armed: packets", "0", std::to_string(packets));
  const std::string used = figure("idle.cpu", "CPU time used meanwhile", used_ms, "ms");
  expect(used_ms < 31.3, "less CPU time while idle than two ticks of the clock that counts it", used);
}

std::string prove_echo() {
  Echo echo;
  End &client = echo.client, &server = echo.server;
  connect_pair(client.socket, server.socket);
  echo.goal = total_bytes / 2;
  echo.run(server);
  echo.run(client);
  echo.step_until([&] {
    return client.out.bytes == echo.goal && server.in.bytes == echo.goal && server.held == 0 &&
           client.in.bytes == server.out.bytes;
  });
  prove_idle(echo);
  echo.goal = total_bytes;
  echo.run(client);  // its poll is pending, for RECEIVE alone; what comes back will complete it
  echo.step_until([&] { return client.peer_finished && server.peer_finished; });
  prove("echo.to_server", "the server received", client.out.text(), server.in.text());
  prove("echo.to_client", "the client received", client.out.text(), client.in.text());

  const int packets = client.packets + server.packets, polls = client.polls + server.polls;
  const double per_kib = packets / (total_bytes / 1024.0);
  figure("echo.polls", "AFD_POLL requests", polls, "calls");
  figure("echo.packets", "packets that came for them", packets, "packets");
  const std::string density = figure("echo.packets_per_kib", "packets for each KiB of payload", per_kib, "packets");
  figure("echo.recv_would_block", "recv said would-block", client.in.would_block + server.in.would_block, "times");
  figure("echo.send_would_block", "send said would-block", client.out.would_block + server.out.would_block, "times");
  // Each turn moves 1 KiB or so: there and back, in and out, that is 4 turns for a KiB.
  expect(per_kib <= 4, "at most 4 packets per KiB", density);
  for (const End* end : {&client, &server}) {
    const std::string name = end == &client ? "client" : "server";
    const int sends = end->saw_send, disconnects = end->saw_disconnect;
    figure("echo." + name + "_send", "packets that told the " + name + " of SEND", sends, "packets");
    expect(sends > 0 && end->out.would_block > 0, "the " + name + " to wait for SEND",
           std::to_string(sends) + " packets");
    prove("end." + name + "_disconnect", "was the " + name + " told of DISCONNECT by a packet?", "yes",
          disconnects > 0 ? "yes" : "no");
  }
  for (End* end : {&client, &server}) {
    const std::string name = end == &client ? "client" : "server";
    prove("end." + name, "the " + name + " after both half-closed, asked for RECEIVE|DISCONNECT",
          hex(AFD_POLL_DISCONNECT), hex(wait_for(*end, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT)));
    fact("end." + name + "_all", "asked for everything", hex(wait_for(*end, AFD_POLL_ALL)));
  }
  for (End* end : {&client, &server}) closesocket(end->socket);
  return std::to_string(total_bytes) + " bytes there and back, exact; " + density + " per KiB, none while idle";
}

void prove_endings() {
  Poll poll;
  SOCKET peer = INVALID_SOCKET;
  connect_pair(poll.socket, peer);
  check(send(peer, "x", 1, 0) == 1 && shutdown(peer, SD_SEND) == 0, "a byte and a FIN");
  fact("fin.behind_data", "a byte and a FIN behind it: asked for DISCONNECT alone",
       hex(wait_for(poll, AFD_POLL_DISCONNECT)));
  fact("fin.data", "asked for RECEIVE|DISCONNECT", hex(wait_for(poll, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT)));
  char byte = 0;
  check(recv(poll.socket, &byte, 1, 0) == 1, "the byte");
  const ULONG fin = wait_for(poll, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT);
  prove("fin.alone", "the byte read: the same question", hex(AFD_POLL_DISCONNECT), hex(fin));
  check(shutdown(poll.socket, SD_SEND) == 0, "a half-close of our own");
  fact("fin.both", "half-closed by us as well: asked for everything", hex(wait_for(poll, AFD_POLL_ALL)));
  for (SOCKET socket : {poll.socket, peer}) closesocket(socket);

  connect_pair(poll.socket, peer);
  const linger abortive{1, 0};
  check(setsockopt(peer, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&abortive), sizeof abortive) == 0,
        "linger");
  closesocket(peer);
  const ULONG mask = AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT;
  const ULONG reset = wait_for(poll, mask);
  prove("reset.mask", "the peer reset: asked for RECEIVE|DISCONNECT|ABORT, ABORT is in", hex(reset | AFD_POLL_ABORT),
        hex(reset));
  const int got = recv(poll.socket, &byte, 1, 0);
  fact("reset.recv", "recv after that",
       got == -1 ? "error " + std::to_string(WSAGetLastError()) : "returns " + std::to_string(got));
  closesocket(poll.socket);
}

}  // namespace

int main(int argc, char** argv) {
  parse(argc, argv);
  std::puts("stage2_echo: a whole conversation on readiness alone");
  resolve(NtRemoveIoCompletionEx, "NtRemoveIoCompletionEx");
  resolve(NtCreateFile, "NtCreateFile");
  resolve(NtDeviceIoControlFile, "NtDeviceIoControlFile");
  WSADATA data;
  expect(WSAStartup(MAKEWORD(2, 2), &data) == 0, "Winsock 2.2", "none");
  open_port_and_helper();
  prove_endings();
  const std::string summary = prove_echo();
  CloseHandle(helper);
  CloseHandle(port);
  conclude(true, summary);
}
