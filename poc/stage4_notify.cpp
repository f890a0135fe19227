// SPDX-License-Identifier: MIT
//
// stage4_notify: ProcessSocketNotifications, readiness that Windows 11 and Server 2022 document.
//
// What    A registration names a socket, events, and the key under which they come to a completion port. One call takes
//         any number of registrations and dequeues packets as well: E events cost one call, not E + 1.
// How     Connected pairs on loopback. A port is quiet when nothing comes for 100 ms; what must come has 2 s. Of what
// the
//         documentation leaves open no answer is required; the library bears them all.
// Passes  when all that is documented holds. Where the function is missing it prints SKIP and ends with exit code 77.
//
// Single file, only system headers, nothing shared with the other gates or the library. Read it from the top.

#include <winsock2.h>
// winsock2.h before all of these
#include <windows.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {
// -- ProcessSocketNotifications: not in every SDK, so written down here, found at run time. NOLINTBEGIN(*-naming) --

struct Registration {
  SOCKET socket;
  void* key;
  std::uint16_t filter;
  std::uint8_t operation, trigger;
  DWORD result;  // written by the call
};
static_assert(sizeof(Registration) == 8 + 2 * sizeof(void*) && offsetof(Registration, filter) == 2 * sizeof(void*));
using Notify = DWORD WSAAPI(HANDLE port, UINT32, Registration*, UINT32 ms, ULONG size, OVERLAPPED_ENTRY*, UINT32*);
constexpr std::uint8_t ENABLE = 1, REMOVE = 4, ONESHOT = 1, PERSISTENT = 2, LEVEL = 4, EDGE = 8;
constexpr std::uint16_t NONE = 0, IN_ = 1, OUT_ = 2, HANGUP = 4, ALL = 7;
constexpr ULONG ERR = 0x40, REMOVED = 0x80;  // events, beside those that are asked for. NOLINTEND(*-naming)
constexpr UINT32 quiet_ms = 100, deadline_ms = 2000;

// -- How this gate reports. A fact is a line `id asked -> answer`; "~" marks a figure, which differs from run to run --

using Text = const std::string&;
std::string hex(unsigned long value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%02lX", value);
  return text;
}
void expect(bool holds, Text expected, Text came = "error " + std::to_string(WSAGetLastError())) {
  if (holds) return;
  std::printf("FAIL stage4: expected %s, came %s\n", expected.c_str(), came.c_str());
  std::exit(1);
}
void fact(Text id, Text asked, Text answer, Text required = "") {
  std::printf("  notify.%-20s %-64s -> %s\n", id.c_str(), asked.c_str(), answer.c_str());
  std::fflush(stdout);
  expect(required.empty() || answer == required, required + " from: " + asked, answer);
}
Notify* process;
HANDLE port;

struct Answer {
  DWORD code = 0, mask = 0;  // of the call; of the first packet
  std::vector<Registration> changes;
  std::vector<OVERLAPPED_ENTRY> packets;

  // The code of the call, the result of each registration, and "key 7 mask 0x01" of each packet.
  operator std::string() const {
    std::string text = hex(code);
    for (const Registration& one : changes) text += " " + hex(one.result);
    for (const OVERLAPPED_ENTRY& packet : packets) {
      text += ", key " + std::to_string(packet.lpCompletionKey);
      text += " mask " + hex(packet.dwNumberOfBytesTransferred);
    }
    return packets.empty() ? text + ", nothing" : text;
  }
};
Answer call(std::vector<Registration> changes, UINT32 timeout_ms, HANDLE at = port) {
  Answer answer{0, 0, std::move(changes), std::vector<OVERLAPPED_ENTRY>(8)};
  UINT32 received = 0;
  Registration* const first = answer.changes.empty() ? nullptr : answer.changes.data();
  const auto count = static_cast<UINT32>(answer.changes.size());
  answer.code = process(at, count, first, timeout_ms, 8, answer.packets.data(), &received);
  answer.packets.resize(answer.code == 0 ? received : 0);
  if (!answer.packets.empty()) answer.mask = answer.packets[0].dwNumberOfBytesTransferred;
  return answer;
}
Registration change(SOCKET socket, std::uintptr_t key, std::uint16_t filter, std::uint8_t operation = ENABLE,
                    std::uint8_t trigger = LEVEL | ONESHOT) {
  return {socket, reinterpret_cast<void*>(key), filter, operation, trigger, 0xAAAAAAAA};
}
std::string set(Registration one, HANDLE at = port) {
  const std::string code = hex(process(at, 1, &one, 0, 0, nullptr, nullptr));
  return code + " " + hex(one.result);
}
Answer wait(UINT32 timeout_ms = deadline_ms) { return call({}, timeout_ms); }
sockaddr_in address{AF_INET, 0, {}, {}};
auto* const where = reinterpret_cast<sockaddr*>(&address);
SOCKET listener;

