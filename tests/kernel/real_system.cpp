// SPDX-License-Identifier: MIT
#include "kernel/real_system.hpp"

#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
// winsock2.h before windows.h
#include <windows.h>
// after winsock2.h
#include <mswsock.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

namespace conformance {

namespace {

void must(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string(what) + " failed: error " + std::to_string(WSAGetLastError()));
}

sockaddr* as_address(sockaddr_in& in) { return reinterpret_cast<sockaddr*>(&in); }

sockaddr_in loopback(u_short network_port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = network_port;
  return address;
}

sockaddr_in address_of(Socket socket) {
  sockaddr_in address{};
  int length = sizeof address;
  must(getsockname(socket, as_address(address), &length) == 0, "getsockname");
  return address;
}

std::errc error_of(int code) {
  switch (code) {
    case WSAEWOULDBLOCK: return std::errc::operation_would_block;
    case WSAECONNRESET: return std::errc::connection_reset;
    case WSAECONNABORTED: return std::errc::connection_aborted;
    case WSAENOTCONN: return std::errc::not_connected;
    default: return std::errc::io_error;
  }
}

}  // namespace

/// An overlapped operation: the kernel writes to it until its socket is closed.
struct Operation {
  OVERLAPPED overlapped{};
  std::vector<char> buffer = std::vector<char>(256);

  Operation() {
    overlapped.hEvent = CreateEventW(nullptr, TRUE, FALSE, nullptr);
    must(overlapped.hEvent != nullptr, "CreateEvent");
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() { CloseHandle(overlapped.hEvent); }
};

struct RealSystem::State {
  std::set<Socket> open;
  std::vector<std::unique_ptr<Operation>> operations;
  std::vector<::HANDLE> handles;
  std::vector<std::thread> running;
  std::vector<char> buffer = std::vector<char>(1 << 16, 'x');

