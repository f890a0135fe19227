// SPDX-License-Identifier: MIT
//
// stage1_accept: AFD_POLL reports a connection on a listening socket, through a completion port.
//
// What    \Device\Afd is the driver behind every Windows socket, and AFD_POLL is its readiness request: "complete when
//         one of these sockets is in one of these states". select and WSAPoll are made of it. This gate proves that a
//         program may send the request itself, that its completion arrives at a port, and how it behaves.
// Why     It is the only bridge from readiness to completion ports. Nothing else in this gate is undocumented.
// How     In two ways. Through a helper handle: a file opened on \Device\Afd\... that is associated with the port and
//         carries the requests of any number of sockets. Or directly: the socket is associated with the port itself.
//         A request names a socket by its base handle, below any layered service provider.
// Passes  when both ways report a connection once for each poll, and a refused connect comes with its reason.
//
// Single file, only system headers, nothing shared with the other gates or the library. Read it from the top.

#define WIN32_NO_STATUS  // ntstatus.h defines all of them
#include <winsock2.h>
// winsock2.h before all of these
#include <mswsock.h>
#include <windows.h>
#include <winternl.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

// -- AFD_POLL: in no header of the SDK --

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;
constexpr ULONG AFD_POLL_SEND = 0x004, AFD_POLL_ABORT = 0x010, AFD_POLL_ACCEPT = 0x080, AFD_POLL_CONNECT_FAIL = 0x100;

struct AFD_POLL_INFO {
  LARGE_INTEGER Timeout;  // in 100 ns; negative: from now; INT64_MAX: never
  ULONG NumberOfHandles, Exclusive;
  struct {
    HANDLE Handle;
    ULONG Events;
    NTSTATUS Status;
  } Handles[1];  // the kernel takes any number
};
static_assert(offsetof(AFD_POLL_INFO, Handles) == 16 && sizeof(AFD_POLL_INFO::Handles) == 8 + sizeof(void*));

// -- How this gate reports. A fact is a line `id asked -> answer`; "~" marks a figure, which differs from run to run --

std::string hex(auto value) {
  std::array<char, 16> text;
  std::snprintf(text.data(), text.size(), "0x%08lX", static_cast<unsigned long>(value));
  return text.data();
}

void expect(bool holds, const std::string& expected, const std::string& came) {
  if (holds) return;
  std::printf("FAIL stage1: expected %s, came %s\n", expected.c_str(), came.c_str());
  std::exit(1);
}

void fact(const char* id, const std::string& asked, const std::string& answer, char mark = ' ') {
  std::printf("%c %-27s %-64s -> %s\n", mark, id, asked.c_str(), answer.c_str());
  std::fflush(stdout);
}

// A fact that the gate requires.
void prove(const char* id, const std::string& asked, const std::string& expected, const std::string& answer) {
  fact(id, asked, answer);
  expect(answer == expected, expected + " from: " + asked, answer);
}

// -- The port and the driver --

bool no_arm = false;  // --break no-arm
constexpr ULONG_PTR key_helper = 0xA1, key_direct = 0xD1;

std::string associate(HANDLE file, HANDLE port, ULONG_PTR key) {
  return CreateIoCompletionPort(file, port, key, 0) == port ? "accepted" : "error " + std::to_string(GetLastError());
}

NTSTATUS open_afd(const wchar_t* path, HANDLE& file) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, 0, nullptr, nullptr);
  IO_STATUS_BLOCK iosb{};
  return NtCreateFile(&file, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                      0, nullptr, 0);
}

// Asks for the handle that AFD knows. Below a layered service provider it is not the value that the program has.
std::string ask_base(SOCKET socket, DWORD code, SOCKET& base) {
  DWORD bytes = 0;
  if (WSAIoctl(socket, code, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr) != 0) {
    return "error " + std::to_string(WSAGetLastError());
  }
  return base == socket ? "the socket itself" : "another handle";
}

// A request. The kernel owns its memory from submit until its packet: it must neither move nor be released before.
struct Poll {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{};
};

