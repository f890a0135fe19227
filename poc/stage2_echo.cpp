// SPDX-License-Identifier: MIT
//
// stage2_echo: a whole conversation by readiness alone, with non-blocking recv and send at both ends.
//
// What    A client sends a megabyte and a server echoes it. One thread serves both through one port. Each end polls for
//         just what it waits for: RECEIVE while it has space, SEND while it has bytes that did not fit.
// Why     A loop that forgets to poll again stops; one that polls for what it does not want spins.
// How     The socket buffers are 4 KiB, so that send really would block and SEND is really waited for. Half-way the
//         client pauses: for half a second nothing may happen at all. At the end both ends half-close.
// Passes  when every byte is back, SEND and DISCONNECT reached both ends, and a pause cost no packet and no CPU time.
//
// Single file, only system headers, nothing shared with the other gates or the library. Read it from the top.

#include <winsock2.h>
// winsock2.h before all of these
#include <mswsock.h>
#include <windows.h>
#include <winternl.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

// -- AFD_POLL: in no header of the SDK (see stage1_accept) --

constexpr ULONG IOCTL_AFD_POLL = 0x00012024;
constexpr ULONG AFD_POLL_RECEIVE = 0x001, AFD_POLL_SEND = 0x004, AFD_POLL_DISCONNECT = 0x008, AFD_POLL_ABORT = 0x010;

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
void expect(bool holds, Text expected, Text came = "error " + std::to_string(WSAGetLastError())) {
  if (holds) return;
  std::printf("FAIL stage2: expected %s, came %s\n", expected.c_str(), came.c_str());
  std::exit(1);
}

// Fails the gate if another answer was required.
void fact(Text id, Text asked, Text answer, Text required = "") {
  std::printf("  %-27s %-64s -> %s\n", id.c_str(), asked.c_str(), answer.c_str());
  std::fflush(stdout);
  expect(required.empty() || answer == required, required + " from: " + asked, answer);
}
void figure(Text id, Text asked, int value, const char* unit) {
  std::printf("~ %-27s %-64s -> %d %s\n", id.c_str(), asked.c_str(), value, unit);
}

// -- The two ends --

// A socket and its one poll. The kernel owns the OVERLAPPED and `poll` while `pending`: they must not move then.
struct End : OVERLAPPED {
  explicit End(const char* its_name) : OVERLAPPED{}, name(its_name) {}
  std::string name, in, unsent;  // bytes received, and to be sent
  std::size_t out = 0;           // how many were sent
  SOCKET socket = INVALID_SOCKET;
  AFD_POLL_INFO poll{};
  bool pending = false, peer_finished = false, finished = false;
  int polls = 0, packets = 0, saw_send = 0, saw_disconnect = 0, recv_blocked = 0, send_blocked = 0;
};

HANDLE port, helper;
End client("client"), server("server");
std::string payload, broken;  // --bytes N; --break WHAT
std::size_t goal;             // how much the client may send by now

std::string text(Text bytes) {
  std::uint64_t checksum = 0xCBF29CE484222325;  // FNV-1a
  for (char c : bytes) checksum = (checksum ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  char result[64];
  std::snprintf(result, sizeof result, "%zu bytes, checksum 0x%016llX", bytes.size(), 0ULL + checksum);
  return result;
}

SOCKET tcp() {
  const SOCKET socket = WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  // Before connect, which agrees on the window. No Nagle, and sends of half a buffer: else a send that fills the buffer
  // waits for an acknowledgement, which Windows delays.
  const int send_size = 4096, receive_size = 16384, on = 1;
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, reinterpret_cast<const char*>(&send_size), sizeof send_size);
  setsockopt(socket, SOL_SOCKET, SO_RCVBUF, reinterpret_cast<const char*>(&receive_size), sizeof receive_size);
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on);
  return socket;
}

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
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* where = reinterpret_cast<sockaddr*>(&address);
  int length = sizeof address;
  const SOCKET listener = tcp();
  expect(bind(listener, where, length) == 0 && getsockname(listener, where, &length) == 0, "a loopback port");
  client.socket = tcp();
  expect(listen(listener, 1) == 0 && connect(client.socket, where, length) == 0, "a loopback connection");
  server.socket = accept(listener, nullptr, nullptr);
  u_long on = 1;
  for (SOCKET socket : {client.socket, server.socket}) ioctlsocket(socket, static_cast<long>(FIONBIO), &on);
}

