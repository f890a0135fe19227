// SPDX-License-Identifier: MIT
#include <reactor/nt/windows.hpp>
// after windows.h
#include <mswsock.h>
#include <winternl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Macros of winternl.h; in nt/types.hpp they are functions.
#undef NT_SUCCESS
#undef NT_ERROR

#include <reactor/allocation.hpp>
#include <reactor/mutex.hpp>
#include <reactor/nt/functions.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/nt/object_waits.hpp>
#include <reactor/nt/status.hpp>

namespace reactor::nt {

namespace {

// The mirrored types against the real ones. FILE_IO_COMPLETION_INFORMATION and the AFD structures are in no header of
// the SDK; OVERLAPPED_ENTRY is what the former looks like to GetQueuedCompletionStatusEx.
static_assert(sizeof(HANDLE) == sizeof(::HANDLE) && sizeof(NTSTATUS) == sizeof(::NTSTATUS));
static_assert(sizeof(ULONG) == sizeof(::ULONG) && sizeof(ULONG_PTR) == sizeof(::ULONG_PTR));
static_assert(sizeof(SocketNumber) == sizeof(::SOCKET));
static_assert(sizeof(IO_STATUS_BLOCK) == sizeof(::IO_STATUS_BLOCK));
static_assert(alignof(IO_STATUS_BLOCK) == alignof(::IO_STATUS_BLOCK));
static_assert(offsetof(IO_STATUS_BLOCK, Status) == offsetof(::IO_STATUS_BLOCK, Status));
static_assert(offsetof(IO_STATUS_BLOCK, Information) == offsetof(::IO_STATUS_BLOCK, Information));
static_assert(sizeof(FILE_IO_COMPLETION_INFORMATION) == sizeof(::OVERLAPPED_ENTRY));
static_assert(alignof(AFD_POLL_INFO) == alignof(::LARGE_INTEGER));
static_assert(sizeof(Mutex) == sizeof(SRWLOCK) && alignof(Mutex) == alignof(SRWLOCK));

using NtCreateIoCompletionFn = NTSTATUS NTAPI(::HANDLE* port, ACCESS_MASK access, OBJECT_ATTRIBUTES* attributes,
                                              ::ULONG threads);
using NtRemoveIoCompletionExFn = NTSTATUS NTAPI(::HANDLE port, FILE_IO_COMPLETION_INFORMATION* entries, ::ULONG count,
                                                ULONG* removed, LARGE_INTEGER* timeout, BOOLEAN alertable);
using NtSetIoCompletionFn = NTSTATUS NTAPI(::HANDLE port, void* key, void* context, NTSTATUS status,
                                           ::ULONG_PTR information);
using NtSetIoCompletionExFn = NTSTATUS NTAPI(::HANDLE port, ::HANDLE reserve, void* key, void* context, NTSTATUS status,
                                             ::ULONG_PTR information);
using NtAllocateReserveObjectFn = NTSTATUS NTAPI(::HANDLE* reserve, OBJECT_ATTRIBUTES* attributes, ::ULONG type);
using NtCreateFileFn = NTSTATUS NTAPI(::HANDLE* file, ACCESS_MASK access, OBJECT_ATTRIBUTES* attributes,
                                      IO_STATUS_BLOCK* iosb, LARGE_INTEGER* size, ::ULONG file_attributes,
                                      ::ULONG share, ::ULONG disposition, ::ULONG options, void* ea, ::ULONG ea_length);
using NtDeviceIoControlFileFn = NTSTATUS NTAPI(::HANDLE file, ::HANDLE event, void* apc, void* apc_context,
                                               IO_STATUS_BLOCK* iosb, ::ULONG code, void* in, ::ULONG in_length,
                                               void* out, ::ULONG out_length);
using NtCancelIoFileExFn = NTSTATUS NTAPI(::HANDLE file, IO_STATUS_BLOCK* request, IO_STATUS_BLOCK* iosb);

using ProcessSocketNotificationsFn = DWORD WSAAPI(::HANDLE port, UINT32 count, SOCK_NOTIFY_REGISTRATION* changes,
                                                  UINT32 timeout_ms, ::ULONG size,
                                                  FILE_IO_COMPLETION_INFORMATION* packets, UINT32* removed);

constexpr ::ULONG ioctl_afd_poll = 0x00012024;  // METHOD_BUFFERED: the same buffer serves as in and out

std::error_code system_error() noexcept { return make_win32_error(GetLastError()); }

/// Wine exports this function; Windows does not.
bool is_wine() noexcept {
  static const bool found = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != nullptr;
  return found;
}

/// Under Wine alone: the helper handles of this process. A socket that was closed unseen may have left its number to
/// one of them, and a poll that lists a handle of \Device\Afd that is no socket kills Wine's server (8 and 10; kernel
/// test bad.helper). So none is opened, or closed, while a poll is on its way into the kernel, and none is ever polled.
/// Windows refuses such a poll by itself, and no lock is on its path there ("flat cost").
class HelperHandles {
 public:
  template <class Open>
  Result<HANDLE> open(Open&& open) {
    if (!is_wine()) return open();
    AcquireSRWLockExclusive(&lock_);
    const auto open_and_keep = [&]() -> Result<HANDLE> {
      handles_.reserve(handles_.size() + 1);
      const Result<HANDLE> opened = open();
      if (opened) handles_.insert(std::ranges::upper_bound(handles_, *opened), *opened);
      return opened;
    };
    const auto opened = catch_bad_alloc(open_and_keep, out_of_memory());
    ReleaseSRWLockExclusive(&lock_);
    return opened;
  }

