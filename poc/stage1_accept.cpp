// SPDX-License-Identifier: MIT
//
// stage1_accept: AFD_POLL tells of a connection on a listening socket, through a completion port.
//
// What    \Device\Afd is the driver behind every Windows socket, and AFD_POLL is its readiness request: "complete
//         when one of these sockets is in one of these states". select and WSAPoll are made of it. This gate proves
//         that a program may send it by itself, that its completion arrives at a port, and how it behaves.
// Why     It is the one bridge from readiness to completion ports, and none of it is documented.
// How     Two ways. Through a helper handle: a file opened on \Device\Afd\... that belongs to the port and carries
//         the requests for any number of sockets. Or directly: the socket itself belongs to the port and carries its
//         own request. A request names sockets by their base handle, the one below any layered service provider.
// Passes  when both ways report a connection as AFD_POLL_ACCEPT, a poll is one-shot until it is armed again, a refused
//         connect is AFD_POLL_CONNECT_FAIL with its reason, and one request with three sockets names the two ready.
//
// Single file, only system headers, nothing shared with the other gates or the library: read it from the top.

#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#define WIN32_NO_STATUS  // the NTSTATUS values are declared here, as what they are
#include <winsock2.h>
// winsock2.h before all of these
#include <mswsock.h>
#include <windows.h>
#include <ws2tcpip.h>

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
constexpr NTSTATUS STATUS_CONNECTION_REFUSED = static_cast<NTSTATUS>(0xC0000236);

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;

constexpr ULONG AFD_POLL_RECEIVE = 0x001;
constexpr ULONG AFD_POLL_SEND = 0x004;
constexpr ULONG AFD_POLL_ABORT = 0x010;
constexpr ULONG AFD_POLL_CONNECT = 0x040;
constexpr ULONG AFD_POLL_ACCEPT = 0x080;
constexpr ULONG AFD_POLL_CONNECT_FAIL = 0x100;
constexpr ULONG AFD_POLL_ALL = 0x1FF;

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
  AFD_POLL_HANDLE_INFO Handles[3];  // the kernel takes any number
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
    "usage: stage1_accept [--json FILE] [--deadline SECONDS] [--break no-arm]\n"
    "Proves that AFD_POLL reports a connection on a listening socket through a completion port.\n"
    "  --json FILE         write the facts and figures that were found to FILE\n"
    "  --deadline SECONDS  FAIL when not done by then (default 60)\n"
    "  --break no-arm      the first request is never sent: the gate has to notice\n";

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
  std::printf("%s stage1: %s\n", passed ? "PASS" : "FAIL", verdict.c_str());
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
  std::fprintf(file, "{\n  \"gate\": \"stage1_accept\",\n  \"system\": {\"windows\": \"%lu.%lu.%lu\", \"wine\": %s, ",
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
  expect(broken.empty() || broken == "no-arm", "one of --break no-arm", "'" + broken + "'");
  if (!path.empty()) open_json(path);
  start_watchdog(deadline_s);
}

// -- The port and the driver --

void* word(std::uintptr_t value) { return reinterpret_cast<void*>(value); }

enum Key : std::uintptr_t { key_helper = 0xA1, key_direct = 0xD1 };

HANDLE create_port() {
  const HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  expect(port != nullptr, "a completion port", "error " + std::to_string(GetLastError()));
  return port;
}

NTSTATUS open_afd(HANDLE& file, const wchar_t* path) {
  std::wstring text = path;
  const auto bytes = static_cast<USHORT>(text.size() * sizeof(wchar_t));
  UNICODE_STRING name{bytes, bytes, text.data()};
  OBJECT_ATTRIBUTES attributes{sizeof attributes, nullptr, &name, 0, nullptr, nullptr};
  IO_STATUS_BLOCK iosb{};
  return NtCreateFile(&file, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
                      1 /* FILE_OPEN */, 0, nullptr, 0);
}

bool belong(HANDLE file, HANDLE port, Key key) { return CreateIoCompletionPort(file, port, key, 0) == port; }

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

// One request. The kernel owns it from submit until its packet: it must neither move nor end before.
struct Poll {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{};

