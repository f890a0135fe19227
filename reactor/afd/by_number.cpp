// SPDX-License-Identifier: MIT
//
// What reactor/epoll.h and reactor/epoll_post.h need beyond Backend: registrations named by their socket's number, and
// posts.
#include <reactor/afd/afd_backend.hpp>

namespace reactor::afd {

// Calls `function` with the number's registration. The provider is asked for the base socket each time: a number that
// was its own base may mean a socket with layers by now. Without the lock, since the provider may take its time.
template <class Function>
Result<> AfdBackend::with_number(NativeSocket socket, Function&& function) {
  const auto number = static_cast<nt::SocketNumber>(socket);
  const auto base = core_.kernel.base_socket(number);
  const Lock lock(core_.mutex);
  core_.stats.other_calls++;
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  core_.doorbell.pay();
  if (!base && base.error() != std::errc::not_supported) return failure(base.error());
  Slot* slot = base ? core_.registry.find(*base) : nullptr;  // without a base it cannot have been added
  const bool is_registered = slot != nullptr && slot->is_live() && slot->socket == number;
  if (!is_registered) return failure(std::errc::no_such_file_or_directory);
  function(*slot);
  return {};
}

Result<RegistrationId> AfdBackend::modify(NativeSocket socket, const Watch& watch) {
  RegistrationId id;
  const auto done = with_number(socket, [&](Slot& slot) {
    const bool is_rearmed = slot.mode != Mode::level && slot.disarmed != Directions::none;
    core_.registry.renew(slot);
    slot.watch(watch);
    mark(slot, is_rearmed);
    id = {slot.index, slot.generation};
  });
  if (!done) return failure(done.error());
  return id;
}

Result<> AfdBackend::remove(NativeSocket socket) {
  return with_number(socket, [&](Slot& slot) { remove(slot); });
}

Result<> AfdBackend::post(Token token) {
  const Lock lock(core_.mutex);
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  if (!core_.posts.push(token)) return failure(std::errc::not_enough_memory);
  core_.nudge_if_needed();
  return {};
}

}  // namespace reactor::afd