void arm(End& end, ULONG events) {
  SOCKET base = end.socket;
  DWORD bytes = 0;
  WSAIoctl(end.socket, SIO_BASE_HANDLE, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr);
  end.poll = {INT64_MAX, 1, 0, {{reinterpret_cast<HANDLE>(base), events, 0}}};
  end.pending = true;
  end.polls++;
  const BOOL done =
      DeviceIoControl(helper, IOCTL_AFD_POLL, &end.poll, sizeof end.poll, &end.poll, sizeof end.poll, nullptr, &end);
  expect(done || GetLastError() == ERROR_IO_PENDING, "AFD_POLL to be accepted");
}

// The end whose poll completes next, or null when none does in time.
End* dequeue(DWORD timeout_ms) {
  OVERLAPPED_ENTRY packet;
  ULONG removed = 0;
  if (!GetQueuedCompletionStatusEx(port, &packet, 1, &removed, timeout_ms, FALSE)) return nullptr;
  auto* end = static_cast<End*>(packet.lpOverlapped);
  end->pending = false;
  end->packets++;
  end->saw_send += (end->poll.Handles[0].Events & AFD_POLL_SEND) != 0;
  end->saw_disconnect += (end->poll.Handles[0].Events & AFD_POLL_DISCONNECT) != 0;
  return end;
}

// The client receives little at a time, so that the server has to wait for SEND too; the server holds at most 4 KiB.
std::size_t space(const End& end) { return &end == &client ? 1024 : 4096 - end.unsent.size(); }

void receive_once(End& end) {
  if (space(end) == 0 || end.peer_finished) return;
  std::string chunk(space(end), '\0');
  const int got = recv(end.socket, chunk.data(), static_cast<int>(chunk.size()), 0);
  expect(got >= 0 || WSAGetLastError() == WSAEWOULDBLOCK, "recv to succeed or to block");
  end.recv_blocked += got < 0;
  end.peer_finished = got == 0;
  chunk.resize(static_cast<std::size_t>(std::max(got, 0)));
  end.in += chunk;
  if (broken == "drop-byte" && end.in.size() == chunk.size() && !chunk.empty()) chunk.pop_back();
  if (&end == &server) end.unsent += chunk;
}

void send_all(End& end) {  // or until send would block
  for (int sent = 1; sent > 0;) {
    if (&end == &client && end.unsent.empty())
      end.unsent = payload.substr(end.out, std::min<std::size_t>(2048, goal - end.out));
    if (end.unsent.empty()) return;
    sent = send(end.socket, end.unsent.data(), static_cast<int>(std::min<std::size_t>(2048, end.unsent.size())), 0);
    expect(sent >= 0 || WSAGetLastError() == WSAEWOULDBLOCK, "send to succeed or to block");
    end.send_blocked += sent < 0;
    const auto size = static_cast<std::size_t>(std::max(sent, 0));
    end.out += size;
    end.unsent.erase(0, size);
  }
}

// Lets an end do what it can without blocking, then polls for what it waits for.
void run(End& end) {
  if (&end == &server) receive_once(end);
  send_all(end);
  if (&end == &client) receive_once(end);
  const bool all_sent = end.unsent.empty() && (&end == &client ? end.out == payload.size() : end.peer_finished);
  if (all_sent && !end.finished) expect(shutdown(end.socket, SD_SEND) == 0, "a half-close");
  end.finished = all_sent;
  ULONG events = end.peer_finished || space(end) == 0 ? 0 : AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT;
  if (!end.unsent.empty() || (broken == "spin" && !end.finished)) events |= AFD_POLL_SEND;
  if (broken == "no-rearm" && &end == &server && end.packets >= 10) return;
  if (events != 0 && !end.pending) arm(end, events | AFD_POLL_ABORT);
}

