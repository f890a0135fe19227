// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include <reactor/nt/types.hpp>
#include <reactor/result.hpp>

namespace reactor::nt {

/// A SOCKET, by its number.
using SocketNumber = std::uintptr_t;

/// The seam between the AFD backend and a kernel: the real one, or a simulated one in the tests.
///
/// Thin on purpose: what the kernel answers goes back as it is, and all judgement is the backend's. Every function may
/// be called from any thread. docs/kernel-facts.md has what each does and where that was seen.
class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;

  /// NtCreateIoCompletion.
  [[nodiscard]] virtual Result<HANDLE> create_port() = 0;

  /// NtRemoveIoCompletionEx: sleeps until there is a packet or `timeout` is over (none: no end), then takes up to
  /// packets.size() of them. STATUS_TIMEOUT leaves `removed` with any value: trust the status (fact:
  /// port.timeout_removed). May end up to a clock tick early.
  [[nodiscard]] virtual NTSTATUS dequeue(HANDLE port, std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                                         std::optional<std::chrono::nanoseconds> timeout) = 0;

  /// NtAllocateReserveObject: what a post needs, set aside in advance, for one queued packet at a time. Error:
  /// function_not_supported where ntdll lacks it (Wine 8).
  [[nodiscard]] virtual Result<HANDLE> create_reserve() = 0;

  /// NtSetIoCompletion: a packet made by hand; status and information are 0. With a reserve (null: none)
  /// NtSetIoCompletionEx, which cannot fail for memory; the reserve's last packet must have been dequeued.
  [[nodiscard]] virtual NTSTATUS post(HANDLE port, HANDLE reserve, ULONG_PTR key, void* context) = 0;

  /// NtCreateFile on \Device\Afd\..., associated with the port: its packets carry `key`.
  [[nodiscard]] virtual Result<HANDLE> open_helper(HANDLE port, ULONG_PTR key) = 0;

  /// NtDeviceIoControlFile with IOCTL_AFD_POLL; `poll` has `size_bytes` and is both what is asked and where the answer
  /// goes. Unless it fails at once, `iosb` and `poll` belong to the kernel until the packet with `context` has been
  /// taken from the port, or the call itself returned STATUS_SUCCESS on a handle that skips packets then.
  [[nodiscard]] virtual NTSTATUS poll(HANDLE helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll, ULONG size_bytes,
                                      void* context) = 0;

  /// NtCancelIoFileEx: the request with that status block, or with none all that are pending on the handle. Their
  /// packets follow. STATUS_NOT_FOUND: nothing was pending (any more).
  virtual NTSTATUS cancel(HANDLE helper, IO_STATUS_BLOCK* request) = 0;

  /// NtClose.
  virtual void close(HANDLE handle) noexcept = 0;

  /// The socket AFD knows, below any layered service provider: SIO_BASE_HANDLE, else SIO_BSP_HANDLE_POLL or
  /// SIO_BSP_HANDLE_SELECT for as long as the value changes. Errors: bad_file_descriptor (not open), not_a_socket, or
  /// not_supported when a provider hides it.
  [[nodiscard]] virtual Result<HANDLE> base_socket(SocketNumber socket) = 0;

  /// SetFileCompletionNotificationModes with FILE_SKIP_COMPLETION_PORT_ON_SUCCESS and FILE_SKIP_SET_EVENT_ON_HANDLE.
  [[nodiscard]] virtual bool skip_packet_on_success(HANDLE helper) = 0;

  /// Whether `notify` is there: in ws2_32 of Windows 11 and Server 2022.
  [[nodiscard]] virtual bool has_notifications() { return false; }

  /// ProcessSocketNotifications: makes the changes, each of which gets its result, and then dequeues as `dequeue` does,
  /// with a time-out in milliseconds. Without a buffer for packets it only makes the changes. The answer is a Win32
  /// error. 0, and WAIT_TIMEOUT for no packet in time: each change has its result, a Win32 error too, or an NTSTATUS
  /// (not known). Any other: nothing was changed.
  [[nodiscard]] virtual ULONG notify(HANDLE port, std::span<SOCK_NOTIFY_REGISTRATION> changes,
                                     std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                                     std::uint32_t timeout_ms) {
    static_cast<void>(port), static_cast<void>(changes), static_cast<void>(packets), static_cast<void>(timeout_ms);
    removed = 0;
    return 120;  // ERROR_CALL_NOT_IMPLEMENTED
  }

  // Waiting for objects: events, processes, timers, semaphores (docs/kernel-facts.md, wait.*).

