// SPDX-License-Identifier: MIT
//
// Wine 8 accepts SIO_BASE_HANDLE for any number, so sockets must be distinguished from other handles in another way.
// What each way costs, for a new socket and for one that has received, alone and beside many others, and its result for
// numbers that are not sockets. Prints a line of JSON for each.
#include <winsock2.h>
// winsock2.h first
#include <mswsock.h>
#include <windows.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr std::size_t count = 200;
constexpr int rounds = 15;

struct Way {
  const char* name;
  std::function<bool(SOCKET)> accepts;
};

Way option(const char* name, int level, int number) {
  return {name, [level, number](SOCKET socket) {
            std::array<char, 64> value{};
            int length = sizeof value;
            return getsockopt(socket, level, number, value.data(), &length) == 0;
          }};
}

std::vector<Way> ways() {
  std::vector<Way> all{
      {"nothing", [](SOCKET) { return true; }},
      {"SIO_BASE_HANDLE",
       [](SOCKET socket) {
         SOCKET base = INVALID_SOCKET;
         DWORD bytes = 0;
         return WSAIoctl(socket, SIO_BASE_HANDLE, nullptr, 0, &base, sizeof base, &bytes, nullptr, nullptr) == 0;
       }},
      option("SO_TYPE", SOL_SOCKET, SO_TYPE),
      option("SO_ERROR", SOL_SOCKET, SO_ERROR),
      option("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE),
      option("SO_BROADCAST", SOL_SOCKET, SO_BROADCAST),
      option("SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE),
      option("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR),
      option("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF),
      option("SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO),
      option("SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN),
      option("SO_DEBUG", SOL_SOCKET, SO_DEBUG),
      option("SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE),
      option("SO_MAX_MSG_SIZE", SOL_SOCKET, SO_MAX_MSG_SIZE),
      {"getsockname",
       [](SOCKET socket) {
         sockaddr_in address{};
         int length = sizeof address;
         return getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) == 0;
       }},
      {"GetHandleInformation",
       [](SOCKET socket) {
         DWORD flags = 0;
         return GetHandleInformation(reinterpret_cast<HANDLE>(socket), &flags) != FALSE;
       }},
      {"GetFileType", [](SOCKET socket) { return GetFileType(reinterpret_cast<HANDLE>(socket)) == FILE_TYPE_PIPE; }},
  };
  return all;
}

SOCKET open_socket() {
  const SOCKET socket = WSASocketW(AF_INET, SOCK_DGRAM, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (socket == INVALID_SOCKET || bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::fprintf(stderr, "socket_check: cannot open a socket: error %d\n", WSAGetLastError());
    std::exit(1);
  }
  return socket;
}

/// Microseconds a call, the smallest of several rounds: other load can make a round slower, never faster.
double cost(const Way& way, bool was_used) {
  double least = 1e9;
  for (int round = 0; round < rounds; round++) {
    std::vector<SOCKET> sockets(count);
    for (SOCKET& socket : sockets) socket = open_socket();
    if (was_used) {
      for (const SOCKET socket : sockets) {
        u_long yes = 1;
        char byte = 0;
        ioctlsocket(socket, static_cast<long>(FIONBIO), &yes);
        recv(socket, &byte, 1, 0);
      }
    }
    const auto start = std::chrono::steady_clock::now();
    for (const SOCKET socket : sockets) {
      if (!way.accepts(socket)) return -1;
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count() / count);
    for (const SOCKET socket : sockets) closesocket(socket);
  }
  return least;
}

struct Case {
  const char* name;
  SOCKET number;
};

SOCKET number_of(HANDLE handle) { return reinterpret_cast<SOCKET>(handle); }

/// The number of a socket that was closed by CloseHandle, which Winsock does not notice, and was then reused by an
/// event; 0 if the kernel does not reuse it soon.
SOCKET reused_by_event() {
  const SOCKET socket = open_socket();
  CloseHandle(reinterpret_cast<HANDLE>(socket));
  for (int i = 0; i < 64; i++) {
    const HANDLE event = CreateEventW(nullptr, FALSE, FALSE, nullptr);
    if (number_of(event) == socket) return socket;
  }
  return 0;
}

std::vector<Case> cases() {
  const SOCKET closed = open_socket(), closed_by_handle = open_socket();
  HANDLE read_end = nullptr, write_end = nullptr;
  CreatePipe(&read_end, &write_end, nullptr, 0);
  wchar_t path[MAX_PATH];
  GetModuleFileNameW(nullptr, path, MAX_PATH);
  const HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, 0, nullptr);
  HANDLE duplicate = nullptr;
  DuplicateHandle(GetCurrentProcess(), reinterpret_cast<HANDLE>(open_socket()), GetCurrentProcess(), &duplicate, 0,
                  FALSE, DUPLICATE_SAME_ACCESS);
  std::vector<Case> all{
      {"a socket", open_socket()},
      {"a duplicate of a socket, by DuplicateHandle", number_of(duplicate)},
      {"an event", number_of(CreateEventW(nullptr, FALSE, FALSE, nullptr))},
      {"a pipe", number_of(read_end)},
      {"a file", number_of(file)},
      {"a port", number_of(CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 0))},
      {"this process", number_of(GetCurrentProcess())},
      {"0", 0},
      {"never open", 0x7F00},
      {"closed by CloseHandle and reused by an event", reused_by_event()},
      {"closed by closesocket", closed},
      {"closed by CloseHandle", closed_by_handle},
  };
  closesocket(closed);
  CloseHandle(reinterpret_cast<HANDLE>(closed_by_handle));
  return all;
}

}  // namespace

int main() {
  WSADATA data;
  if (WSAStartup(MAKEWORD(2, 2), &data) != 0) return 1;
  const auto all = ways();
  for (const Way& way : all) {
    std::printf("{\"way\": \"%s\", \"fresh_us\": %.2f, \"used_us\": %.2f}\n", way.name, cost(way, false),
                cost(way, true));
    std::fflush(stdout);
  }
  const auto numbers = cases();
  for (const Way& way : all) {
    std::string text;
    for (const Case& each : numbers) {
      text.append(", \"").append(each.name).append("\": ").append(way.accepts(each.number) ? "true" : "false");
    }
    std::printf("{\"way\": \"%s\"%s}\n", way.name, text.c_str());
  }
  std::vector<SOCKET> others(5000);
  for (SOCKET& socket : others) socket = open_socket();
  for (const Way& way : all) {
    std::printf("{\"way\": \"%s\", \"beside\": %zu, \"used_us\": %.2f}\n", way.name, others.size(), cost(way, true));
    std::fflush(stdout);
  }
}
