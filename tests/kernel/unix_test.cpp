// SPDX-License-Identifier: MIT
//
// AF_UNIX, which Windows has since Windows 10 1803, and neither Wine 8 nor 10: there the first fact is the only one.
#include "kernel/bench.hpp"

#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
// winsock2.h before windows.h
#include <windows.h>

using namespace conformance;

namespace {

struct SockaddrUn {
  u_short family = AF_UNIX;
  std::array<char, 108> path{};  // UTF-8
};

class UnixSocket {
 public:
  explicit UnixSocket(int type) : native_(WSASocketW(AF_UNIX, type, 0, nullptr, 0, WSA_FLAG_OVERLAPPED)) {
    u_long on = 1;
    if (is_open()) ioctlsocket(native_, static_cast<long>(FIONBIO), &on);
  }
  explicit UnixSocket(SOCKET native) : native_(native) {}
  UnixSocket(const UnixSocket&) = delete;
  UnixSocket& operator=(const UnixSocket&) = delete;
  ~UnixSocket() { close(); }

  [[nodiscard]] Socket native() const { return native_; }
  [[nodiscard]] bool is_open() const { return native_ != INVALID_SOCKET; }
  void close() {
    if (is_open()) closesocket(std::exchange(native_, INVALID_SOCKET));
  }

 private:
  SOCKET native_;
};

std::string error_text() { return "error " + std::to_string(WSAGetLastError()); }
std::string opened(int type) { return UnixSocket(type).is_open() ? "yes" : error_text(); }

/// A path in the folder for such files, which is deleted at the end.
struct Path {
  SockaddrUn address;

  explicit Path(const char* name) {
    std::array<char, 80> folder{};
    REQUIRE(GetTempPathA(static_cast<DWORD>(folder.size()), folder.data()) < folder.size());
    std::snprintf(address.path.data(), address.path.size(), "%s%s", folder.data(), name);
    DeleteFileA(address.path.data());
  }
  ~Path() { DeleteFileA(address.path.data()); }
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

  int call(int(WSAAPI* function)(SOCKET, const sockaddr*, int), const UnixSocket& socket) const {
    return function(socket.native(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
};

}  // namespace

TEST_CASE_TEMPLATE(
    "unix.open, unix.missing, unix.base, unix.accept, unix.peer, unix.connected, unix.data, unix.fin, unix.close: "
    "AF_UNIX",
    System, conformance::RealSystem) {
  Bench<System> b;
  b.fact("unix.open", "a socket of AF_UNIX: of streams; of datagrams", opened(SOCK_STREAM) + "; " + opened(SOCK_DGRAM));
  const Path path("reactor_kernel.sock"), missing("reactor_none.sock");
  const UnixSocket listener(SOCK_STREAM);
  UnixSocket client(SOCK_STREAM);
  if (!listener.is_open()) {
    MESSAGE("this system has no AF_UNIX: ", error_text());
    return;
  }
  const UnixSocket lost(SOCK_STREAM);
  b.fact("unix.missing", "connect to a path that is not there",
         missing.call(::connect, lost) == 0 ? "success" : error_text());
  REQUIRE(path.call(::bind, listener) == 0);
  REQUIRE(listen(listener.native(), 8) == 0);
  SOCKET base = 0;
  DWORD size = 0;
  constexpr DWORD sio_base_handle = 0x48000022;
  WSAIoctl(listener.native(), sio_base_handle, nullptr, 0, &base, sizeof base, &size, nullptr, nullptr);
  b.fact("unix.base", "SIO_BASE_HANDLE: the socket itself", yes_no(base == listener.native()));

  Request& request = b.request({{listener.native(), AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  const bool begun = path.call(::connect, client) == 0 || WSAGetLastError() == WSAEWOULDBLOCK;
  REQUIRE(begun);
  b.fact("unix.accept", "a client connects to a listener that is polled for ACCEPT", text(b.answer(request)));
  SockaddrUn peer;
  peer.family = 0;
  int peer_size = sizeof peer;
  UnixSocket server(::accept(listener.native(), reinterpret_cast<sockaddr*>(&peer), &peer_size));
  REQUIRE(server.is_open());
  b.fact("unix.peer", "accept's address of a client without a name: bytes, family",
         std::to_string(peer_size) + ", " + std::to_string(peer.family));
  b.await(client.native(), AFD_POLL_SEND);
  b.fact("unix.connected", "connected, everything asked", code(b.now(client.native())));
  REQUIRE(::send(client.native(), "x", 1, 0) == 1);
  b.await(server.native(), AFD_POLL_RECEIVE);
  b.fact("unix.data", "a byte came, everything asked", code(b.now(server.native())));
  char byte = 0;
  REQUIRE(::recv(server.native(), &byte, 1, 0) == 1);
  REQUIRE(::shutdown(client.native(), SD_SEND) == 0);
  b.await(server.native(), AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT);
  b.fact("unix.fin", "the peer's shutdown of sending, everything asked", code(b.now(server.native())));
  server.close();
  b.await(client.native(), AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT | AFD_POLL_ABORT);
  b.fact("unix.close", "the peer has closed, everything asked", code(b.now(client.native())));
}
