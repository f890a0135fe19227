// SPDX-License-Identifier: MIT
#include <reactor/net/process.hpp>

#include <cerrno>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace reactor::sys {

namespace {

constexpr int killed_by_signal = 128;  // as a shell says it

// Debian 12's C library has it in no header.
constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD

std::unexpected<std::error_code> last_error() noexcept {
  const int error = errno;
  return failure(std::error_code(error, error_category()));
}

}  // namespace

Result<NativeHandle> open_process(NativeHandle process) noexcept {
#ifdef SYS_pidfd_open
  const auto opened = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));  // close-on-exec
  if (opened < 0) return last_error();
  return opened;
#else
  static_cast<void>(process);
  return failure(std::errc::function_not_supported);
#endif
}

void close_process(NativeHandle handle) noexcept { ::close(handle); }

Result<std::optional<int>> take_exit_code(NativeHandle handle) noexcept {
  siginfo_t info{};
  if (::waitid(by_pidfd, static_cast<id_t>(handle), &info, WEXITED | WNOHANG) != 0) return last_error();
  if (info.si_pid == 0) return std::nullopt;
  return info.si_code == CLD_EXITED ? info.si_status : killed_by_signal + info.si_status;
}

}  // namespace reactor::sys
