// SPDX-License-Identifier: MIT
#include <reactor/nt/windows.hpp>

#include <array>
#include <cerrno>
#include <cstddef>

#include <reactor/capi/port.hpp>

namespace reactor::capi {

namespace {

// A list and its lock; SRWLOCK needs neither memory nor a handle. Readers share it: a look-up is that lock, a short
// list and one counter.
struct Place {
  SRWLOCK lock;
  Port* first;
};

// Without constructor and destructor: the calls work before main, after it, and in threads that outlive it.
constinit std::array<Place, 256> places{};

Place& place_of(nt::HANDLE handle) noexcept {
  return places[(reinterpret_cast<nt::ULONG_PTR>(handle) >> 2) % places.size()];  // handles are multiples of 4
}

class Reading {
 public:
  explicit Reading(Place& place) noexcept : lock_(&place.lock) { AcquireSRWLockShared(lock_); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() { ReleaseSRWLockShared(lock_); }

 private:
  SRWLOCK* lock_;
};

class Writing {
 public:
  explicit Writing(Place& place) noexcept : lock_(&place.lock) { AcquireSRWLockExclusive(lock_); }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() { ReleaseSRWLockExclusive(lock_); }

 private:
  SRWLOCK* lock_;
};

// The open one with that handle; `seen` is set for a closed one that a thread still uses. The number of a closed one
// may be in use again: its kernel handle is closed a moment before it leaves the list.
Port* find_open(const Place& place, nt::HANDLE handle, bool& seen) noexcept {
  seen = false;
  for (Port* port = place.first; port != nullptr; port = port->next) {
    if (port->handle != handle) continue;
    if (!port->is_closed) return port;
    seen = true;
  }
  return nullptr;
}

std::errc why_none(nt::HANDLE handle, bool was_closed) noexcept {
  DWORD flags = 0;
  // INVALID_HANDLE_VALUE is the process itself, and so is open.
  const bool is_open = handle != INVALID_HANDLE_VALUE && !was_closed && GetHandleInformation(handle, &flags) != FALSE;
  return is_open ? std::errc::invalid_argument : std::errc::bad_file_descriptor;
}

// No thread is in a call on it any more, and no look-up finds it. It leaves the list only when its handle is closed, so
// that until then the handle is a closed port's and not an open one of another kind.
void destroy(Port& port) noexcept {
  const DWORD last_error = GetLastError();  // of the call that ends with this
  const int last_errno = errno;
  port.backend->close();
  port.backend.reset();
  {
    Place& place = place_of(port.handle);
    const Writing lock(place);
    Port** link = &place.first;
    while (*link != &port) link = &(*link)->next;
    *link = port.next;
  }
  delete &port;
  errno = last_errno;
  SetLastError(last_error);
}

}  // namespace

PortReference::~PortReference() {
  if (port_ != nullptr && port_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(*port_);
}

Result<nt::HANDLE> open_port() {
  auto backend = afd::create_system_backend({});
  if (!backend) return failure(backend.error());
  auto port = std::make_unique<Port>();
  port->backend = std::move(*backend);
  port->handle = port->backend->port();
  Place& place = place_of(port->handle);
  const Writing lock(place);
  port->next = place.first;
  place.first = port.get();
  return port.release()->handle;
}

Result<PortReference> find_port(nt::HANDLE handle) noexcept {
  Place& place = place_of(handle);
  bool was_closed = false;
  {
    const Reading lock(place);
    if (Port* port = find_open(place, handle, was_closed)) {
      port->references.fetch_add(1, std::memory_order_relaxed);
      return PortReference(*port);
    }
  }
  return failure(why_none(handle, was_closed));
}

Result<PortReference> take_port(nt::HANDLE handle) noexcept {
  Place& place = place_of(handle);
  bool was_closed = false;
  {
    const Writing lock(place);
    if (Port* port = find_open(place, handle, was_closed)) {
      port->is_closed = true;
      return PortReference(*port);
    }
  }
  return failure(why_none(handle, was_closed));
}

}  // namespace reactor::capi