void run_until(auto done) {
  for (End* end = nullptr; !done(); run(*end)) {
    end = dequeue(10'000);
    expect(end != nullptr, "a packet within 10 s", "none: " + std::to_string(client.in.size()) + " bytes are back");
  }
}

int cpu_ms() {
  FILETIME created, exited, kernel, user;
  GetProcessTimes(GetCurrentProcess(), &created, &exited, &kernel, &user);
  return static_cast<int>((kernel.dwLowDateTime + user.dwLowDateTime) / 10'000);  // the low word counts 429 s
}

}  // namespace

int main(int argc, char** argv) {
  std::string bytes = "1048576";
  for (int i = 1; i + 1 < argc; i += 2) (argv[i] == std::string("--bytes") ? bytes : broken) = argv[i + 1];
  payload.resize(std::strtoul(bytes.c_str(), nullptr, 10));
  const bool known = broken.empty() || broken == "no-rearm" || broken == "spin" || broken == "drop-byte";
  if (!known || payload.size() < 524288 || argc % 2 == 0) {
    std::puts("usage: stage2_echo [--bytes N] [--break no-rearm|spin|drop-byte]   (N: at least 524288)");
    return 1;
  }
  for (std::uint32_t i = 0; char& c : payload) c = static_cast<char>((i++ * 2654435761U) >> 24);
  open_all();
  goal = payload.size() / 2;
  for (End* end : {&server, &client}) run(*end);
  run_until([] { return server.in.size() == goal && server.unsent.empty() && client.in.size() == server.out; });
  const int before_ms = cpu_ms();
  const ULONGLONG start_ms = GetTickCount64();
  int idle_packets = 0;
  for (ULONGLONG gone_ms = 0; gone_ms < 500; gone_ms = GetTickCount64() - start_ms) {
    if (End* end = dequeue(static_cast<DWORD>(500 - gone_ms))) run(*end), idle_packets++;
  }
  fact("idle.packets", "paused half-way for 500 ms, both ends armed: packets", std::to_string(idle_packets), "0");
  figure("idle.cpu", "CPU time used in that pause", cpu_ms() - before_ms, "ms");
  expect(cpu_ms() - before_ms <= 31, "less CPU time while idle than two ticks of its clock", "more");
  goal = payload.size();
  run(client);  // its poll is pending, for RECEIVE alone: what comes back completes it
  run_until([] { return client.peer_finished && server.peer_finished; });
  fact("echo.to_server", "the server received", text(server.in), text(payload));
  fact("echo.to_client", "the client received", text(client.in), text(payload));
  const int packets = client.packets + server.packets, kib = static_cast<int>(payload.size() / 1024);
  figure("echo.polls", "AFD_POLL requests", client.polls + server.polls, "calls");
  figure("echo.packets", "packets that came for them", packets, "packets");
  figure("echo.packets_per_kib", "packets for each 1000 KiB of payload", packets * 1000 / kib, "packets");
  figure("echo.recv_would_block", "recv would block", client.recv_blocked + server.recv_blocked, "times");
  figure("echo.send_would_block", "send would block", client.send_blocked + server.send_blocked, "times");
  expect(packets <= 4 * kib, "at most 4 packets per KiB: there and back, in and out", std::to_string(packets));
  for (const End* end : {&client, &server}) {
    figure("echo." + end->name + "_send", "packets that reported SEND to the " + end->name, end->saw_send, "packets");
    expect(end->saw_send > 0 && end->send_blocked > 0, "the " + end->name + " to wait for SEND", "no packet for it");
    fact("end." + end->name + "_disconnect", "DISCONNECT came to the " + end->name,
         end->saw_disconnect > 0 ? "yes" : "no", "yes");
  }
  std::printf("PASS stage2: %d KiB there and back, exact, with %d packets, none while idle\n", kib, packets);
}
