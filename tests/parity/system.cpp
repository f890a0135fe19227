// SPDX-License-Identifier: MIT
// The only file of these tests that depends on the system.
#include "support.hpp"

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX  // MinGW's library may have defined it
#endif
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
// winsock2.h before windows.h
#include <windows.h>
#else
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

namespace parity {

#ifdef _WIN32

namespace {

FARPROC ntdll(const char* name) noexcept { return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name); }

// 0 on Windows.
int wine_version() noexcept {
  static const int found = [] {
    void* const function = reinterpret_cast<void*>(ntdll("wine_get_version"));
    return function == nullptr ? 0 : std::atoi(reinterpret_cast<const char* (*)()>(function)());
  }();
  return found;
}

}  // namespace

bool is_windows() noexcept { return true; }

bool is_wine() noexcept { return wine_version() != 0; }
bool is_wine_8() noexcept { return is_wine() && wine_version() < 10; }

TcpStream unconnected_stream() {
  const UdpSocket starts_winsock = must(UdpSocket::bind(Address::loopback_ipv4()));
  const SOCKET made =
      WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  REQUIRE(made != INVALID_SOCKET);
  u_long on = 1;
  REQUIRE(ioctlsocket(made, static_cast<long>(FIONBIO), &on) == 0);
  return TcpStream{made};
}

TcpStream duplicate(const TcpStream& stream) {
  WSAPROTOCOL_INFOW info;
  REQUIRE(WSADuplicateSocketW(stream.native(), GetCurrentProcessId(), &info) == 0);
  const SOCKET made = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                                 WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  REQUIRE(made != INVALID_SOCKET);
  return TcpStream{made};
}

std::size_t available(const TcpStream& stream) {
  u_long bytes = 0;
  if (ioctlsocket(stream.native(), static_cast<long>(FIONREAD), &bytes) != 0) FAIL("FIONREAD");
  return bytes;
}

bool is_signalled(reactor::NativeHandle handle, milliseconds timeout) {
  return WaitForSingleObject(handle, static_cast<DWORD>(timeout.count())) == WAIT_OBJECT_0;
}

namespace {

void (*on_interrupt)() = nullptr;

BOOL WINAPI control_handler(DWORD) {
  on_interrupt();
  return TRUE;
}

}  // namespace

// The system starts a thread at CtrlRoutine, which calls the handlers. To let it do so takes a console, whose other
// programs would be interrupted too.
void interrupt(void (*handler)()) {
  const FARPROC found = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "CtrlRoutine");
  void* const routine = reinterpret_cast<void*>(found);
  REQUIRE(routine != nullptr);
  on_interrupt = handler;
  REQUIRE(SetConsoleCtrlHandler(control_handler, TRUE));
  const auto entry = reinterpret_cast<LPTHREAD_START_ROUTINE>(routine);
  const HANDLE thread =
      CreateThread(nullptr, 0, entry, reinterpret_cast<void*>(ULONG_PTR{CTRL_BREAK_EVENT}), 0, nullptr);
  REQUIRE(thread != nullptr);
  CHECK(WaitForSingleObject(thread, 10000) == WAIT_OBJECT_0);
  CloseHandle(thread);
  CHECK(SetConsoleCtrlHandler(control_handler, FALSE));
}

