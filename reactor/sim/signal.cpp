// SPDX-License-Identifier: MIT
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <reactor/sim/world_state.hpp>

namespace reactor::sim {

namespace {

template <class Native>
Native native_of(std::uintptr_t number) noexcept {
  if constexpr (std::is_pointer_v<Native>) {
    return reinterpret_cast<Native>(number);
  } else {
    return static_cast<Native>(number);
  }
}

nt::HANDLE handle_of(NativeHandle native) noexcept { return reinterpret_cast<nt::HANDLE>(number_of(native)); }

std::uintptr_t open(HostState& host) {
  constexpr auto kind = Waitable::Kind::manual_reset;
  if (host.is_windows()) return reinterpret_cast<std::uintptr_t>(host.kernel->create_object(kind));
  return host.core().handles.open(std::make_shared<Waitable>(Waitable{.kind = kind}));
}

}  // namespace

Signal::Signal(Host& host) : host_(host.state()), native_(native_of<NativeHandle>(open(host.state()))) {}

Signal::~Signal() { close(); }

void Signal::set() {
  if (!is_open_) return;
  if (host_.is_windows()) return host_.kernel->signal(handle_of(native_));
  host_.linux_host->set(*host_.core().handles.find<Waitable>(number_of(native_)), true);
}

void Signal::clear() {
  if (!is_open_) return;
  if (host_.is_windows()) return host_.kernel->reset(handle_of(native_));
  host_.linux_host->set(*host_.core().handles.find<Waitable>(number_of(native_)), false);
}

void Signal::close() {
  if (!std::exchange(is_open_, false)) return;
  if (host_.is_windows()) return host_.kernel->close(handle_of(native_));
  host_.linux_host->close_signal(number_of(native_));
}

}  // namespace reactor::sim
