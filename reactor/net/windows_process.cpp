// SPDX-License-Identifier: MIT
#include <reactor/net/process.hpp>

#include <reactor/nt/windows.hpp>

namespace reactor::sys {

namespace {

std::unexpected<std::error_code> last_error() noexcept {
  switch (::GetLastError()) {
    case ERROR_ACCESS_DENIED: return failure(std::errc::permission_denied);
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_NO_SYSTEM_RESOURCES: return failure(std::errc::not_enough_memory);
    default: return failure(std::errc::bad_file_descriptor);
  }
}

}  // namespace

Result<NativeHandle> open_process(NativeHandle process) noexcept {
  HANDLE own = nullptr;
  const HANDLE self = ::GetCurrentProcess();
  if (::DuplicateHandle(self, process, self, &own, SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, 0) == 0) {
    return last_error();
  }
  return own;
}

void close_process(NativeHandle handle) noexcept { ::CloseHandle(handle); }

Result<std::optional<int>> take_exit_code(NativeHandle handle) noexcept {
  // Not by the code STILL_ACTIVE, with which a process may end.
  if (::WaitForSingleObject(handle, 0) == WAIT_TIMEOUT) return std::nullopt;
  DWORD code = 0;
  if (::GetExitCodeProcess(handle, &code) == 0) return last_error();
  return static_cast<int>(code);
}

}  // namespace reactor::sys