  void close(HANDLE handle) noexcept {
    if (!is_wine()) {
      CloseHandle(handle);
      return;
    }
    AcquireSRWLockExclusive(&lock_);
    const auto found = std::ranges::lower_bound(handles_, handle);
    if (found != handles_.end() && *found == handle) handles_.erase(found);
    CloseHandle(handle);
    ReleaseSRWLockExclusive(&lock_);
  }

  /// What `poll` says, unless it lists one of them.
  template <class Poll>
  NTSTATUS poll(std::span<const AFD_POLL_HANDLE_INFO> entries, Poll&& poll) noexcept {
    if (!is_wine()) return poll();
    AcquireSRWLockShared(&lock_);
    const bool lists_one = std::ranges::any_of(
        entries, [this](const auto& entry) { return std::ranges::binary_search(handles_, entry.Handle); });
    const NTSTATUS status = lists_one ? STATUS_OBJECT_TYPE_MISMATCH : poll();
    ReleaseSRWLockShared(&lock_);
    return status;
  }

 private:
  SRWLOCK lock_ = SRWLOCK_INIT;
  std::vector<HANDLE> handles_;  // sorted
};

class SystemKernel final : public Kernel {
 public:
  [[nodiscard]] Result<> resolve_functions() {
    const auto find = [](const char* name) {
      return reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ntdll.dll"), name));
    };
    const auto found = resolve(find);
    if (!found) return failure(found.error());
    // In the order of function_names.
    auto in_order = [&, i = std::size_t{0}]<class Function>(Function*& function) mutable {
      function = reinterpret_cast<Function*>((*found)[i++]);
    };
    in_order(create_io_completion_);
    in_order(remove_io_completion_);
    in_order(set_io_completion_);
    in_order(create_file_);
    in_order(device_io_control_);
    in_order(cancel_io_file_);
    set_io_completion_ex_ = reinterpret_cast<NtSetIoCompletionExFn*>(find("NtSetIoCompletionEx"));
    allocate_reserve_ = reinterpret_cast<NtAllocateReserveObjectFn*>(find("NtAllocateReserveObject"));
    waits_.resolve(find);
    // Not in every import library of ws2_32 that has the others.
    void* const notify =
        reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(L"ws2_32.dll"), "ProcessSocketNotifications"));
    process_notifications_ = reinterpret_cast<ProcessSocketNotificationsFn*>(notify);
    return {};
  }

  [[nodiscard]] Result<HANDLE> create_port() override {
    ::HANDLE port = nullptr;
    const NTSTATUS status = create_io_completion_(&port, IO_COMPLETION_ALL_ACCESS, nullptr, 0);
    if (!NT_SUCCESS(status)) return failure(make_error(status));
    return port;
  }

  [[nodiscard]] NTSTATUS dequeue(HANDLE port, std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                                 std::optional<std::chrono::nanoseconds> timeout) override {
    LARGE_INTEGER relative;  // negative: from now, in 100 ns; rounded up, so as not to come back early by rounding
    if (timeout) relative.QuadPart = -((timeout->count() + 99) / 100);
    return remove_io_completion_(port, packets.data(), static_cast<::ULONG>(packets.size()), &removed,
                                 timeout ? &relative : nullptr, FALSE);
  }

