// SPDX-License-Identifier: MIT
// Apart from the sockets, as the C API needs this and none of those.
#include <reactor/net/system.hpp>
#include <reactor/nt/status.hpp>

#include <reactor/nt/windows.hpp>

namespace reactor::sys {

// Never undone by WSACleanup: it would close the sockets that the rest of the process still has.
Result<> start() noexcept {
  static const int error = [] {
    WSADATA data;
    return ::WSAStartup(MAKEWORD(2, 2), &data);
  }();
  if (error != 0) return failure(nt::make_win32_error(static_cast<nt::ULONG>(error)));
  return {};
}

}  // namespace reactor::sys
