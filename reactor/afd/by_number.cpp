// SPDX-License-Identifier: MIT
//
// What reactor/epoll.h needs beyond Backend: registrations named by their socket's number, and an end that may come
// while other threads wait.
#include <reactor/afd/afd_backend.hpp>

namespace reactor::afd {

Slot* AfdBackend::find(NativeSocket socket) {
  const auto number = static_cast<nt::SocketNumber>(socket);
  const auto find_by = [&](nt::HANDLE base) {
    Slot* slot = table_.find(base);
    return slot != nullptr && slot->is_live() && slot->socket == number ? slot : nullptr;
  };
  // A socket without layers is its own base; of any other the provider is asked again.
  if (Slot* slot = find_by(reinterpret_cast<nt::HANDLE>(number))) return slot;
  stats_.other_calls++;
  const auto base = kernel_.base_socket(number);
  return base ? find_by(*base) : nullptr;
}

Result<> AfdBackend::modify(NativeSocket socket, const Watch& watch) {
  const Lock lock(mutex_);
  if (closed_) return failure(std::errc::bad_file_descriptor);
  Slot* slot = find(socket);
  if (slot == nullptr) return failure(std::errc::no_such_file_or_directory);
  slot->watch(watch);
  enqueue(*slot);
  arm_queued_for_others();
  return {};
}

Result<> AfdBackend::remove(NativeSocket socket) {
  const Lock lock(mutex_);
  if (closed_) return failure(std::errc::bad_file_descriptor);
  Slot* slot = find(socket);
  if (slot == nullptr) return failure(std::errc::no_such_file_or_directory);
  remove(*slot);
  return {};
}

// Each thread that comes back from the kernel and finds this wakes the next (wait): a packet for each at once would not
// do, as one thread may take several.
void AfdBackend::retire() noexcept {
  const Lock lock(mutex_);
  closed_ = true;
  if (waiting_threads_ > 0) wake();
}

}  // namespace reactor::afd
