// SPDX-License-Identifier: MIT
#include <reactor/nt/windows.hpp>

#include <cerrno>

#include <reactor/capi/last_error.hpp>

namespace reactor::capi {

namespace {

struct Meaning {
  std::errc condition;
  int error;
  DWORD system;
};

constexpr Meaning meanings[] = {
    {std::errc::bad_file_descriptor, EBADF, ERROR_INVALID_HANDLE},
    {std::errc::invalid_argument, EINVAL, ERROR_INVALID_PARAMETER},
    {std::errc::file_exists, EEXIST, ERROR_ALREADY_EXISTS},
    {std::errc::no_such_file_or_directory, ENOENT, ERROR_NOT_FOUND},
    {std::errc::not_a_socket, ENOTSOCK, WSAENOTSOCK},
    {std::errc::bad_address, EFAULT, ERROR_NOACCESS},
    {std::errc::not_enough_memory, ENOMEM, ERROR_NOT_ENOUGH_MEMORY},
    {std::errc::too_many_files_open, EMFILE, ERROR_TOO_MANY_OPEN_FILES},
    {std::errc::permission_denied, EACCES, ERROR_ACCESS_DENIED},
    {std::errc::not_supported, ENOTSUP, ERROR_NOT_SUPPORTED},
    {std::errc::function_not_supported, ENOSYS, ERROR_CALL_NOT_IMPLEMENTED},
};

}  // namespace

void set_error(std::error_code why) noexcept {
  constexpr Meaning unknown{std::errc::io_error, EIO, ERROR_GEN_FAILURE};
  const Meaning* found = &unknown;
  for (const Meaning& meaning : meanings) {
    if (why == meaning.condition) found = &meaning;
  }
  SetLastError(found->system);
  errno = found->error;
}

int fail(std::error_code why) noexcept {
  set_error(why);
  return -1;
}
int fail(std::errc why) noexcept { return fail(std::make_error_code(why)); }

}  // namespace reactor::capi