  void list(SOCKET socket, ULONG events) {
    info.Handles[info.NumberOfHandles++] = {reinterpret_cast<HANDLE>(base_of(socket)), events, 0};
  }
  // What the kernel reports of its first entry.
  [[nodiscard]] ULONG answer() const { return info.NumberOfHandles == 0 ? 0 : info.Handles[0].Events; }
};

constexpr std::int64_t never = INT64_MAX;

NTSTATUS submit(HANDLE file, Poll& poll, void* context, std::int64_t timeout = never) {
  poll.info.Timeout.QuadPart = timeout;
  poll.iosb.Status = STATUS_PENDING;
  const auto bytes =
      static_cast<ULONG>(offsetof(AFD_POLL_INFO, Handles) + poll.info.NumberOfHandles * sizeof(AFD_POLL_HANDLE_INFO));
  return NtDeviceIoControlFile(file, nullptr, nullptr, context, &poll.iosb, IOCTL_AFD_POLL, &poll.info, bytes,
                               &poll.info, bytes);
}

// One packet, or STATUS_TIMEOUT in `waited`.
struct Packet : FILE_IO_COMPLETION_INFORMATION {
  NTSTATUS waited = STATUS_SUCCESS;
};

Packet take(HANDLE port, int timeout_ms = 2000) {
  Packet packet{};
  ULONG removed = 0;
  LARGE_INTEGER timeout;
  timeout.QuadPart = std::int64_t{timeout_ms} * -10'000;  // negative: relative, in units of 100 ns
  packet.waited = NtRemoveIoCompletionEx(port, &packet, 1, &removed, &timeout, FALSE);
  return packet;
}

// What `socket` is ready for now, by a poll that does not wait. Even so its packet is queued.
ULONG ready_now(HANDLE helper, HANDLE port, SOCKET socket, ULONG events) {
  Poll poll;
  poll.list(socket, events);
  const NTSTATUS status = submit(helper, poll, &poll, 0);
  expect(status == STATUS_SUCCESS || status == STATUS_PENDING, "a poll that does not wait to end well", hex(status));
  const Packet packet = take(port);
  expect(packet.ApcContext == &poll, "the packet of a poll that does not wait", hex(packet.waited));
  return poll.answer();
}

// -- Sockets --

SOCKET tcp() {
  const SOCKET socket = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  expect(socket != INVALID_SOCKET, "a TCP socket", "error " + std::to_string(WSAGetLastError()));
  return socket;
}

void bind_loopback(SOCKET socket, sockaddr_in& address) {
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int length = sizeof address;
  const bool bound = bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  expect(bound, "a loopback port", "error " + std::to_string(WSAGetLastError()));
}

SOCKET listening(sockaddr_in& address) {
  const SOCKET socket = tcp();
  bind_loopback(socket, address);
  expect(listen(socket, 16) == 0, "a listening socket", "error " + std::to_string(WSAGetLastError()));
  return socket;
}

int connect_to(SOCKET socket, const sockaddr_in& address) {
  return connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : WSAGetLastError();
}

SOCKET connected(const sockaddr_in& address) {
  const SOCKET socket = tcp();
  const int error = connect_to(socket, address);
  expect(error == 0, "a loopback connection", "error " + std::to_string(error));
  return socket;
}

void set_nonblocking(SOCKET socket) {
  u_long on = 1;
  expect(ioctlsocket(socket, static_cast<long>(FIONBIO), &on) == 0, "a non-blocking socket", "an error");
}

// -- The proofs --

HANDLE prove_helper(HANDLE port) {
  HANDLE helper = nullptr, bare = nullptr;
  const NTSTATUS status = open_afd(helper, L"\\Device\\Afd\\reactor");
  prove("afd.open", R"(NtCreateFile \Device\Afd\reactor)", hex(STATUS_SUCCESS), hex(status));
  fact("afd.open_bare", "NtCreateFile \\Device\\Afd, no suffix", hex(open_afd(bare, L"\\Device\\Afd")));
  if (bare != nullptr) CloseHandle(bare);
  const bool belongs = belong(helper, port, key_helper);
  prove("afd.belongs", "let that helper handle belong to the port", "yes", belongs ? "yes" : "no");
  return helper;
}

