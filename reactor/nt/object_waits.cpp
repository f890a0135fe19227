// SPDX-License-Identifier: MIT
#include <reactor/nt/windows.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

#include <reactor/allocation.hpp>
#include <reactor/nt/object_waits.hpp>
#include <reactor/nt/status.hpp>

namespace reactor::nt {

namespace {

using NtCreateWaitCompletionPacketFn = NTSTATUS NTAPI(::HANDLE* packet, ::ULONG access, void* attributes);
using NtAssociateWaitCompletionPacketFn = NTSTATUS NTAPI(::HANDLE packet, ::HANDLE port, ::HANDLE object, void* key,
                                                         void* context, NTSTATUS status, ::ULONG_PTR information,
                                                         BOOLEAN* was_signalled);
using NtCancelWaitCompletionPacketFn = NTSTATUS NTAPI(::HANDLE packet, BOOLEAN removes_queued);
using NtSetIoCompletionFn = NTSTATUS NTAPI(::HANDLE port, void* key, void* context, NTSTATUS status,
                                           ::ULONG_PTR information);
using NtQueryObjectFn = NTSTATUS NTAPI(::HANDLE object, int what, void* into, ::ULONG size_bytes, ::ULONG* written);

constexpr auto refused_object = static_cast<NTSTATUS>(0xC00000F1);  // STATUS_INVALID_PARAMETER_3

template <class Function>
Function* as(void* address) noexcept {
  return reinterpret_cast<Function*>(address);
}

std::error_code last_system_error() noexcept { return make_win32_error(GetLastError()); }

/// The head of OBJECT_TYPE_INFORMATION: a UNICODE_STRING.
struct TypeName {
  unsigned short length_bytes, capacity_bytes;
  const wchar_t* text;
};

/// A wait of the system's pool.
struct PooledWait {
  PooledWait() = default;
  PooledWait(const PooledWait&) = delete;
  PooledWait& operator=(const PooledWait&) = delete;
  ~PooledWait() {
    if (ended != nullptr) CloseHandle(ended);
  }

  ::HANDLE handle = nullptr;
  ::HANDLE ended = CreateEventW(nullptr, TRUE, FALSE, nullptr);  // set when its thread is done with it
  NtSetIoCompletionFn* post = nullptr;
  ::HANDLE port = nullptr;
  void *key = nullptr, *context = nullptr;
  std::atomic<bool> was_signalled = false, is_ending = false;
};

void CALLBACK on_signal(void* parameter, BOOLEAN /*timed_out*/) {
  auto& wait = *static_cast<PooledWait*>(parameter);
  wait.was_signalled = true;
  // The object has given up its signal, so a post that is refused for want of memory is repeated.
  while (!NT_SUCCESS(wait.post(wait.port, wait.key, wait.context, STATUS_SUCCESS, 0)) && !wait.is_ending) Sleep(1);
}

}  // namespace

void ObjectWaits::resolve(void* (*find)(const char* name)) noexcept {
  create_ = find("NtCreateWaitCompletionPacket");
  associate_ = find("NtAssociateWaitCompletionPacket");
  cancel_ = find("NtCancelWaitCompletionPacket");
  if (create_ == nullptr || associate_ == nullptr || cancel_ == nullptr) create_ = associate_ = cancel_ = nullptr;
  post_ = find("NtSetIoCompletion");
  query_ = find("NtQueryObject");
}

bool ObjectWaits::has_packets() const noexcept { return create_ != nullptr; }

Result<HANDLE> ObjectWaits::create_packet() const {
  if (!has_packets()) return failure(std::errc::function_not_supported);
  ::HANDLE packet = nullptr;
  const NTSTATUS status = as<NtCreateWaitCompletionPacketFn>(create_)(&packet, GENERIC_ALL, nullptr);
  if (!NT_SUCCESS(status)) return failure(make_error(status));
  return packet;
}

NTSTATUS ObjectWaits::associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                                bool& was_signalled) const {
  BOOLEAN signalled = FALSE;
  const NTSTATUS status = as<NtAssociateWaitCompletionPacketFn>(associate_)(
      wait_packet, port, object, reinterpret_cast<void*>(key), context, STATUS_SUCCESS, 0, &signalled);
  was_signalled = signalled != FALSE;
  return status;
}