SOCKET tcp() { return WSASocketW(AF_INET, SOCK_STREAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED); }
struct Pair {
  SOCKET socket = tcp(), peer = INVALID_SOCKET;
  Pair() { connect(socket, where, sizeof address), peer = accept(listener, nullptr, nullptr); }
  void put() const { expect(send(peer, "x", 1, 0) == 1, "a byte to be sent"); }
  void reset() const {
    const linger hard{1, 0};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&hard), sizeof hard);
    closesocket(peer);
  }
};
// All masks of a one-shot registration that is enabled again and again until it has `until`, or for a second.
void mask(Text id, Text asked, SOCKET socket, std::uint16_t filter, ULONG until, Text required = "") {
  ULONG last = 0;
  DWORD result = 0;
  for (const ULONGLONG end = GetTickCount64() + 1000; (last & until) == 0 && GetTickCount64() < end && result == 0;) {
    const Answer answer = call({change(socket, 50, filter)}, quiet_ms);
    last |= answer.mask, result = answer.changes[0].result;
  }
  fact("mask." + id, asked, hex(result) + ", mask " + hex(last), required);
  closesocket(socket);
  while (!call({}, 0).packets.empty()) continue;
}

// -- What is asked. An answer: the code of the call, the result of each registration, the packets --

void ask_triggers() {
  const Pair oneshot, edge, level;
  char byte;
  const Registration one = change(level.socket, 1, IN_, ENABLE, LEVEL | PERSISTENT);
  const Registration two = change(oneshot.socket, 2, IN_);
  fact("quiet", "level and persistent, nothing to read", call({one}, quiet_ms), "0x102 0x00, nothing");
  level.put();
  fact("data", "data", wait(), "0x00, key 1 mask 0x01");
  fact("level", "not read: reported again", wait(), "0x00, key 1 mask 0x01");
  closesocket(level.socket);
  wait(quiet_ms);  // one may have been queued before
  oneshot.put();
  fact("oneshot", "level and one-shot, data", call({two}, deadline_ms), "0x00 0x00, key 2 mask 0x01");
  fact("oneshot_over", "not read, not enabled again", wait(quiet_ms), "0x102, nothing");
  fact("oneshot_again", "enabled again", call({two}, deadline_ms), "0x00 0x00, key 2 mask 0x01");
  edge.put();
  set(change(edge.socket, 3, IN_, ENABLE, EDGE | PERSISTENT));
  fact("edge_held", "edge: data that was there already", wait(quiet_ms), "0x102, nothing");
  recv(edge.socket, &byte, 1, 0);
  edge.put();
  fact("edge", "edge: read, then new data", wait(), "0x00, key 3 mask 0x01");
  closesocket(edge.socket);
}

void ask_many() {
  const Pair one, two, three;
  for (const Pair* pair : {&one, &three}) pair->put();
  const Registration all[] = {change(one.socket, 11, IN_), change(two.socket, 12, IN_), change(three.socket, 13, IN_)};
  const Answer both = call({all[0], all[1], all[2]}, deadline_ms);
  fact("many", "three registered by a call that waits, two are ready", both);
  expect(both.packets.size() == 2 || wait().packets.size() == 1, "two packets", both);
  PostQueuedCompletionStatus(port, 77, 7777, nullptr);
  fact("posted", "a packet that was posted comes as well", wait(), "0x00, key 7777 mask 0x4D");
  std::thread other([&] { set(change(two.socket, 12, IN_ | OUT_)); });
  fact("thread", "another thread registers while this one waits", wait(), "0x00, key 12 mask 0x02");
  other.join();
}

void ask_masks() {
  const Pair idle, data, fin, behind, gone, gone_none;
  for (const Pair* pair : {&data, &behind}) pair->put();
  for (const Pair* pair : {&fin, &behind}) shutdown(pair->peer, SD_SEND);
  for (const Pair* pair : {&gone, &gone_none}) pair->reset();
  mask("idle", "connected, nothing to read, all asked", idle.socket, ALL, OUT_, "0x00, mask 0x02");
  mask("data", "data, all asked", data.socket, ALL, IN_, "0x00, mask 0x03");
  mask("fin", "the peer's FIN, all asked", fin.socket, ALL, HANGUP);
  mask("fin_behind", "FIN behind unread data, all asked", behind.socket, ALL, HANGUP);
  mask("reset", "a reset, all asked", gone.socket, ALL, ERR);
  mask("reset_none", "a reset, NONE asked", gone_none.socket, NONE, ERR);
  mask("fresh", "a socket that was never connected, all asked", tcp(), ALL, ALL);
}