RegularFile::RegularFile() : native_(reactor::invalid_socket) {
  std::vector<wchar_t> path(1024);
  REQUIRE(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())) != 0);
  const HANDLE file =
      CreateFileW(path.data(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  REQUIRE(file != INVALID_HANDLE_VALUE);
  native_ = reinterpret_cast<NativeSocket>(file);
}

RegularFile::~RegularFile() { CloseHandle(reinterpret_cast<HANDLE>(native_)); }

// The path is UTF-8, whatever the code page.
SocketPath::SocketPath() {
  std::array<wchar_t, MAX_PATH + 1> folder{};
  REQUIRE(GetTempPathW(static_cast<DWORD>(folder.size()), folder.data()) != 0);
  const std::wstring wide =
      std::wstring(folder.data()) + L"reactor_parity." + std::to_wstring(GetCurrentProcessId()) + L".sock";
  path_.resize(3 * wide.size());
  const int size = WideCharToMultiByte(CP_UTF8, 0, wide.data(), static_cast<int>(wide.size()), path_.data(),
                                       static_cast<int>(path_.size()), nullptr, nullptr);
  REQUIRE(size > 0);
  path_.resize(static_cast<std::size_t>(size));
}

SocketPath::~SocketPath() {
  std::array<wchar_t, MAX_PATH + 64> wide{};
  MultiByteToWideChar(CP_UTF8, 0, path_.c_str(), -1, wide.data(), static_cast<int>(wide.size()));
  DeleteFileW(wide.data());  // what opens the file first fails, as it is a reparse point [perl5#20204, zig#5652]
}

Signal::Signal() : native_(CreateEventW(nullptr, TRUE, FALSE, nullptr)) { REQUIRE(native_ != nullptr); }
void Signal::set() const { REQUIRE(SetEvent(native_) != 0); }
void Signal::clear() const { REQUIRE(ResetEvent(native_) != 0); }
void Signal::close() {
  if (std::exchange(is_open_, false)) CloseHandle(native_);
}

struct OverlappedPipe::Read {
  OVERLAPPED overlapped{};
};

OverlappedPipe::OverlappedPipe() : read_(std::make_unique<Read>()) {
  static int number = 0;
  const std::wstring name =
      L"\\\\.\\pipe\\reactor_parity." + std::to_wstring(GetCurrentProcessId()) + L"." + std::to_wstring(number++);
  constexpr DWORD mode = PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE;
  native_ = CreateNamedPipeW(name.c_str(), mode, PIPE_TYPE_BYTE, 1, 0, 4096, 0, nullptr);
  REQUIRE(native_ != INVALID_HANDLE_VALUE);
  other_ = CreateFileW(name.c_str(), GENERIC_WRITE, 0, nullptr, OPEN_EXISTING, 0, nullptr);
  REQUIRE(other_ != INVALID_HANDLE_VALUE);
}
OverlappedPipe::~OverlappedPipe() {
  close_other();
  CloseHandle(native_);
}
bool OverlappedPipe::begin_read() {
  read_->overlapped = {};
  const BOOL is_done =
      ReadFile(native_, buffer_.data(), static_cast<DWORD>(buffer_.size()), nullptr, &read_->overlapped);
  return is_done != 0 || GetLastError() == ERROR_IO_PENDING;
}
void OverlappedPipe::cancel() const { REQUIRE(CancelIoEx(native_, &read_->overlapped) != 0); }
void OverlappedPipe::skip_packets_on_success() const {
  REQUIRE(SetFileCompletionNotificationModes(native_, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) != 0);
}
const void* OverlappedPipe::overlapped() const noexcept { return &read_->overlapped; }
void OverlappedPipe::write(const std::string& text) const {
  DWORD written = 0;
  REQUIRE(WriteFile(other_, text.data(), static_cast<DWORD>(text.size()), &written, nullptr) != 0);
}
void OverlappedPipe::close_other() {
  if (const HANDLE other = std::exchange(other_, nullptr)) CloseHandle(other);
}

void begin_receive(const TcpStream& stream) {
  static OVERLAPPED overlapped;
  static char byte;
  overlapped = {};
  WSABUF buffer{1, &byte};
  DWORD flags = 0;
  const bool is_done = WSARecv(stream.native(), &buffer, 1, nullptr, &flags, &overlapped, nullptr) == 0;
  REQUIRE((is_done || WSAGetLastError() == WSA_IO_PENDING));
}

void post(const Poller& poller, std::uintptr_t key, unsigned bytes, void* overlapped) {
  REQUIRE(PostQueuedCompletionStatus(must(poller.native_handle()), bytes, key, static_cast<OVERLAPPED*>(overlapped)) !=
          0);
}

#else

Signal::Signal() : native_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { REQUIRE(native_ >= 0); }
void Signal::set() const {
  const std::uint64_t one = 1;
  REQUIRE(::write(native_, &one, sizeof one) == sizeof one);
}
void Signal::clear() const {
  std::uint64_t count = 0;
  REQUIRE(::read(native_, &count, sizeof count) == sizeof count);
}
void Signal::close() {
  if (std::exchange(is_open_, false)) ::close(native_);
}

bool is_windows() noexcept { return false; }
bool is_wine() noexcept { return false; }
bool is_wine_8() noexcept { return false; }

TcpStream unconnected_stream() {
  const int made = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  REQUIRE(made >= 0);
  return TcpStream{made};
}

TcpStream duplicate(const TcpStream& stream) {
  const int made = fcntl(stream.native(), F_DUPFD_CLOEXEC, 0);
  REQUIRE(made >= 0);
  return TcpStream{made};
}

std::size_t available(const TcpStream& stream) {
  int bytes = 0;
  if (ioctl(stream.native(), FIONREAD, &bytes) != 0) FAIL("FIONREAD");
  return static_cast<std::size_t>(bytes);
}

bool is_signalled(reactor::NativeHandle handle, milliseconds timeout) {
  pollfd watched{.fd = handle, .events = POLLIN, .revents = 0};
  return poll(&watched, 1, static_cast<int>(timeout.count())) == 1;
}

namespace {

void (*on_interrupt)() = nullptr;

}  // namespace

void interrupt(void (*handler)()) {
  on_interrupt = handler;
  struct sigaction ours{};
  struct sigaction before{};
  ours.sa_handler = [](int) { on_interrupt(); };
  REQUIRE(sigaction(SIGUSR2, &ours, &before) == 0);
  CHECK(raise(SIGUSR2) == 0);
  CHECK(sigaction(SIGUSR2, &before, nullptr) == 0);
}

RegularFile::RegularFile() : native_(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)) { REQUIRE(native_ >= 0); }

RegularFile::~RegularFile() { close(native_); }

SocketPath::SocketPath() : path_("/tmp/reactor_parity." + std::to_string(getpid()) + ".sock") {}

SocketPath::~SocketPath() { unlink(path_.c_str()); }

#endif

}  // namespace parity