NTSTATUS submit(HANDLE file, Poll& poll, SOCKET socket, ULONG events) {
  SOCKET base = socket;
  ask_base(socket, SIO_BASE_HANDLE, base);  // the library asks SIO_BSP_HANDLE_POLL where a provider refuses this
  poll.info.Timeout.QuadPart = INT64_MAX;
  poll.info.NumberOfHandles = 1;
  poll.info.Handles[0] = {reinterpret_cast<HANDLE>(base), events, 0};
  poll.iosb.Status = STATUS_PENDING;
  return NtDeviceIoControlFile(file, nullptr, nullptr, &poll, &poll.iosb, IOCTL_AFD_POLL, &poll.info, sizeof poll.info,
                               &poll.info, sizeof poll.info);
}

OVERLAPPED_ENTRY packet;  // the one dequeued last

std::string dequeue(HANDLE port, DWORD timeout_ms) {
  ULONG removed = 0;
  return GetQueuedCompletionStatusEx(port, &packet, 1, &removed, timeout_ms, FALSE) ? "a packet" : "nothing";
}

// -- Sockets --

void check(bool ok, const char* what) { expect(ok, what, "error " + std::to_string(WSAGetLastError())); }

SOCKET tcp() {
  const SOCKET socket = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  check(socket != INVALID_SOCKET, "a TCP socket");
  return socket;
}

// A socket on a loopback port, which `address` then names. A backlog of 0: it does not listen.
SOCKET bound(sockaddr_in& address, int backlog) {
  const SOCKET socket = tcp();
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int length = sizeof address;
  auto* where = reinterpret_cast<sockaddr*>(&address);
  check(bind(socket, where, length) == 0 && getsockname(socket, where, &length) == 0, "a loopback port");
  check(backlog == 0 || listen(socket, backlog) == 0, "a listener");
  return socket;
}

int connect_to(SOCKET socket, const sockaddr_in& address) {
  return connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : WSAGetLastError();
}

// -- The proofs --

HANDLE prove_helper(HANDLE port) {
  HANDLE helper = nullptr, bare = nullptr;
  const NTSTATUS status = open_afd(L"\\Device\\Afd\\reactor", helper);
  prove("afd.open", R"(NtCreateFile \Device\Afd\reactor)", hex(STATUS_SUCCESS), hex(status));
  fact("afd.open_bare", "NtCreateFile \\Device\\Afd, no suffix", hex(open_afd(L"\\Device\\Afd", bare)));
  prove("afd.belongs", "associate that helper handle with the port", "accepted", associate(helper, port, key_helper));
  SOCKET base = 0, socket = tcp();
  fact("base.handle", "WSAIoctl SIO_BASE_HANDLE on a socket", ask_base(socket, SIO_BASE_HANDLE, base));
  fact("base.poll", "WSAIoctl SIO_BSP_HANDLE_POLL on a socket", ask_base(socket, SIO_BSP_HANDLE_POLL, base));
  closesocket(socket);
  return helper;
}

void prove_accept(HANDLE port, HANDLE helper) {
  sockaddr_in address;
  const SOCKET listener = bound(address, 16), first = tcp(), second = tcp();
  Poll poll;
  const NTSTATUS armed = no_arm ? STATUS_PENDING : submit(helper, poll, listener, AFD_POLL_ACCEPT);
  prove("accept.arm", "AFD_POLL for ACCEPT through the helper, nothing to accept", hex(STATUS_PENDING), hex(armed));
  prove("accept.quiet", "the port before a client connects", "nothing", dequeue(port, 0));
  check(connect_to(first, address) == 0, "a connection");
  prove("accept.packet", "a client connects: the port within 2 s", "a packet", dequeue(port, 2000));
  expect(packet.lpCompletionKey == key_helper, "the key of the helper's association", "another");
  prove("accept.status", "its status", hex(STATUS_SUCCESS), hex(packet.Internal));
  prove("accept.mask", "the mask it reports", hex(AFD_POLL_ACCEPT), hex(poll.info.Handles[0].Events));
  fact("accept.information", "its Information", std::to_string(packet.dwNumberOfBytesTransferred));
  check(connect_to(second, address) == 0, "a connection");
  prove("oneshot.quiet", "a second client, not submitted again: the port within 200 ms", "nothing", dequeue(port, 200));
  const NTSTATUS again = submit(helper, poll, listener, AFD_POLL_ACCEPT);
  prove("oneshot.rearm", "submitted again, already ready: completes in the call", hex(STATUS_SUCCESS), hex(again));
  prove("oneshot.packet", "its packet is queued all the same: the port within 2 s", "a packet", dequeue(port, 2000));
  for (SOCKET socket : {listener, first, second}) closesocket(socket);
}

