// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include <reactor/nt/kernel.hpp>
#include <reactor/result.hpp>

namespace reactor::nt {

/// What the kernel of this system does about waiting for objects: see Kernel. Windows only.
class ObjectWaits {
 public:
  /// `find` looks up a function of ntdll. Those of wait packets may be missing.
  void resolve(void* (*find)(const char* name)) noexcept;

  [[nodiscard]] bool has_packets() const noexcept;
  [[nodiscard]] Result<HANDLE> create_packet() const;
  [[nodiscard]] NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                                   bool& was_signalled) const;
  [[nodiscard]] NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) const;
  [[nodiscard]] Result<HANDLE> begin(HANDLE port, HANDLE object, ULONG_PTR key, void* context) const;
  [[nodiscard]] static bool end(HANDLE wait) noexcept;
  [[nodiscard]] static Result<HANDLE> duplicate(HANDLE object);
  [[nodiscard]] static Result<HANDLE> create_timer();
  [[nodiscard]] static NTSTATUS set_timer(HANDLE timer, std::chrono::nanoseconds time);

 private:
  [[nodiscard]] Result<> check_waitable(HANDLE object) const;

  void *create_ = nullptr, *associate_ = nullptr, *cancel_ = nullptr;  // all or none
  void *post_ = nullptr, *query_ = nullptr;
};

}  // namespace reactor::nt
