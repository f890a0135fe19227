// SPDX-License-Identifier: MIT
#include "synchronous_afd.hpp"

#include <windows.h>
#include <winternl.h>

#include <string>

#include "arguments.hpp"

namespace bench {

namespace {

constexpr ULONG ioctl_afd_poll = 0x00012024;
constexpr NTSTATUS status_timeout = 0x102;
constexpr auto status_cancelled = static_cast<NTSTATUS>(0xC0000120);

}  // namespace

SynchronousAfd::SynchronousAfd() {
  wchar_t path[] = L"\\Device\\Afd\\bench";
  constexpr auto bytes = static_cast<USHORT>(sizeof path - sizeof(wchar_t));
  UNICODE_STRING name{bytes, bytes, path};
  OBJECT_ATTRIBUTES attributes{};
  attributes.Length = sizeof attributes;
  attributes.ObjectName = &name;
  IO_STATUS_BLOCK iosb{};
  const NTSTATUS status =
      NtCreateFile(&handle_, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN,
                   FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
  if (status < 0) fail("there is no helper handle for synchronous I/O");
}

SynchronousAfd::~SynchronousAfd() { CloseHandle(handle_); }

bool SynchronousAfd::submit(Info& info) {
  const auto size = static_cast<ULONG>(buffer_.size());
  IO_STATUS_BLOCK iosb{};
  const NTSTATUS status =
      NtDeviceIoControlFile(handle_, nullptr, nullptr, nullptr, &iosb, ioctl_afd_poll, &info, size, &info, size);
  if (status < 0 && status != status_cancelled) fail("a synchronous poll: status " + std::to_string(status));
  return status != status_timeout && status != status_cancelled;
}

bool SynchronousAfd::cancel() { return CancelIoEx(handle_, nullptr) != FALSE; }

}  // namespace bench