// What the two ways to find the base socket answer here; base_of goes by them.
void prove_base() {
  const SOCKET socket = tcp();
  const auto ask = [socket](const char* id, const char* name, DWORD code) {
    SOCKET base = INVALID_SOCKET;
    DWORD bytes = 0;
    const bool ok = WSAIoctl(socket, code, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr) == 0;
    fact(id, std::string("WSAIoctl ") + name + " on a socket",
         !ok              ? "error " + std::to_string(WSAGetLastError())
         : base == socket ? "the socket itself"
                          : "another handle");
    return ok;
  };
  const bool base = ask("base.handle", "SIO_BASE_HANDLE", SIO_BASE_HANDLE);
  const bool fall_back = ask("base.poll", "SIO_BSP_HANDLE_POLL", SIO_BSP_HANDLE_POLL);
  expect(base || fall_back, "a base handle by one of the two", "neither");
  closesocket(socket);
}

void prove_accept(HANDLE port, HANDLE helper) {
  sockaddr_in address;
  const SOCKET listener = listening(address);
  Poll poll;
  poll.list(listener, AFD_POLL_ACCEPT | AFD_POLL_RECEIVE);
  const NTSTATUS armed = broken == "no-arm" ? STATUS_PENDING : submit(helper, poll, &poll);
  prove("accept.arm", "AFD_POLL for ACCEPT through the helper, nobody there", hex(STATUS_PENDING), hex(armed));
  prove("accept.quiet", "the port, before anybody connects", hex(STATUS_TIMEOUT), hex(take(port, 0).waited));
  const SOCKET first = connected(address);
  Packet packet = take(port);
  prove("accept.packet", "a client connects: wait for the packet", hex(STATUS_SUCCESS), hex(packet.waited));
  expect(packet.KeyContext == word(key_helper) && packet.ApcContext == &poll, "the helper's key and our context",
         "others");
  prove("accept.status", "its status", hex(STATUS_SUCCESS), hex(packet.IoStatusBlock.Status));
  prove("accept.mask", "the mask it reports", hex(AFD_POLL_ACCEPT), hex(poll.answer()));
  fact("accept.information", "its Information: 16 bytes and an entry",
       std::to_string(packet.IoStatusBlock.Information));
  const SOCKET second = connected(address);
  prove("oneshot.quiet", "a second client, not armed again: wait 200 ms", hex(STATUS_TIMEOUT),
        hex(take(port, 200).waited));
  prove("oneshot.rearm", "armed again: what is ready completes in the call", hex(STATUS_SUCCESS),
        hex(submit(helper, poll, &poll)));
  packet = take(port);
  prove("oneshot.packet", "and its packet is queued all the same", hex(STATUS_SUCCESS), hex(packet.waited));
  prove("accept.null_context", "the same with a null context", hex(STATUS_SUCCESS), hex(submit(helper, poll, nullptr)));
  fact("accept.null_context_packet", "is a packet queued then?",
       take(port, 200).waited == STATUS_TIMEOUT ? "no" : "yes");
  for (SOCKET socket : {listener, first, second}) closesocket(socket);
}

void prove_skip(HANDLE port) {
  HANDLE helper = nullptr;
  open_afd(helper, L"\\Device\\Afd\\reactor-skip");
  expect(belong(helper, port, key_helper), "a second helper handle on the port", "none");
  const bool set = SetFileCompletionNotificationModes(helper, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) != FALSE;
  fact("skip.set", "FILE_SKIP_COMPLETION_PORT_ON_SUCCESS on a helper handle",
       set ? "accepted" : "error " + std::to_string(GetLastError()));
  sockaddr_in address;
  const SOCKET listener = listening(address), client = connected(address);
  Poll poll;
  poll.list(listener, AFD_POLL_ACCEPT);
  while (submit(helper, poll, &poll) == STATUS_PENDING) take(port);  // until the connection has arrived
  const bool silent = take(port, 200).waited == STATUS_TIMEOUT;
  fact("skip.inline", "a poll that completes in the call: is a packet queued?", silent ? "no" : "yes");
  closesocket(accept(listener, nullptr, nullptr));
  const NTSTATUS status = submit(helper, poll, &poll);
  const SOCKET late = connected(address);
  const Packet packet = take(port);
  prove("skip.pending", "one that had to wait still brings its packet",
        hex(STATUS_PENDING) + " then " + hex(STATUS_SUCCESS), hex(status) + " then " + hex(packet.waited));
  for (SOCKET socket : {listener, client, late}) closesocket(socket);
  CloseHandle(helper);
}

