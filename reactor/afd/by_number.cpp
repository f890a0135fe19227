// SPDX-License-Identifier: MIT
//
// What reactor/epoll.h needs beyond Backend: registrations named by their socket's number.
#include <reactor/afd/afd_backend.hpp>

namespace reactor::afd {

// Calls `function` with the number's registration. A socket without layers is its own base; of any other the provider
// is asked, without the lock, since it may take its time.
template <class Function>
Result<> AfdBackend::with_number(NativeSocket socket, Function&& function) {
  const auto number = static_cast<nt::SocketNumber>(socket);
  Lock lock(core_.mutex);
  core_.doorbell.pay();
  const auto find_by = [&](nt::HANDLE base) {
    Slot* slot = core_.is_closed ? nullptr : core_.registry.find(base);
    return slot != nullptr && slot->is_live() && slot->socket == number ? slot : nullptr;
  };
  Slot* slot = find_by(reinterpret_cast<nt::HANDLE>(number));
  if (slot == nullptr && !core_.is_closed) {
    core_.stats.other_calls++;
    lock.unlock();
    const auto base = core_.kernel.base_socket(number);
    lock.lock();
    if (base) slot = find_by(*base);
  }
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  if (slot == nullptr) return failure(std::errc::no_such_file_or_directory);
  function(*slot);
  return {};
}

Result<> AfdBackend::modify(NativeSocket socket, const Watch& watch) {
  return with_number(socket, [&](Slot& slot) {
    const bool is_rearmed = slot.mode != Mode::level && slot.disarmed != Directions::none;
    core_.registry.renew(slot);
    slot.watch(watch);
    mark(slot, is_rearmed);
  });
}

Result<> AfdBackend::remove(NativeSocket socket) {
  return with_number(socket, [&](Slot& slot) { remove(slot); });
}

}  // namespace reactor::afd
