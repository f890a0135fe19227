// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <reactor/nt/kernel.hpp>

namespace reactor::nt {

/// What "no handle" looks like: Windows uses both, depending on the call.
struct NullIsNone {
  static HANDLE none() noexcept { return nullptr; }
};
struct MinusOneIsNone {
  static HANDLE none() noexcept {
    return reinterpret_cast<HANDLE>(~ULONG_PTR{0});
  }  // NOLINT(performance-no-int-to-ptr)
};

/// Owns a handle of a Kernel and closes it through that kernel, which must outlive it.
template <class Policy>
class BasicHandle {
 public:
  BasicHandle() noexcept = default;
  BasicHandle(Kernel& kernel, HANDLE handle) noexcept : kernel_(&kernel), handle_(handle) {}
  BasicHandle(BasicHandle&& other) noexcept
      : kernel_(other.kernel_), handle_(std::exchange(other.handle_, Policy::none())) {}
  BasicHandle& operator=(BasicHandle&& other) noexcept {
    if (this != &other) {
      reset();
      kernel_ = other.kernel_;
      handle_ = std::exchange(other.handle_, Policy::none());
    }
    return *this;
  }
  BasicHandle(const BasicHandle&) = delete;
  BasicHandle& operator=(const BasicHandle&) = delete;
  ~BasicHandle() { reset(); }

  [[nodiscard]] HANDLE get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != Policy::none(); }
  [[nodiscard]] HANDLE release() noexcept { return std::exchange(handle_, Policy::none()); }
  void reset() noexcept {
    if (kernel_ != nullptr && *this) kernel_->close(std::exchange(handle_, Policy::none()));
  }

 private:
  Kernel* kernel_ = nullptr;
  HANDLE handle_ = Policy::none();
};

using Handle = BasicHandle<NullIsNone>;
using FileHandle = BasicHandle<MinusOneIsNone>;

}  // namespace reactor::nt
