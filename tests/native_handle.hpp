// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/nt/types.hpp>
#include <reactor/poller.hpp>

/// A handle of a simulated kernel, or of the system's, as a Poller takes it.
inline reactor::NativeHandle native_of(reactor::nt::HANDLE handle) {
#ifdef _WIN32
  return handle;
#else
  return static_cast<reactor::NativeHandle>(reinterpret_cast<std::uintptr_t>(handle));
#endif
}
