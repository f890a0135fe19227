// SPDX-License-Identifier: MIT
#include <reactor/afd/afd_backend.hpp>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include <reactor/afd/wait_loop.hpp>
#include <reactor/allocation.hpp>
#include <reactor/nt/status.hpp>

namespace reactor::afd {

using namespace nt;
using std::chrono::nanoseconds;

namespace {

template <class Native>
HANDLE object_of(Native handle) noexcept {
  if constexpr (std::is_pointer_v<Native>) {
    return handle;
  } else {
    return reinterpret_cast<HANDLE>(static_cast<ULONG_PTR>(handle));  // of a simulated kernel
  }
}

/// Null, or INVALID_HANDLE_VALUE, which CreateFile returns on failure and which would mean this process itself.
bool is_none(HANDLE handle) noexcept { return handle == nullptr || handle == reinterpret_cast<HANDLE>(~ULONG_PTR{0}); }

}  // namespace

Result<std::shared_ptr<AfdBackend>> AfdBackend::create(Kernel& kernel, const PollerOptions& options) {
  const auto opened = kernel.create_port();
  if (!opened) return failure(opened.error());
  Handle port(kernel, *opened);
  const auto make = [&]() -> Result<std::shared_ptr<AfdBackend>> {
    auto backend = std::make_unique<AfdBackend>(kernel, *opened, options);
    static_cast<void>(port.release());  // the backend owns it now
    // Not make_shared, which compares type_infos: of a debug build MinGW's GCC 12 cannot link that statically.
    return std::shared_ptr<AfdBackend>(backend.release());
  };
  return catch_bad_alloc(make, out_of_memory());
}

AfdBackend::AfdBackend(Kernel& kernel, HANDLE port, const PollerOptions& options) noexcept
    : core_(kernel, port, options) {
  core_.doorbell.open();
  core_.stats.other_calls = 2;  // the port, and what the doorbell asks for
}

AfdBackend::~AfdBackend() { AfdBackend::close(); }

Result<RegistrationId> AfdBackend::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  return add(socket, Watch{token, directions_of(interest), mode});
}

Result<RegistrationId> AfdBackend::add(NativeSocket socket, const Watch& watch) {
  return catch_bad_alloc([&] { return add_or_throw(socket, watch); }, out_of_memory());
}

Result<RegistrationId> AfdBackend::add_or_throw(NativeSocket socket, const Watch& watch) {
  if (socket == invalid_socket) return failure(std::errc::bad_file_descriptor);
  const auto number = static_cast<SocketNumber>(socket);
  const auto base = core_.kernel.base_socket(number);  // outside the lock: a layered provider may take its time
  const Lock lock(core_.mutex);
  core_.doorbell.pay();
  core_.stats.other_calls++;
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  if (!base) return failure(base.error());
  const auto made = slot_for(*base);
  if (!made) return failure(made.error());
  Slot& slot = **made;
  core_.queue.erase(slot);
  if (core_.notifier != nullptr) core_.notifier->begin(slot);
  core_.registry.begin(slot, number);
  slot.watch(watch);
  slot.activity = {};
  const RegistrationId id{slot.index, slot.generation};
  mark(slot, false);
  return id;
}

// The slot of this base socket: a new one, or the one that a registration of the same handle has, or has left to the
// kernel ("one poll per socket").
Result<Slot*> AfdBackend::slot_for(HANDLE base) {
  if (!HandleTable::can_hold(base)) return failure(std::errc::not_supported);
  if (Slot* slot = core_.registry.find(base)) return slot;
  struct Undo {
    Registry& registry;
    Slot* slot;
    ~Undo() {
      if (slot != nullptr) registry.release(*slot);
    }
  } undo{core_.registry, &core_.registry.create(base)};
  if (const auto attached = core_.polls.attach(*undo.slot); !attached) return failure(attached.error());
  return std::exchange(undo.slot, nullptr);
}

Slot* AfdBackend::find(RegistrationId id) noexcept {
  core_.doorbell.pay();
  return core_.is_closed ? nullptr : core_.registry.find(id);
}