void prove_timeouts(HANDLE port, HANDLE helper) {
  sockaddr_in address;
  const SOCKET listener = listening(address);
  const ULONG ready = ready_now(helper, port, listener, AFD_POLL_ACCEPT);
  prove("timeout.zero", "Timeout 0 on an idle listener: what is ready", hex(ULONG{0}), hex(ready));
  Poll poll;
  poll.list(listener, AFD_POLL_ACCEPT);
  submit(helper, poll, &poll, -500'000);
  const Packet packet = take(port);
  prove("timeout.relative", "Timeout of 50 ms: status and number of entries", hex(STATUS_TIMEOUT) + ", 0",
        hex(packet.IoStatusBlock.Status) + ", " + std::to_string(poll.info.NumberOfHandles));
  closesocket(listener);
}

void prove_connect(HANDLE port, HANDLE helper) {
  sockaddr_in refusing, accepting;
  const SOCKET silent = tcp(), refused = tcp(), accepted = tcp(), idle = tcp();
  bind_loopback(silent, refusing);  // bound, never listening: a connect to it is refused
  const SOCKET listener = listening(accepting);
  set_nonblocking(refused);
  set_nonblocking(accepted);
  const int error = connect_to(refused, refusing);
  prove("connect.start", "a non-blocking connect to where nobody listens: error", std::to_string(WSAEWOULDBLOCK),
        std::to_string(error));
  Poll poll;
  poll.list(refused, AFD_POLL_SEND | AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL);
  const auto before = std::chrono::steady_clock::now();
  submit(helper, poll, &poll);
  const Packet packet = take(port, 10'000);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  prove("refused.packet", "its packet", hex(STATUS_SUCCESS), hex(packet.waited));
  prove("refused.mask", "the mask it reports, with CONNECT_FAIL", hex(poll.answer() | AFD_POLL_CONNECT_FAIL),
        hex(poll.answer()));
  prove("refused.status", "the status beside the mask", hex(STATUS_CONNECTION_REFUSED),
        hex(poll.info.Handles[0].Status));
  int so_error = 0, length = sizeof so_error;
  getsockopt(refused, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&so_error), &length);
  fact("refused.so_error", "SO_ERROR", std::to_string(so_error));
  figure("refused.took", "how long until a refusal is known", took.count(), "ms");

  connect_to(accepted, accepting);
  poll = {};
  poll.list(accepted, AFD_POLL_SEND | AFD_POLL_CONNECT_FAIL);
  if (submit(helper, poll, &poll) >= 0) take(port);
  const ULONG mask = ready_now(helper, port, accepted, AFD_POLL_SEND | AFD_POLL_CONNECT);
  prove("connected.mask", "a connect that succeeded, asked for SEND|CONNECT", hex(AFD_POLL_SEND | AFD_POLL_CONNECT),
        hex(mask));
  prove("connected.again", "asked again: CONNECT never goes away", hex(AFD_POLL_CONNECT),
        hex(ready_now(helper, port, accepted, AFD_POLL_CONNECT)));
  fact("never_connected.mask", "a socket that never connected, asked for everything",
       hex(ready_now(helper, port, idle, AFD_POLL_ALL)));
  for (SOCKET socket : {silent, refused, accepted, idle, listener}) closesocket(socket);
}

void prove_many(HANDLE port, HANDLE helper) {
  std::array<sockaddr_in, 3> addresses;
  std::array<SOCKET, 3> listeners, clients{};
  for (std::size_t i = 0; i < 3; i++) listeners[i] = listening(addresses[i]);
  for (std::size_t i : {0, 2}) {
    clients[i] = connected(addresses[i]);
    while (ready_now(helper, port, listeners[i], AFD_POLL_ACCEPT) == 0) {
    }
  }
  Poll poll;
  for (SOCKET listener : listeners) poll.list(listener, AFD_POLL_ACCEPT);
  submit(helper, poll, &poll);
  const Packet packet = take(port);
  prove("many.entries", "one request with three listeners, the 1st and 3rd ready: entries", "2",
        std::to_string(poll.info.NumberOfHandles));
  const auto is = [&](int entry, int listener) {
    return poll.info.Handles[entry].Handle == reinterpret_cast<HANDLE>(base_of(listeners[listener]));
  };
  prove("many.packed", "they are packed to the front, in the order asked", "yes", is(0, 0) && is(1, 2) ? "yes" : "no");
  fact("many.information", "its Information: 16 bytes and two entries",
       std::to_string(packet.IoStatusBlock.Information));
  for (SOCKET socket : {listeners[0], listeners[1], listeners[2], clients[0], clients[2]}) closesocket(socket);
}

void prove_bad_handles(HANDLE port, HANDLE helper) {
  const SOCKET closed = tcp();
  closesocket(closed);
  Poll poll;
  poll.list(closed, AFD_POLL_RECEIVE);
  fact("bad.closed", "AFD_POLL on a socket that was just closed", hex(submit(helper, poll, &poll)));
  poll = {};
  poll.list(0x7FFFFFF0, AFD_POLL_RECEIVE);
  fact("bad.never", "AFD_POLL on a number that was never a handle", hex(submit(helper, poll, &poll)));
  poll = {};
  poll.list(reinterpret_cast<SOCKET>(port), AFD_POLL_RECEIVE);
  fact("bad.no_socket", "AFD_POLL on a handle that is no socket", hex(submit(helper, poll, &poll)));
  prove("bad.quiet", "a refused request queues no packet", hex(STATUS_TIMEOUT), hex(take(port, 200).waited));
}

void prove_direct(HANDLE port, HANDLE helper) {
  sockaddr_in address;
  const SOCKET listener = listening(address);
  const HANDLE file = reinterpret_cast<HANDLE>(listener), other_port = create_port();
  const bool belongs = belong(file, port, key_direct);
  prove("direct.belongs", "let a listening socket itself belong to the port", "yes", belongs ? "yes" : "no");
  Poll poll;
  poll.list(listener, AFD_POLL_ACCEPT | AFD_POLL_RECEIVE);
  prove("direct.arm", "AFD_POLL on the socket's own handle", hex(STATUS_PENDING), hex(submit(file, poll, &poll)));
  const SOCKET client = connected(address);
  const Packet packet = take(port);
  prove("direct.packet", "a client connects: wait for the packet", hex(STATUS_SUCCESS), hex(packet.waited));
  prove("direct.mask", "the mask it reports", hex(AFD_POLL_ACCEPT), hex(poll.answer()));
  expect(packet.KeyContext == word(key_direct), "the key of the socket's own association", "another");
  const bool moved = belong(file, other_port, key_direct);
  fact("direct.cost", "let the same socket belong to a second port as well",
       moved ? "accepted" : "error " + std::to_string(GetLastError()));
  HANDLE other_helper = nullptr;
  open_afd(other_helper, L"\\Device\\Afd\\reactor-other");
  expect(belong(other_helper, other_port, key_helper), "a helper on the second port", "none");
  const ULONG ready = ready_now(other_helper, other_port, listener, AFD_POLL_ACCEPT);
  prove("direct.helper_anyway", "polled from the second port through a helper: the mask", hex(AFD_POLL_ACCEPT),
        hex(ready));
  for (SOCKET socket : {listener, client}) closesocket(socket);
  for (HANDLE handle : {other_helper, other_port, helper}) CloseHandle(handle);
}

}  // namespace

int main(int argc, char** argv) {
  parse(argc, argv);
  std::puts("stage1_accept: AFD_POLL tells of a connection through a completion port");
  resolve(NtRemoveIoCompletionEx, "NtRemoveIoCompletionEx");
  resolve(NtCreateFile, "NtCreateFile");
  resolve(NtDeviceIoControlFile, "NtDeviceIoControlFile");
  WSADATA data;
  expect(WSAStartup(MAKEWORD(2, 2), &data) == 0, "Winsock 2.2", "none");
  const HANDLE port = create_port();
  const HANDLE helper = prove_helper(port);
  prove_base();
  prove_accept(port, helper);
  prove_skip(port);
  prove_timeouts(port, helper);
  prove_connect(port, helper);
  prove_many(port, helper);
  prove_bad_handles(port, helper);
  prove_direct(port, helper);
  CloseHandle(port);
  conclude(true,
           "connections come through a helper handle and directly; directly binds a socket to one port for life, "
           "a helper does not");
}