  [[nodiscard]] Result<HANDLE> create_reserve() override {
    if (allocate_reserve_ == nullptr || set_io_completion_ex_ == nullptr) {
      return failure(std::errc::function_not_supported);
    }
    ::HANDLE reserve = nullptr;
    const NTSTATUS status = allocate_reserve_(&reserve, nullptr, 1 /* MemoryReserveIoCompletion */);
    if (!NT_SUCCESS(status)) return failure(make_error(status));
    return reserve;
  }

  [[nodiscard]] NTSTATUS post(HANDLE port, HANDLE reserve, ULONG_PTR key, void* context) override {
    if (reserve != nullptr) {
      return set_io_completion_ex_(port, reserve, reinterpret_cast<void*>(key), context, STATUS_SUCCESS, 0);
    }
    return set_io_completion_(port, reinterpret_cast<void*>(key), context, STATUS_SUCCESS, 0);
  }

  [[nodiscard]] Result<HANDLE> open_helper(HANDLE port, ULONG_PTR key) override {
    // A name behind the device, or some Windows versions refuse to open it [mio#1444].
    wchar_t path[] = L"\\Device\\Afd\\reactor";
    constexpr auto bytes = static_cast<USHORT>(sizeof path - sizeof(wchar_t));
    UNICODE_STRING name{bytes, bytes, path};
    OBJECT_ATTRIBUTES attributes{};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    IO_STATUS_BLOCK iosb{};
    ::HANDLE opened = nullptr;
    constexpr ::ULONG share = FILE_SHARE_READ | FILE_SHARE_WRITE;
    const auto made = helpers_.open([&]() -> Result<HANDLE> {
      const NTSTATUS status =
          create_file_(&opened, SYNCHRONIZE, &attributes, &iosb, nullptr, 0, share, 1 /* FILE_OPEN */, 0, nullptr, 0);
      if (!NT_SUCCESS(status)) return failure(make_error(status));
      return opened;
    });
    if (!made) return failure(made.error());
    Handle helper(*this, opened);
    if (CreateIoCompletionPort(opened, port, key, 0) == nullptr) return failure(system_error());
    return helper.release();
  }

  [[nodiscard]] NTSTATUS poll(HANDLE helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll, ULONG size_bytes,
                              void* context) override {
    const std::size_t count = (size_bytes - sizeof poll) / sizeof(AFD_POLL_HANDLE_INFO);
    const std::span entries(reinterpret_cast<const AFD_POLL_HANDLE_INFO*>(&poll + 1), count);
    return helpers_.poll(entries, [&] {
      return device_io_control_(helper, nullptr, nullptr, context, &iosb, ioctl_afd_poll, &poll, size_bytes, &poll,
                                size_bytes);
    });
  }

  NTSTATUS cancel(HANDLE helper, IO_STATUS_BLOCK* request) override {
    IO_STATUS_BLOCK iosb{};
    return cancel_io_file_(helper, request, &iosb);
  }

  void close(HANDLE handle) noexcept override { helpers_.close(handle); }

  [[nodiscard]] Result<HANDLE> base_socket(SocketNumber socket) override {
    // Wine 8 answers SIO_BASE_HANDLE for any number.
    if (const auto checked = is_wine() ? check_socket(socket) : Result<>(); !checked) return failure(checked.error());
    SocketNumber current = socket;
    // Some layered service providers break SIO_BASE_HANDLE on purpose, but let the other through, which then may name a
    // socket that is itself layered [wepoll#5, libzmq#4221, mio#1314]. Bounded, should a provider go in circles.
    for (int layers = 0; layers < 16; layers++) {
      SocketNumber below = 0;
      if (ask(current, SIO_BASE_HANDLE, below)) return as_handle(below);
      const bool found = ask(current, SIO_BSP_HANDLE_POLL, below) || ask(current, SIO_BSP_HANDLE_SELECT, below);
      if (!found || below == current) break;
      current = below;
    }
    const auto checked = check_socket(socket);
    return failure(checked ? std::make_error_code(std::errc::not_supported) : checked.error());
  }

  [[nodiscard]] bool skip_packet_on_success(HANDLE helper) override {
    // No thread ever waits on the handle itself, so it need not be set either.
    return SetFileCompletionNotificationModes(
               helper, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE) != FALSE;
  }

  [[nodiscard]] bool has_notifications() override { return process_notifications_ != nullptr; }

  [[nodiscard]] ULONG notify(HANDLE port, std::span<SOCK_NOTIFY_REGISTRATION> changes,
                             std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                             std::uint32_t timeout_ms) override {
    UINT32 received = 0;
    // Where there is nothing the pointers must be null (documented).
    const bool has_buffer = !packets.empty();
    const DWORD error = process_notifications_(
        port, static_cast<UINT32>(changes.size()), changes.empty() ? nullptr : changes.data(), timeout_ms,
        static_cast<::ULONG>(packets.size()), has_buffer ? packets.data() : nullptr, has_buffer ? &received : nullptr);
    removed = received;
    return error;
  }

