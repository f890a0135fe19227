// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

// What the NT kernel reads and writes, mirrored: same names, same layout, no operating-system header.
// reactor/nt/system_kernel.cpp asserts each size and offset against the real headers where those exist. The AFD
// structures are in no public header; their layout is that of docs/kernel-facts.md, seen on Wine 8 and used alike by
// every program that speaks to AFD.

namespace reactor::nt {

using HANDLE = void*;
using ULONG = std::uint32_t;
using ULONG_PTR = std::uintptr_t;
using NTSTATUS = std::int32_t;

inline constexpr NTSTATUS STATUS_SUCCESS = 0;
inline constexpr NTSTATUS STATUS_TIMEOUT = 0x102;
inline constexpr NTSTATUS STATUS_PENDING = 0x103;
inline constexpr NTSTATUS STATUS_INVALID_HANDLE = static_cast<NTSTATUS>(0xC0000008);
inline constexpr NTSTATUS STATUS_INVALID_PARAMETER = static_cast<NTSTATUS>(0xC000000D);
inline constexpr NTSTATUS STATUS_OBJECT_TYPE_MISMATCH = static_cast<NTSTATUS>(0xC0000024);
inline constexpr NTSTATUS STATUS_INSUFFICIENT_RESOURCES = static_cast<NTSTATUS>(0xC000009A);
inline constexpr NTSTATUS STATUS_NOT_SUPPORTED = static_cast<NTSTATUS>(0xC00000BB);
inline constexpr NTSTATUS STATUS_CANCELLED = static_cast<NTSTATUS>(0xC0000120);
inline constexpr NTSTATUS STATUS_NOT_FOUND = static_cast<NTSTATUS>(0xC0000225);

/// STATUS_TIMEOUT and STATUS_PENDING pass too: they are successes to the kernel.
[[nodiscard]] constexpr bool NT_SUCCESS(NTSTATUS status) noexcept { return status >= 0; }

/// The system is short of something that may be there again in a moment: it says nothing about the socket or handle
/// that it was asked about.
[[nodiscard]] constexpr bool is_shortage(NTSTATUS status) noexcept {
  switch (static_cast<std::uint32_t>(status)) {
    case 0xC0000017:  // STATUS_NO_MEMORY
    case 0xC0000044:  // STATUS_QUOTA_EXCEEDED
    case 0xC000009A:  // STATUS_INSUFFICIENT_RESOURCES
    case 0xC00000A1:  // STATUS_WORKING_SET_QUOTA
    case 0xC000011F:  // STATUS_TOO_MANY_OPENED_FILES
    case 0xC000012C:  // STATUS_PAGEFILE_QUOTA_EXCEEDED
    case 0xC000012D:  // STATUS_COMMITMENT_LIMIT
    case 0xC0000205:  // STATUS_INSUFF_SERVER_RESOURCES
      return true;
    default: return false;
  }
}

/// Not so a warning (0x8.......), after which the kernel queues a packet like after a success that it does not skip.
[[nodiscard]] constexpr bool NT_ERROR(NTSTATUS status) noexcept {
  return static_cast<std::uint32_t>(status) >= 0xC0000000;
}

struct IO_STATUS_BLOCK {
  union {
    NTSTATUS Status;
    void* Pointer;
  };
  ULONG_PTR Information;
};

struct FILE_IO_COMPLETION_INFORMATION {
  void* KeyContext;
  void* ApcContext;
  IO_STATUS_BLOCK IoStatusBlock;
};

inline constexpr ULONG AFD_POLL_RECEIVE = 0x001;
inline constexpr ULONG AFD_POLL_RECEIVE_EXPEDITED = 0x002;
inline constexpr ULONG AFD_POLL_SEND = 0x004;
inline constexpr ULONG AFD_POLL_DISCONNECT = 0x008;   // the peer sent FIN
inline constexpr ULONG AFD_POLL_ABORT = 0x010;        // the connection was reset
inline constexpr ULONG AFD_POLL_LOCAL_CLOSE = 0x020;  // closesocket here; reported whatever the mask
inline constexpr ULONG AFD_POLL_CONNECT = 0x040;      // stays set for ever after: never ask for it, SEND says the same
inline constexpr ULONG AFD_POLL_ACCEPT = 0x080;
inline constexpr ULONG AFD_POLL_CONNECT_FAIL = 0x100;

struct AFD_POLL_HANDLE_INFO {
  HANDLE Handle;
  ULONG Events;
  NTSTATUS Status;
};

/// The head of a poll; NumberOfHandles times AFD_POLL_HANDLE_INFO follow.
struct AFD_POLL_INFO {
  std::int64_t Timeout;  // in 100 ns; negative: from now; INT64_MAX: never
  ULONG NumberOfHandles;
  ULONG Exclusive;
};

/// What ProcessSocketNotifications takes: documented, from Windows 11 and Server 2022 on.
struct SOCK_NOTIFY_REGISTRATION {
  ULONG_PTR socket;
  void* completionKey;
  std::uint16_t eventFilter;
  std::uint8_t operation;
  std::uint8_t triggerFlags;
  ULONG registrationResult;  // written by the call: 0, or why it was refused
};

/// Its numbers. Newer SDKs have macros of the documented names (SOCK_NOTIFY_REGISTER_EVENT_IN, SOCK_NOTIFY_EVENT_ERR,
/// SOCK_NOTIFY_OP_ENABLE, SOCK_NOTIFY_TRIGGER_LEVEL ...), so these have names of their own.
struct SocketNotify {
  static constexpr std::uint16_t in = 0x01, out = 0x02, hangup = 0x04;  // filters, and events
  static constexpr ULONG err = 0x40, removed = 0x80;                    // events, whatever the filter
  static constexpr std::uint8_t enable = 1, disable = 2, remove = 4;
  static constexpr std::uint8_t oneshot = 1, persistent = 2, level = 4, edge = 8;
};

inline constexpr std::int64_t poll_never_times_out = INT64_MAX;

/// The size of a poll of so many sockets. Exact: AfdPollOne has padding behind it where pointers have 32 bits.
[[nodiscard]] constexpr ULONG poll_size_bytes(std::size_t sockets) noexcept {
  return static_cast<ULONG>(sizeof(AFD_POLL_INFO) + sockets * sizeof(AFD_POLL_HANDLE_INFO));
}

/// A poll of one socket.
struct AfdPollOne {
  AFD_POLL_INFO info;
  AFD_POLL_HANDLE_INFO handle;
};

static_assert(sizeof(IO_STATUS_BLOCK) == 2 * sizeof(void*));
static_assert(alignof(IO_STATUS_BLOCK) == alignof(void*));
static_assert(offsetof(IO_STATUS_BLOCK, Information) == sizeof(void*));
static_assert(sizeof(FILE_IO_COMPLETION_INFORMATION) == 4 * sizeof(void*));
static_assert(offsetof(FILE_IO_COMPLETION_INFORMATION, ApcContext) == sizeof(void*));
static_assert(offsetof(FILE_IO_COMPLETION_INFORMATION, IoStatusBlock) == 2 * sizeof(void*));
static_assert(sizeof(AFD_POLL_INFO) == 16 && alignof(AFD_POLL_INFO) == 8);
static_assert(offsetof(AFD_POLL_INFO, NumberOfHandles) == 8 && offsetof(AFD_POLL_INFO, Exclusive) == 12);
static_assert(sizeof(AFD_POLL_HANDLE_INFO) == 8 + sizeof(void*));
static_assert(offsetof(AFD_POLL_HANDLE_INFO, Events) == sizeof(void*));
static_assert(offsetof(AFD_POLL_HANDLE_INFO, Status) == sizeof(void*) + 4);
static_assert(offsetof(AfdPollOne, handle) == 16);
static_assert(sizeof(SOCK_NOTIFY_REGISTRATION) == 8 + 2 * sizeof(void*));
static_assert(offsetof(SOCK_NOTIFY_REGISTRATION, eventFilter) == 2 * sizeof(void*));
static_assert(offsetof(SOCK_NOTIFY_REGISTRATION, registrationResult) == 2 * sizeof(void*) + 4);

}  // namespace reactor::nt