// Arms it now or later. A thread that is between two waits arms what its last wait delivered with its next one, changed
// or not. For the rest: while no thread sleeps, the next wait arms it. A thread that is between two waits leaves it to
// the next wait, or until it has re-armed all its events. Any other thread arms it now.
void AfdBackend::mark(Slot& slot, bool is_rearmed) {
  const std::uint32_t thread = core_.kernel.thread_id();
  const bool ends_batch = is_rearmed && core_.threads.rearmed(thread);
  const std::uint8_t batch = core_.threads.handled_by(thread);
  const bool is_handled = batch != WaitingThreads::of_any_thread;
  if (is_handled && !is_rearmed && slot.list == ListName::delivered && slot.batch == batch) return;
  if (!core_.threads.any_sleeps()) return core_.queue.mark(slot);
  if (is_handled && !ends_batch) {
    core_.queue.defer_modified(slot);
    core_.threads.defer(WaitingThreads::of_any_thread, core_.kernel.now());
  } else {
    core_.queue.mark(slot);
    if (ends_batch) core_.queue.mark_modified();
    NoSink none;
    core_.dispatcher.arm_marked(none, Dispatcher::Until::all);
    core_.flush_changes();
  }
  core_.nudge_if_needed();
}

Result<RegistrationId> AfdBackend::add_handle(NativeHandle handle, Token token) {
  const HANDLE object = object_of(handle);
  if (is_none(object)) return failure(std::errc::bad_file_descriptor);
  const Lock lock(core_.mutex);
  core_.doorbell.pay();
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  return catch_bad_alloc([&] { return core_.handles.add(object, token); }, out_of_memory());
}

Result<std::uintptr_t> AfdBackend::completion_key(Token token) {
  const Lock lock(core_.mutex);
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  return core_.program_packets.key_of(token);
}

Result<> AfdBackend::associate(NativeHandle handle, Token token) {
  const HANDLE file = object_of(handle);
  if (is_none(file)) return failure(std::errc::bad_file_descriptor);
  const auto key = completion_key(token);
  if (!key) return failure(key.error());
  // Without the lock: of a handle that is not overlapped the kernel lets no call in while an operation is under way.
  return core_.kernel.associate_file(file, core_.port.get(), *key);
}

Result<> AfdBackend::modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) {
  const Lock lock(core_.mutex);
  if (!core_.is_closed && core_.handles.contains(id)) {
    return interest ? Result<>(failure(std::errc::invalid_argument)) : core_.handles.rearm(id);
  }
  Slot* slot = find(id);
  if (slot == nullptr) return failure(std::errc::bad_file_descriptor);
  const bool is_rearmed = slot->mode != Mode::level && slot->disarmed != Directions::none;
  slot->watch({slot->token, interest ? directions_of(*interest) : slot->wanted, mode.value_or(slot->mode)});
  mark(*slot, is_rearmed);
  return {};
}

Result<> AfdBackend::drained(RegistrationId id, Interest direction) {
  const Lock lock(core_.mutex);
  if (!core_.is_closed && core_.handles.contains(id)) return {};
  Slot* slot = find(id);
  if (slot == nullptr) return failure(std::errc::bad_file_descriptor);
  const Directions rearmed = slot->disarmed & (directions_of(direction) & ~Directions::endings);
  if (slot->mode != Mode::edge || rearmed == Directions::none) return {};
  slot->disarmed = slot->disarmed & ~rearmed;
  mark(*slot, true);
  return {};
}

Result<> AfdBackend::remove(RegistrationId id) {
  const Lock lock(core_.mutex);
  Slot* slot = find(id);
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  if (slot != nullptr) remove(*slot);  // else its socket was closed or added again, which retired it
  core_.handles.withdraw(id);
  return {};
}

Result<bool> AfdBackend::withdraw(RegistrationId id) {
  if (!HandleWaits::owns(id)) return Backend::withdraw(id);
  const Lock lock(core_.mutex);
  core_.doorbell.pay();
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
  return core_.handles.withdraw(id);
}