  Socket make(int type) {
    const SOCKET made = WSASocketW(AF_INET, type, 0, nullptr, 0, WSA_FLAG_OVERLAPPED);
    must(made != INVALID_SOCKET, "socket");
    open.insert(made);
    u_long on = 1;
    must(ioctlsocket(made, static_cast<long>(FIONBIO), &on) == 0, "ioctlsocket");
    return made;
  }
  Socket bound(int type) {
    const Socket made = make(type);
    sockaddr_in address = loopback(0);
    must(::bind(made, as_address(address), sizeof address) == 0, "bind");
    return made;
  }
};

RealSystem::RealSystem() : state_(std::make_unique<State>()) {
  WSADATA data;
  must(WSAStartup(MAKEWORD(2, 2), &data) == 0, "WSAStartup");
}

RealSystem::~RealSystem() {
  RealSystem::join();
  for (const Socket socket : state_->open) closesocket(socket);
  for (auto& operation : state_->operations) {
    const bool has_ended = WaitForSingleObject(operation->overlapped.hEvent, 10'000) == WAIT_OBJECT_0;
    if (!has_ended) static_cast<void>(operation.release());  // the kernel may still write to it
  }
  for (const ::HANDLE handle : state_->handles) CloseHandle(handle);
  WSACleanup();
}

reactor::nt::Kernel& RealSystem::kernel() {
  const auto kernel = reactor::nt::system_kernel();
  if (!kernel) throw std::system_error(kernel.error());
  return **kernel;
}

Expect RealSystem::expect() const {
  static const Expect found = [] {
    void* const address = reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version"));
    if (address == nullptr) return Expect::windows;
    const char* const version = reinterpret_cast<const char* (*)()>(address)();
    return std::atoi(version) < 10 ? Expect::wine_8 : Expect::wine_10;
  }();
  return found;
}

std::pair<Socket, Socket> RealSystem::tcp_pair() {
  const Socket listening = listener(), client = tcp();
  u_long off = 0;
  must(ioctlsocket(listening, static_cast<long>(FIONBIO), &off) == 0, "ioctlsocket");
  connect(client, listening);
  const SOCKET served = ::accept(listening, nullptr, nullptr);
  must(served != INVALID_SOCKET, "accept");
  state_->open.insert(served);
  u_long on = 1;
  must(ioctlsocket(served, static_cast<long>(FIONBIO), &on) == 0, "ioctlsocket");
  close(listening);
  fd_set set;  // the connection may still be on its way
  FD_ZERO(&set);
  FD_SET(client, &set);
  timeval limit{10, 0};
  must(select(0, nullptr, &set, nullptr, &limit) == 1, "connecting");
  return {client, served};
}

Socket RealSystem::tcp() { return state_->make(SOCK_STREAM); }
Socket RealSystem::udp() { return state_->bound(SOCK_DGRAM); }

Socket RealSystem::listener() {
  const Socket made = state_->bound(SOCK_STREAM);
  must(listen(made, 128) == 0, "listen");
  return made;
}

Socket RealSystem::duplicate(Socket socket) {
  WSAPROTOCOL_INFOW info;
  must(WSADuplicateSocketW(socket, GetCurrentProcessId(), &info) == 0, "WSADuplicateSocket");
  const SOCKET made =
      WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0, WSA_FLAG_OVERLAPPED);
  must(made != INVALID_SOCKET, "socket of a protocol info");
  state_->open.insert(made);
  return made;
}

void RealSystem::connect(Socket socket, Socket listener) {
  sockaddr_in address = address_of(listener);
  must(::connect(socket, as_address(address), sizeof address) == 0 || WSAGetLastError() == WSAEWOULDBLOCK, "connect");
}

void RealSystem::connect_to_closed_port(Socket socket) {
  const Socket gone = state_->bound(SOCK_STREAM);
  sockaddr_in address = address_of(gone);
  close(gone);
  must(::connect(socket, as_address(address), sizeof address) == 0 || WSAGetLastError() == WSAEWOULDBLOCK, "connect");
}

std::optional<Socket> RealSystem::accept(Socket listener) {
  const SOCKET made = ::accept(listener, nullptr, nullptr);
  if (made == INVALID_SOCKET) {
    must(WSAGetLastError() == WSAEWOULDBLOCK, "accept");
    return std::nullopt;
  }
  state_->open.insert(made);
  return made;
}

std::size_t RealSystem::send(Socket socket, std::size_t bytes) {
  const auto length = static_cast<int>(std::min(bytes, state_->buffer.size()));
  const int sent = ::send(socket, state_->buffer.data(), length, 0);
  must(sent >= 0 || WSAGetLastError() == WSAEWOULDBLOCK, "send");
  return static_cast<std::size_t>(std::max(sent, 0));
}

reactor::Result<std::size_t> RealSystem::recv(Socket socket, std::size_t max) {
  const int got = ::recv(socket, state_->buffer.data(), static_cast<int>(std::min(max, state_->buffer.size())), 0);
  if (got < 0) return reactor::failure(error_of(WSAGetLastError()));
  return static_cast<std::size_t>(got);
}

void RealSystem::send_to(Socket from, Socket to, std::size_t bytes) {
  sockaddr_in address = address_of(to);
  const int sent = sendto(from, state_->buffer.data(), static_cast<int>(bytes), 0, as_address(address), sizeof address);
  must(sent == static_cast<int>(bytes), "sendto");
}

void RealSystem::send_to_closed_port(Socket from) {
  const Socket gone = state_->bound(SOCK_DGRAM);
  sockaddr_in address = address_of(gone);
  close(gone);
  must(::connect(from, as_address(address), sizeof address) == 0,
       "connect");  // Linux reports it to connected sockets only
  must(::send(from, "x", 1, 0) == 1, "send");
}

void RealSystem::send_urgent(Socket socket) { must(::send(socket, "!", 1, MSG_OOB) == 1, "send urgent"); }

void RealSystem::recv_urgent(Socket socket) {
  char byte = 0;
  must(::recv(socket, &byte, 1, MSG_OOB) == 1, "recv urgent");
}

void RealSystem::set_urgent_inline(Socket socket) {
  const BOOL on = TRUE;
  must(setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, reinterpret_cast<const char*>(&on), sizeof on) == 0,
       "SO_OOBINLINE");
}

void RealSystem::shutdown(Socket socket, reactor::Shutdown which) {
  const int how = which == reactor::Shutdown::read ? SD_RECEIVE : which == reactor::Shutdown::write ? SD_SEND : SD_BOTH;
  must(::shutdown(socket, how) == 0, "shutdown");
}