  [[nodiscard]] bool has_wait_packets() override { return waits_.has_packets(); }
  [[nodiscard]] Result<HANDLE> create_wait_packet() override { return waits_.create_packet(); }
  [[nodiscard]] NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                                   bool& was_signalled) override {
    return waits_.associate(wait_packet, port, object, key, context, was_signalled);
  }
  [[nodiscard]] NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) override {
    return waits_.disassociate(wait_packet, removes_queued);
  }
  [[nodiscard]] Result<HANDLE> begin_wait(HANDLE port, HANDLE object, ULONG_PTR key, void* context) override {
    return waits_.begin(port, object, key, context);
  }
  [[nodiscard]] bool end_wait(HANDLE wait) noexcept override { return ObjectWaits::end(wait); }
  [[nodiscard]] Result<HANDLE> duplicate(HANDLE object) override { return ObjectWaits::duplicate(object); }
  [[nodiscard]] Result<HANDLE> create_timer() override { return ObjectWaits::create_timer(); }
  [[nodiscard]] NTSTATUS set_timer(HANDLE timer, std::chrono::nanoseconds time) override {
    return ObjectWaits::set_timer(timer, time);
  }

  [[nodiscard]] Result<> associate_file(HANDLE file, HANDLE port, ULONG_PTR key) override {
    if (CreateIoCompletionPort(file, port, key, 0) == nullptr) return failure(system_error());
    return {};
  }

  [[nodiscard]] std::uint32_t thread_id() override { return GetCurrentThreadId(); }

  [[nodiscard]] std::chrono::nanoseconds now() override {
    return std::chrono::steady_clock::now().time_since_epoch();  // QueryPerformanceCounter
  }

 private:
  static HANDLE as_handle(SocketNumber socket) noexcept { return reinterpret_cast<HANDLE>(socket); }

  static bool ask(SocketNumber socket, DWORD what, SocketNumber& answer) noexcept {
    DWORD bytes = 0;
    return WSAIoctl(socket, what, nullptr, 0, &answer, sizeof answer, &bytes, nullptr, nullptr) == 0 &&
           answer != INVALID_SOCKET;
  }

  HelperHandles helpers_;
  ObjectWaits waits_;
  NtCreateIoCompletionFn* create_io_completion_ = nullptr;
  NtRemoveIoCompletionExFn* remove_io_completion_ = nullptr;
  NtSetIoCompletionFn* set_io_completion_ = nullptr;
  NtSetIoCompletionExFn* set_io_completion_ex_ = nullptr;  // null where ntdll lacks it, like the next
  NtAllocateReserveObjectFn* allocate_reserve_ = nullptr;
  ProcessSocketNotificationsFn* process_notifications_ = nullptr;  // null where ws2_32 lacks it
  NtCreateFileFn* create_file_ = nullptr;
  NtDeviceIoControlFileFn* device_io_control_ = nullptr;
  NtCancelIoFileExFn* cancel_io_file_ = nullptr;
};

}  // namespace

Result<> check_socket(SocketNumber socket) noexcept {
  // Winsock keeps SO_TYPE beside the socket, so there it costs no kernel call; Wine asks its server for it, but keeps
  // SO_DEBUG. bench/tune/socket_check has what each option costs and says.
  const int option = is_wine() ? SO_DEBUG : SO_TYPE;
  int value = 0, length = sizeof value;
  if (socket == INVALID_SOCKET) return failure(std::errc::bad_file_descriptor);
  if (getsockopt(socket, SOL_SOCKET, option, reinterpret_cast<char*>(&value), &length) == 0) return {};
  // Winsock says the same of a number that is not open and of a handle of another kind.
  DWORD flags = 0;
  const bool is_open = GetHandleInformation(reinterpret_cast<HANDLE>(socket), &flags) != FALSE;
  return failure(is_open ? std::errc::not_a_socket : std::errc::bad_file_descriptor);
}

Result<Kernel*> system_kernel() {
  static SystemKernel& kernel = *new SystemKernel;  // never destroyed: a Poller may outlive what is static
  static const Result<> resolved = kernel.resolve_functions();
  if (!resolved) return failure(resolved.error());
  return &kernel;
}

}  // namespace reactor::nt