void ask_changes() {
  const Pair pair, shared;
  const Registration remove = change(pair.socket, 21, NONE, REMOVE);
  pair.put();
  call({change(pair.socket, 21, OUT_)}, deadline_ms);
  fact("key", "registered under 21, enabled again under 22", call({change(pair.socket, 22, IN_)}, deadline_ms));
  const Answer removed = call({remove}, deadline_ms);
  fact("remove", "REMOVE", removed);
  expect((removed.mask & REMOVED) != 0, "its notification", removed);
  fact("remove_again", "REMOVE where nothing is registered", call({remove}, quiet_ms));
  set(change(pair.socket, 23, NONE));
  fact("remove_enable", "REMOVE 23, ENABLE 24 in one call", call({remove, change(pair.socket, 24, IN_)}, deadline_ms));
  fact("remove_enable_next", "what comes after that", wait(quiet_ms));
  const HANDLE second = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  set(change(shared.socket, 25, IN_));
  fact("two_ports", "registered at a second port as well", set(change(shared.socket, 26, IN_), second));
  shared.put();
  fact("two_ports_first", "then data: the first port", wait(quiet_ms));
  fact("two_ports_second", "then data: the second port", call({}, quiet_ms, second));
}

void ask_closing() {
  const Pair pair, queued, good;
  set(change(pair.socket, 31, IN_ | HANGUP));
  closesocket(pair.socket);
  fact("close", "closed without REMOVE", wait(quiet_ms), "0x102, nothing");
  SOCKET reused = tcp();
  for (int tries = 0; reused != pair.socket && tries < 64; tries++) reused = tcp();
  fact("reuse", "its number means another socket, not registered", wait(quiet_ms), "0x102, nothing");
  fact("reuse_enable", "that one registered, under key 32", set(change(reused, 32, IN_)), "0x00 0x00");
  queued.put();
  set(change(queued.socket, 33, IN_));
  Sleep(quiet_ms);  // until it is queued
  closesocket(queued.socket);
  fact("close_queued", "closed with a notification queued", wait(quiet_ms));
  fact("bad.closed", "a socket that was just closed", set(change(queued.socket, 34, IN_)));
  const Registration event = change(reinterpret_cast<SOCKET>(CreateEventW(nullptr, TRUE, FALSE, nullptr)), 35, IN_);
  fact("bad.no_socket", "a handle that is no socket", set(event));
  good.put();
  fact("bad.beside", "the same before a good one, data", call({event, change(good.socket, 37, IN_)}, deadline_ms));
  u_long on = 1;
  const SOCKET refused = tcp();
  ioctlsocket(refused, static_cast<long>(FIONBIO), &on);
  address.sin_port = htons(9);
  static_cast<void>(connect(refused, where, sizeof address));
  fact("refused", "a connect that is refused, all asked", call({change(refused, 40, ALL)}, 10'000));
  fact("trigger", "LEVEL, neither PERSISTENT nor ONESHOT", set(change(good.socket, 37, IN_, ENABLE, LEVEL)));
}

}  // namespace

int main() {
  WSADATA data;
  WSAStartup(MAKEWORD(2, 2), &data);
  const auto found = GetProcAddress(GetModuleHandleW(L"ws2_32.dll"), "ProcessSocketNotifications");
  process = reinterpret_cast<Notify*>(reinterpret_cast<void (*)()>(found));
  if (process == nullptr) {
    std::puts("SKIP stage4: ws2_32.dll has no ProcessSocketNotifications (Windows 11 and Server 2022 have it)");
    return 77;
  }
  port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int length = sizeof address;
  listener = tcp();
  const bool is_bound = bind(listener, where, length) == 0 && getsockname(listener, where, &length) == 0;
  expect(is_bound && listen(listener, 16) == 0, "a listener on loopback");
  for (void (*ask)() : {ask_triggers, ask_many, ask_masks, ask_changes, ask_closing}) ask();
  std::puts("PASS stage4: level, one-shot and edge, many in one call, remove and close are as documented");
}
