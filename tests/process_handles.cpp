// SPDX-License-Identifier: MIT
#include "process_handles.hpp"

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

// What NtQuerySystemInformation(64) returns for each open handle of the system.
struct SystemHandle {
  void* object;
  ULONG_PTR process_id, value;
  ULONG access;
  USHORT creator, type;
  ULONG attributes, reserved;
};
static_assert(sizeof(SystemHandle) == 16 + 3 * sizeof(void*));

// The handles of this process. Only the list of all handles has their types, and GetProcessHandleCount returns 0 on
// Wine 8.
std::vector<SystemHandle> our_handles() {
  using Query = LONG(NTAPI*)(int what, void* buffer, ULONG length, ULONG* needed);
  auto* address = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtQuerySystemInformation");
  const auto query = reinterpret_cast<Query>(reinterpret_cast<void*>(address));
  constexpr auto length_mismatch = static_cast<LONG>(0xC0000004);
  std::vector<std::byte> buffer(1 << 16);
  ULONG needed = 0;
  while (query(64, buffer.data(), static_cast<ULONG>(buffer.size()), &needed) == length_mismatch) {
    buffer.resize(2 * buffer.size());
  }
  ULONG_PTR total = 0;
  std::memcpy(&total, buffer.data(), sizeof total);
  std::vector<SystemHandle> ours;
  for (std::size_t i = 0; i < total; i++) {
    SystemHandle handle{};
    std::memcpy(&handle, buffer.data() + 2 * sizeof(ULONG_PTR) + i * sizeof handle, sizeof handle);
    if (handle.process_id == GetCurrentProcessId()) ours.push_back(handle);
  }
  return ours;
}

// The type number of a handle, which is then closed; 0 when it is not in the list.
USHORT type_of(HANDLE handle) {
  const auto handles = our_handles();
  const auto found = std::ranges::find(handles, reinterpret_cast<ULONG_PTR>(handle), &SystemHandle::value);
  const USHORT type = found == handles.end() ? USHORT{0} : found->type;
  CloseHandle(handle);
  return type;
}

HANDLE open_some_file() {
  std::vector<wchar_t> path(1024);
  GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
  return CreateFileW(path.data(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL,
                     nullptr);
}

}  // namespace

int open_handles() {
  static const USHORT file = type_of(open_some_file());
  static const USHORT port = type_of(CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1));
  const auto handles = our_handles();
  return static_cast<int>(std::ranges::count_if(
      handles, [](const SystemHandle& handle) { return handle.type == file || handle.type == port; }));
}

#else
#include <filesystem>
#include <iterator>

int open_handles() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {})) -
         1;  // without the iterator's own
}

#endif