  /// Whether ntdll has wait packets: Windows 8 on, not Wine 8 and 10. Elsewhere `begin_wait` does it.
  [[nodiscard]] virtual bool has_wait_packets() { return false; }

  /// NtCreateWaitCompletionPacket.
  [[nodiscard]] virtual Result<HANDLE> create_wait_packet() { return failure(std::errc::function_not_supported); }

  /// NtAssociateWaitCompletionPacket: once the object is signalled, a packet with status and information 0 is queued,
  /// once; also if it is signalled already, which `was_signalled` says. What an object gives up when a wait is
  /// satisfied (an auto-reset event its signal, a semaphore one of its count) it has given up then. The wait packet
  /// must not be in use: associated, or its packet queued.
  [[nodiscard]] virtual NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                                           bool& was_signalled) {
    static_cast<void>(wait_packet), static_cast<void>(port), static_cast<void>(object), static_cast<void>(key);
    static_cast<void>(context);
    was_signalled = false;
    return STATUS_NOT_SUPPORTED;
  }

  /// NtCancelWaitCompletionPacket. STATUS_SUCCESS: it waits no more, and no packet comes. STATUS_PENDING: its packet is
  /// queued or on its way, may come, and the wait packet cannot be used again for now. STATUS_CANCELLED: its packet was
  /// dequeued, or it was never associated. With `removes_queued` a queued packet is removed, and what its object has
  /// given up for it is lost.
  [[nodiscard]] virtual NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) {
    static_cast<void>(wait_packet), static_cast<void>(removes_queued);
    return STATUS_NOT_SUPPORTED;
  }

  /// RegisterWaitForSingleObject, once: a thread of the system's pool waits, and posts a packet with status and
  /// information 0 to the port. What it returns is no kernel handle: end_wait releases it.
  [[nodiscard]] virtual Result<HANDLE> begin_wait(HANDLE port, HANDLE object, ULONG_PTR key, void* context) {
    static_cast<void>(port), static_cast<void>(object), static_cast<void>(key), static_cast<void>(context);
    return failure(std::errc::function_not_supported);
  }

  /// UnregisterWaitEx: once it returns, the pool's thread does nothing any more. True: the packet was posted.
  [[nodiscard]] virtual bool end_wait(HANDLE wait) noexcept {
    static_cast<void>(wait);
    return false;
  }

  /// CreateWaitableTimerEx with CREATE_WAITABLE_TIMER_HIGH_RESOLUTION: a timer that ends between two clock ticks, and
  /// that a wait resets. Fails before Windows 10 1803.
  [[nodiscard]] virtual Result<HANDLE> create_timer() { return failure(std::errc::function_not_supported); }

  /// SetWaitableTimer, once: it is signalled when `time` has passed, and not before. Replaces the time that it was set
  /// to; a wait packet that is associated with it stays so.
  [[nodiscard]] virtual NTSTATUS set_timer(HANDLE timer, std::chrono::nanoseconds time) {
    static_cast<void>(timer), static_cast<void>(time);
    return STATUS_NOT_SUPPORTED;
  }

  /// Another handle of the same object, with the same access.
  [[nodiscard]] virtual Result<HANDLE> duplicate(HANDLE object) {
    static_cast<void>(object);
    return failure(std::errc::function_not_supported);
  }

  /// CreateIoCompletionPort, with both: each operation on this handle that ends queues a packet with `key`, the address
  /// of its OVERLAPPED as context, and its status and information. Errors: invalid_argument when it is not overlapped,
  /// or has a port already; bad_file_descriptor when it is not open, or no file.
  [[nodiscard]] virtual Result<> associate_file(HANDLE file, HANDLE port, ULONG_PTR key) {
    static_cast<void>(file), static_cast<void>(port), static_cast<void>(key);
    return failure(std::errc::function_not_supported);
  }

  /// The calling thread's number, which no other thread that runs has. Not a kernel call.
  [[nodiscard]] virtual std::uint32_t thread_id() = 0;

  /// A monotonic clock.
  [[nodiscard]] virtual std::chrono::nanoseconds now() = 0;
};

/// The kernel this program runs on. Made at first use, for the life of the process. Fails with function_not_supported
/// when ntdll lacks a function, whose name the error's message gives.
[[nodiscard]] Result<Kernel*> system_kernel();

/// Whether that number is an open socket. Makes no kernel call for one. Errors: bad_file_descriptor when it is not
/// open, not_a_socket when it is a handle of another kind. Under Wine a socket that was closed by CloseHandle, and not
/// by closesocket, may still count as one.
[[nodiscard]] Result<> check_socket(SocketNumber socket) noexcept;

}  // namespace reactor::nt
