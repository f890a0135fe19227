// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/nt/types.hpp>
#include <reactor/result.hpp>

/// The ports of reactor/epoll.h, by their kernel handles.
namespace reactor::capi {

/// One port. It lives for as long as a thread is in a call on it, or it has not been closed; its kernel handle lives as
/// long, so the system does not give that number to another handle.
struct Port {
  std::shared_ptr<afd::AfdBackend> backend;
  nt::HANDLE handle = nullptr;
  std::atomic<std::uint32_t> references = 1;  // the first is dropped by epoll_close
  bool is_closed = false;                     // guarded, like `next`, by the lock of its place in the registry
  Port* next = nullptr;
};

/// Keeps a port while a call uses it; the last one gives everything back to the system.
class PortReference {
 public:
  explicit PortReference(Port& port) noexcept : port_(&port) {}
  PortReference(PortReference&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
  PortReference& operator=(PortReference&&) = delete;
  PortReference(const PortReference&) = delete;
  PortReference& operator=(const PortReference&) = delete;
  ~PortReference();

  [[nodiscard]] afd::AfdBackend& operator*() const noexcept { return *port_->backend; }
  [[nodiscard]] afd::AfdBackend* operator->() const noexcept { return port_->backend.get(); }

 private:
  Port* port_;
};

/// Errors: not_enough_memory, or the system's own.
[[nodiscard]] Result<nt::HANDLE> open_port();

/// Errors: bad_file_descriptor when it is not open, or was closed, invalid_argument when it is something else.
[[nodiscard]] Result<PortReference> find_port(nt::HANDLE handle) noexcept;

/// The same, and from now on no look-up finds it.
[[nodiscard]] Result<PortReference> take_port(nt::HANDLE handle) noexcept;

}  // namespace reactor::capi
