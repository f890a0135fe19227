// SPDX-License-Identifier: MIT
#include "synchronous_afd.hpp"

#include <windows.h>
#include <winternl.h>

#include "arguments.hpp"

namespace bench {

// nt::Kernel::open_helper opens for asynchronous I/O only, and on a port.
void* open_synchronous_helper() {
  wchar_t path[] = L"\\Device\\Afd\\bench";
  constexpr auto bytes = static_cast<USHORT>(sizeof path - sizeof(wchar_t));
  UNICODE_STRING name{bytes, bytes, path};
  OBJECT_ATTRIBUTES attributes{};
  attributes.Length = sizeof attributes;
  attributes.ObjectName = &name;
  IO_STATUS_BLOCK iosb{};
  HANDLE opened = nullptr;
  const auto status =
      NtCreateFile(&opened, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                   FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
  if (status < 0) fail("a helper handle for synchronous I/O could not be opened");
  return opened;
}

}  // namespace bench