NTSTATUS ObjectWaits::disassociate(HANDLE wait_packet, bool removes_queued) const {
  return as<NtCancelWaitCompletionPacketFn>(cancel_)(wait_packet, removes_queued ? TRUE : FALSE);
}

// The pool's thread could not report that it cannot wait for an object. A mutex would be that thread's own; wait
// packets refuse one too.
Result<> ObjectWaits::check_waitable(HANDLE object) const {
  alignas(TypeName) std::array<std::byte, 1024> buffer{};
  const auto& name = *reinterpret_cast<const TypeName*>(buffer.data());
  if (query_ != nullptr && NT_SUCCESS(as<NtQueryObjectFn>(query_)(object, 2 /* ObjectTypeInformation */, buffer.data(),
                                                                  static_cast<::ULONG>(buffer.size()), nullptr))) {
    const std::wstring_view type(name.text, name.length_bytes / sizeof(wchar_t));
    if (type == L"Mutant") return failure(make_error(refused_object));
    static constexpr std::array<std::wstring_view, 5> waitable{L"Event", L"Semaphore", L"Timer", L"Process", L"Thread"};
    if (std::ranges::find(waitable, type) != waitable.end()) return {};
  }
  // Of another kind, whose signal is not given up by a wait.
  if (WaitForSingleObject(object, 0) == WAIT_FAILED) return failure(make_error(STATUS_OBJECT_TYPE_MISMATCH));
  return {};
}

Result<HANDLE> ObjectWaits::begin(HANDLE port, HANDLE object, ULONG_PTR key, void* context) const {
  if (const auto checked = check_waitable(object); !checked) return failure(checked.error());
  const auto make = [&]() -> Result<HANDLE> {
    auto wait = std::make_unique<PooledWait>();
    if (wait->ended == nullptr) return failure(last_system_error());
    wait->post = as<NtSetIoCompletionFn>(post_);
    wait->port = port;
    wait->key = reinterpret_cast<void*>(key);
    wait->context = context;
    if (RegisterWaitForSingleObject(&wait->handle, object, &on_signal, wait.get(), INFINITE, WT_EXECUTEONLYONCE) == 0) {
      return failure(last_system_error());
    }
    return wait.release();
  };
  return catch_bad_alloc(make, out_of_memory());
}

bool ObjectWaits::end(HANDLE wait) noexcept {
  const std::unique_ptr<PooledWait> pooled(static_cast<PooledWait*>(wait));
  pooled->is_ending = true;
  // With INVALID_HANDLE_VALUE it would wait by itself, but first drop a call of on_signal that is due (Wine), and with
  // it the signal. One that comes at the very moment at which the wait ends may still be lost there.
  if (UnregisterWaitEx(pooled->handle, pooled->ended) != 0 || GetLastError() == ERROR_IO_PENDING) {
    WaitForSingleObject(pooled->ended, INFINITE);
  }
  return pooled->was_signalled;
}

Result<HANDLE> ObjectWaits::duplicate(HANDLE object) {
  ::HANDLE made = nullptr;
  const ::HANDLE here = GetCurrentProcess();
  if (DuplicateHandle(here, object, here, &made, 0, FALSE, DUPLICATE_SAME_ACCESS) == 0)
    return failure(last_system_error());
  return made;
}

Result<HANDLE> ObjectWaits::create_timer() {
  constexpr ::DWORD high_resolution = 2;  // CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, which older headers lack
  const ::HANDLE timer = CreateWaitableTimerExW(nullptr, nullptr, high_resolution, TIMER_MODIFY_STATE | SYNCHRONIZE);
  if (timer == nullptr) return failure(last_system_error());
  return timer;
}

NTSTATUS ObjectWaits::set_timer(HANDLE timer, std::chrono::nanoseconds time) {
  LARGE_INTEGER due;  // negative: from now, in 100 ns; rounded up, so as not to expire early by rounding
  due.QuadPart = -((time.count() + 99) / 100);
  const bool is_set = SetWaitableTimer(timer, &due, 0, nullptr, nullptr, FALSE) != 0;
  return is_set ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

}  // namespace reactor::nt