int RealSystem::so_error(Socket socket) {
  int error = 0, size = sizeof error;
  must(getsockopt(socket, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) == 0, "SO_ERROR");
  return error;
}

void RealSystem::begin_receive(Socket socket) {
  Operation& operation = *state_->operations.emplace_back(std::make_unique<Operation>());
  WSABUF buffer{.len = static_cast<ULONG>(operation.buffer.size()), .buf = operation.buffer.data()};
  DWORD flags = 0;
  const int result = WSARecv(socket, &buffer, 1, nullptr, &flags, &operation.overlapped, nullptr);
  must(result == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING, "a WSARecv that waits");
}

void RealSystem::begin_accept(Socket listener) {
  GUID id = WSAID_ACCEPTEX;
  LPFN_ACCEPTEX accept_ex = nullptr;
  DWORD size = 0;
  must(WSAIoctl(listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &accept_ex, sizeof accept_ex, &size,
                nullptr, nullptr) == 0,
       "AcceptEx");
  Operation& operation = *state_->operations.emplace_back(std::make_unique<Operation>());
  constexpr DWORD address_size = sizeof(sockaddr_in) + 16;
  const BOOL done =
      accept_ex(listener, tcp(), operation.buffer.data(), 0, address_size, address_size, &size, &operation.overlapped);
  must(!done && WSAGetLastError() == ERROR_IO_PENDING, "an AcceptEx that waits");
}

std::optional<reactor::nt::NTSTATUS> RealSystem::replace_port(reactor::nt::HANDLE handle, reactor::nt::HANDLE port,
                                                              reactor::nt::ULONG_PTR key) {
  using SetInformationFile = LONG(NTAPI*)(::HANDLE, void*, void*, ULONG, ULONG);
  constexpr ULONG file_replace_completion_information = 61;
  struct {
    ::HANDLE port;
    void* key;
  } information{port, reinterpret_cast<void*>(key)};
  void* const address = reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtSetInformationFile"));
  must(address != nullptr, "NtSetInformationFile");
  reactor::nt::IO_STATUS_BLOCK iosb{};
  return reinterpret_cast<SetInformationFile>(address)(handle, &iosb, &information, sizeof information,
                                                       file_replace_completion_information);
}

void RealSystem::reset(Socket socket) {
  const linger hard{1, 0};
  must(setsockopt(socket, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&hard), sizeof hard) == 0, "SO_LINGER");
  close(socket);
}

void RealSystem::close(Socket socket) {
  state_->open.erase(socket);
  must(closesocket(socket) == 0, "closesocket");
}

reactor::nt::HANDLE RealSystem::no_socket() {
  const ::HANDLE event = CreateEventW(nullptr, TRUE, FALSE, nullptr);
  must(event != nullptr, "CreateEvent");
  state_->handles.push_back(event);
  return event;
}

reactor::nt::HANDLE RealSystem::object(Object kind, bool is_set) {
  ::HANDLE made = nullptr;
  switch (kind) {
    case Object::manual_reset: made = CreateEventW(nullptr, TRUE, is_set ? TRUE : FALSE, nullptr); break;
    case Object::auto_reset: made = CreateEventW(nullptr, FALSE, is_set ? TRUE : FALSE, nullptr); break;
    case Object::semaphore: made = CreateSemaphoreW(nullptr, is_set ? 1 : 0, 100, nullptr); break;
    case Object::mutex: made = CreateMutexW(nullptr, FALSE, nullptr); break;
  }
  must(made != nullptr, "an object");
  state_->handles.push_back(made);
  return made;
}

void RealSystem::set(reactor::nt::HANDLE object) {
  must(SetEvent(object) != 0 || ReleaseSemaphore(object, 1, nullptr) != 0, "set");
}

bool RealSystem::try_wait(reactor::nt::HANDLE object) { return WaitForSingleObject(object, 0) == WAIT_OBJECT_0; }

void RealSystem::close_object(reactor::nt::HANDLE object) {
  std::erase(state_->handles, object);
  CloseHandle(object);
}

void RealSystem::meanwhile(std::function<void()> what) { state_->running.emplace_back(std::move(what)); }

void RealSystem::join() {
  for (auto& thread : state_->running) thread.join();
  state_->running.clear();
}

}  // namespace conformance