void AfdBackend::remove(Slot& slot) {
  core_.dispatcher.cancel_own(slot);
  core_.dispatcher.retire(slot, false);
}

Result<WaitResult> AfdBackend::wait(std::span<Event> buffer, std::optional<nanoseconds> timeout) {
  EventBuffer sink(buffer);
  return wait(sink, timeout);
}

Result<WaitResult> AfdBackend::wait(EventSink& sink, std::optional<nanoseconds> timeout) {
  return WaitLoop(core_, sink, timeout).run();
}

void AfdBackend::wake() noexcept { core_.doorbell.wake(); }

Stats AfdBackend::stats() const noexcept {
  const Lock lock(core_.mutex);
  Stats stats = core_.stats;
  stats.post_calls += core_.doorbell.posts();
  stats.registrations = core_.registry.live() + core_.handles.live();
  stats.pending_polls = core_.polls.held();
  stats.helper_handles = core_.polls.helpers();
  stats.arena_slots = core_.registry.slots();
  stats.arena_blocks = core_.registry.blocks();
  stats.memory_bytes = core_.registry.bytes() + core_.polls.bytes() + core_.handles.bytes() + core_.timers.bytes();
  return stats;
}

Result<NativeHandle> AfdBackend::native_handle() {
  const Lock lock(core_.mutex);
  if (core_.is_closed) return failure(std::errc::bad_file_descriptor);
#ifdef _WIN32
  return core_.port.get();
#else
  return failure(std::errc::function_not_supported);  // over a simulated kernel there is none
#endif
}

void AfdBackend::retire() noexcept {
  const Lock lock(core_.mutex);
  core_.is_closed = true;
  if (core_.threads.any_sleeps()) core_.doorbell.wake();
}

void AfdBackend::close() noexcept {
  const Lock lock(core_.mutex);
  core_.is_closed = true;
  if (std::exchange(core_.is_released, true)) return;
  if (core_.notifier != nullptr) core_.notifier->remove_all();
  core_.handles.close();
  core_.timers.close();
  core_.registry.arena().for_each([this](Slot& slot) {
    if (slot.is_live()) return core_.dispatcher.retire(slot, false);
    core_.queue.erase(slot);
    core_.dispatcher.release_if_free(slot);
  });
  core_.polls.cancel_all();
  drain();
  if (core_.polls.held() > 0) {  // leaked on purpose, since the kernel may still write to it ("kernel owns its memory")
    core_.registry.abandon();
    core_.polls.abandon_groups();
  }
  core_.registry.clear();
  core_.polls.close_all();
}

// Dequeues packets until the kernel holds nothing any more. Each poll was cancelled, so the packet of each comes. The
// deadline is there so that a program ends even if one does not.
void AfdBackend::drain() noexcept {
  std::array<FILE_IO_COMPLETION_INFORMATION, 256> packets;  // NOLINT(*-member-init): the kernel fills it
  const nanoseconds deadline = core_.kernel.now() + std::chrono::seconds(10);
  constexpr int refusals_max = 1000;
  NoSink none;
  for (int refusals = 0; core_.polls.held() > 0 && core_.kernel.now() < deadline && refusals < refusals_max;) {
    ULONG removed = 0;
    core_.stats.wait_calls++;
    const NTSTATUS status = core_.kernel.dequeue(core_.port.get(), packets, removed, std::chrono::seconds(1));
    if (!NT_SUCCESS(status)) refusals++;
    if (status == STATUS_TIMEOUT) core_.polls.cancel_all();  // a cancel may have been refused
    if (status != STATUS_SUCCESS) continue;
    for (const auto& packet : std::span(packets).first(std::min<std::size_t>(removed, packets.size()))) {
      const auto key = PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)};
      if (key == PacketKey::wake || core_.handles.take(packet, none) || core_.timers.take(packet, 0)) continue;
      core_.dispatcher.take(packet, none);
    }
  }
}

}  // namespace reactor::afd
