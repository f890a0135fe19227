// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <reactor/nt/kernel.hpp>

namespace reactor::nt {

/// Owns a handle of a Kernel and closes it through that kernel, which must outlive it. Null is no handle: that is what
/// each of a Kernel's calls says when it has none to give.
class Handle {
 public:
  Handle() noexcept = default;
  Handle(Kernel& kernel, HANDLE handle) noexcept : kernel_(&kernel), handle_(handle) {}
  Handle(Handle&& other) noexcept : kernel_(other.kernel_), handle_(other.release()) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      kernel_ = other.kernel_;
      handle_ = other.release();
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  [[nodiscard]] HANDLE get() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  [[nodiscard]] HANDLE release() noexcept { return std::exchange(handle_, nullptr); }
  void reset() noexcept {
    if (handle_ != nullptr) kernel_->close(release());
  }

 private:
  Kernel* kernel_ = nullptr;
  HANDLE handle_ = nullptr;
};

}  // namespace reactor::nt