void prove_refused(HANDLE port, HANDLE helper) {
  sockaddr_in refusing;
  const SOCKET not_listening = bound(refusing, 0), client = tcp();
  u_long on = 1;
  check(ioctlsocket(client, static_cast<long>(FIONBIO), &on) == 0, "a non-blocking socket");
  prove("connect.start", "a non-blocking connect to a port without a listener: error", std::to_string(WSAEWOULDBLOCK),
        std::to_string(connect_to(client, refusing)));
  Poll poll;
  const ULONGLONG before_ms = GetTickCount64();
  submit(helper, poll, client, AFD_POLL_SEND | AFD_POLL_ABORT | AFD_POLL_CONNECT_FAIL);
  prove("refused.packet", "AFD_POLL for CONNECT_FAIL: the port within 10 s", "a packet", dequeue(port, 10'000));
  fact("refused.took", "a refusal is reported after", std::to_string(GetTickCount64() - before_ms) + " ms", '~');
  const ULONG mask = poll.info.Handles[0].Events;
  prove("refused.mask", "the mask it reports, with CONNECT_FAIL", hex(mask | AFD_POLL_CONNECT_FAIL), hex(mask));
  prove("refused.status", "the status beside it", hex(STATUS_CONNECTION_REFUSED), hex(poll.info.Handles[0].Status));
  int so_error = 0, length = sizeof so_error;
  getsockopt(client, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&so_error), &length);
  fact("refused.so_error", "SO_ERROR", std::to_string(so_error));
  for (SOCKET socket : {not_listening, client}) closesocket(socket);
}

void prove_direct(HANDLE port) {
  sockaddr_in address;
  const SOCKET listener = bound(address, 16), client = tcp();
  const HANDLE file = reinterpret_cast<HANDLE>(listener);
  const HANDLE other_port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  HANDLE other_helper = nullptr;
  prove("direct.belongs", "associate a socket itself with the port", "accepted", associate(file, port, key_direct));
  Poll poll;
  const NTSTATUS armed = submit(file, poll, listener, AFD_POLL_ACCEPT);
  prove("direct.arm", "AFD_POLL on the socket's own handle", hex(STATUS_PENDING), hex(armed));
  check(connect_to(client, address) == 0, "a connection");
  prove("direct.packet", "a client connects: the port within 2 s", "a packet", dequeue(port, 2000));
  prove("direct.mask", "the mask it reports", hex(AFD_POLL_ACCEPT), hex(poll.info.Handles[0].Events));
  expect(packet.lpCompletionKey == key_direct, "the key of the socket's own association", "another");
  fact("direct.cost", "associate the same socket with a second port", associate(file, other_port, key_direct));
  open_afd(L"\\Device\\Afd\\reactor-other", other_helper);
  associate(other_helper, other_port, key_helper);
  submit(other_helper, poll, listener, AFD_POLL_ACCEPT);
  expect(dequeue(other_port, 2000) == "a packet", "a packet at the second port", "nothing");
  prove("direct.helper_anyway", "AFD_POLL from the second port through a helper: the mask", hex(AFD_POLL_ACCEPT),
        hex(poll.info.Handles[0].Events));
  for (SOCKET socket : {listener, client}) closesocket(socket);
}

}  // namespace

int main(int argc, char** argv) {
  no_arm = argc == 3 && argv[1] == std::string("--break") && argv[2] == std::string("no-arm");
  if (argc > 1 && !no_arm) {
    std::puts("usage: stage1_accept [--break no-arm]   (the first poll is never submitted: the gate has to notice)");
    return 1;
  }
  WSADATA data;
  check(WSAStartup(MAKEWORD(2, 2), &data) == 0, "Winsock 2.2");
  const HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0), helper = prove_helper(port);
  prove_accept(port, helper);
  prove_refused(port, helper);
  prove_direct(port);
  std::puts("PASS stage1: connections come through a helper handle, and directly at the cost of one port for life");
}
