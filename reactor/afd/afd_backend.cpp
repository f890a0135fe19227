// SPDX-License-Identifier: MIT
#include <reactor/afd/afd_backend.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <thread>
#include <utility>

#include <reactor/nt/status.hpp>

namespace reactor::afd {

using namespace nt;
using std::chrono::nanoseconds;

namespace {

constexpr nanoseconds at_once{0};
constexpr std::size_t packets_per_call = 256;

// Sums of a clock and any time-out would overflow; nobody waits for a thousand years.
constexpr nanoseconds longest_wait = std::chrono::hours(24 * 365 * 100);

}  // namespace

Result<std::shared_ptr<Backend>> AfdBackend::create(Kernel& kernel, const PollerOptions& options) {
  const auto opened = kernel.create_port();
  if (!opened) return failure(opened.error());
  Handle port(kernel, *opened);
  auto backend = std::make_unique<AfdBackend>(kernel, *opened, options);
  static_cast<void>(port.release());  // the backend's now
  // Not make_shared, which compares type_infos: of a debug build MinGW's GCC 12 cannot link that statically.
  return std::shared_ptr<Backend>(backend.release());
}

AfdBackend::AfdBackend(Kernel& kernel, HANDLE port, const PollerOptions& options) noexcept
    : kernel_(kernel),
      port_(kernel, port),
      arming_(kernel, port, options.inline_completions, stats_),
      policy_(options.hot_groups) {
  stats_.other_calls = 1;  // the port
}

AfdBackend::~AfdBackend() { AfdBackend::close(); }

Result<RegistrationId> AfdBackend::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  return add(socket, {token, interest, mode});
}

Result<RegistrationId> AfdBackend::add(NativeSocket socket, const Watch& watch) try {
  if (socket == invalid_socket) return failure(std::errc::bad_file_descriptor);
  const auto number = static_cast<SocketNumber>(socket);
  const auto base = kernel_.base_socket(number);  // outside the lock: a layered provider may take its time
  const Lock lock(mutex_);
  stats_.other_calls++;
  if (closed_) return failure(std::errc::bad_file_descriptor);
  if (!base) return failure(base.error());
  const auto made = slot_for(number, *base);
  if (!made) return failure(made.error());
  Slot& slot = **made;
  slot.watch(watch);
  slot.was_armed = false;
  slot.heat = {};
  slot.generation = ++last_generation_;
  live_++;
  const RegistrationId id{slot.index, slot.generation};
  enqueue(slot);
  arm_queued_for_others();
  return id;
} catch (const std::bad_alloc&) {
  return failure(std::errc::not_enough_memory);
}

// A slot for this socket that is nobody's: a new one, or the one that an ended registration of the same base has left,
// which the kernel may still hold (rules 1 and 5).
Result<Slot*> AfdBackend::slot_for(SocketNumber socket, HANDLE base) {
  if (Slot* slot = table_.find(base)) {
    if (slot->is_live()) {
      if (!is_over(*slot)) return failure(std::errc::file_exists);
      live_--;
      if (slot->queued) dequeue(*slot);
    }
    slot->stale = slot->is_held_by_kernel();
    slot->socket = socket;
    return slot;
  }
  table_.reserve_one();
  Slot& slot = arena_.allocate();
  slot.socket = socket;
  slot.base = base;
  try {
    if (const auto attached = arming_.attach(slot); !attached) {
      arena_.free(slot);
      return failure(attached.error());
    }
  } catch (...) {
    arena_.free(slot);
    throw;
  }
  table_.insert(slot);
  return &slot;
}

Slot* AfdBackend::find(RegistrationId id) noexcept {
  if (closed_) return nullptr;
  Slot* slot = arena_.at(id.slot);
  return slot != nullptr && slot->generation == id.generation ? slot : nullptr;
}

Result<> AfdBackend::modify(RegistrationId id, Interest interest, std::optional<Mode> mode) {
  const Lock lock(mutex_);
  Slot* slot = find(id);
  if (slot == nullptr) return failure(std::errc::bad_file_descriptor);
  slot->interest = interest;
  slot->mode = mode.value_or(slot->mode);
  slot->silent = Interest::none;
  enqueue(*slot);
  arm_queued_for_others();
  return {};
}

Result<> AfdBackend::drained(RegistrationId id, Interest direction) {
  const Lock lock(mutex_);
  Slot* slot = find(id);
  if (slot == nullptr) return failure(std::errc::bad_file_descriptor);
  if (slot->mode != Mode::edge || !has(slot->silent, direction)) return {};
  slot->silent = slot->silent & static_cast<Interest>(~std::to_underlying(direction));
  enqueue(*slot);
  arm_queued_for_others();
  return {};
}

Result<> AfdBackend::remove(RegistrationId id) {
  const Lock lock(mutex_);
  if (closed_) return failure(std::errc::bad_file_descriptor);
  Slot* slot = find(id);
  if (slot != nullptr) remove(*slot);  // else its socket was closed and it ended by itself
  return {};
}

void AfdBackend::remove(Slot& slot) noexcept {
  // Of a group it is only struck: what the group's answer says of it is not heard.
  if (slot.state == PollState::pending && slot.group == 0) cancel(slot);
  end(slot);
}

Result<WaitResult> AfdBackend::wait(std::span<Event> events, Timeout timeout) {
  Lock lock(mutex_);
  if (closed_) return failure(std::errc::bad_file_descriptor);
  Timeout deadline;
  if (timeout && *timeout > at_once) deadline = kernel_.now() + std::min(*timeout, longest_wait);
  Room room(events);
  bool woken = false;
  NTSTATUS status = STATUS_SUCCESS;
  int late_looks = 0;
  // A wait that only what is ready at once has filled did not look at the port: the next one looks there first, so that
  // neither sockets that seldom fire nor wakes are kept waiting by those that always do.
  if (std::exchange(port_is_due_, false)) status = collect(lock, room, at_once, woken);
  while (NT_SUCCESS(status) && room.count() == 0 && !woken && !closed_) {
    arm_queued(room);
    if (room.is_full()) {
      port_is_due_ = true;
      break;
    }
    Timeout left = timeout;
    if (deadline) left = std::max(at_once, *deadline - kernel_.now());
    // What is marked again already must be armed before anyone sleeps.
    if (room.count() > 0 || queued_ > 0) left = at_once;
    const bool is_shared = room.count() > 0;
    status = collect(lock, room, left, woken);
    // What was ready at once may have left too little room for what the port had.
    port_is_due_ = is_shared && port_has_more_;
    // By our own clock: the kernel's may be a tick early (kernel fact port.timeout_50). Even then what is ready now has
    // to be told by a wait that begins now: behind packets that told of nothing there may be others, and a poll that
    // was only cancelled, for a wider interest, is looked after once more.
    const bool is_time = timeout && (!deadline || kernel_.now() >= *deadline);
    if (is_time && !port_has_more_ && (queued_ == 0 || ++late_looks > 4)) break;
  }
  if (closed_) {  // by retire, meanwhile: so whoever sleeps still has to be told
    if (waiting_threads_ > 0) wake();
    return failure(std::errc::bad_file_descriptor);
  }
  arm_queued_for_others();
  if (room.count() > 0) policy_.end_round();
  if (!NT_SUCCESS(status) && room.count() == 0) return failure(make_error(status));
  return WaitResult{room.count(), woken};
}

NTSTATUS AfdBackend::collect(Lock& lock, Room& room, Timeout timeout, bool& woken) {
  std::array<FILE_IO_COMPLETION_INFORMATION, packets_per_call> packets;  // NOLINT(*-member-init): the kernel fills it
  const std::size_t count = std::min(room.left(), packets.size());
  ULONG removed = 0;
  stats_.wait_calls++;
  const bool sleeps = !timeout || *timeout > at_once;
  if (sleeps) {
    waiting_threads_++;
    lock.unlock();
  }
  const NTSTATUS status = kernel_.dequeue(port_.get(), std::span(packets).first(count), removed, timeout);
  if (sleeps) {
    lock.lock();
    waiting_threads_--;
  }
  port_has_more_ = status == STATUS_SUCCESS && removed >= count;
  if (status != STATUS_SUCCESS) return status;  // with STATUS_TIMEOUT, `removed` says nothing
  for (const auto& packet : std::span(packets).first(std::min<std::size_t>(removed, count))) {
    take_packet(packet, room, woken);
  }
  return status;
}

void AfdBackend::wake() noexcept {
  if (wake_is_queued_.exchange(true, std::memory_order_acq_rel)) return;  // one packet is enough for all (rule 6)
  // The kernel refuses only when it is out of memory. A wake must not be lost: ask again, for a while.
  for (int attempt = 0; attempt < Arming::attempts; attempt++) {
    wake_posts_.fetch_add(1, std::memory_order_relaxed);
    if (NT_SUCCESS(kernel_.post(port_.get(), nullptr, std::to_underlying(PacketKey::wake), nullptr))) return;
    std::this_thread::yield();
  }
  wake_is_queued_.store(false, std::memory_order_release);
}

Stats AfdBackend::stats() const noexcept {
  const Lock lock(mutex_);
  Stats stats = stats_;
  stats.post_calls += wake_posts_.load(std::memory_order_relaxed);
  stats.registrations = live_;
  stats.pending_polls = held_;
  stats.helper_handles = arming_.helpers();
  stats.arena_slots = arena_.used();
  stats.arena_blocks = arena_.blocks();
  stats.memory_bytes = arena_.bytes() + table_.bytes() + arming_.bytes();
  return stats;
}

void AfdBackend::close() noexcept {
  const Lock lock(mutex_);
  closed_ = true;
  if (std::exchange(given_back_, true)) return;
  arming_.cancel_all();
  drain();
  if (held_ > 0) {  // not given back: better lost than written to after it was freed (rule 2)
    arena_.abandon();
    arming_.abandon_groups();
  }
  table_.clear();
  arena_ = Arena();
  queue_head_ = queue_tail_ = no_slot;
  queued_ = 0;
  live_ = 0;
  arming_.close_all();
}

// Takes packets until every slot is ours again. Each was cancelled, so each comes; the deadline is for a kernel that
// breaks its word.
void AfdBackend::drain() noexcept {
  std::array<FILE_IO_COMPLETION_INFORMATION, packets_per_call> packets;  // NOLINT(*-member-init): the kernel fills it
  const nanoseconds deadline = kernel_.now() + std::chrono::seconds(10);
  int refusals = 0;
  while (held_ > 0 && kernel_.now() < deadline) {
    ULONG removed = 0;
    stats_.wait_calls++;
    const NTSTATUS status = kernel_.dequeue(port_.get(), packets, removed, std::chrono::seconds(1));
    if (!NT_SUCCESS(status) && ++refusals == Arming::attempts) return;
    if (status == STATUS_TIMEOUT) arming_.cancel_all();  // what it said was not pending may be after all
    if (status != STATUS_SUCCESS) continue;
    for (const auto& packet : std::span(packets).first(std::min<std::size_t>(removed, packets.size()))) {
      const auto key = PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)};
      if (key == PacketKey::group) {
        if (Group* group = arming_.group_at_address(packet.ApcContext)) group_came_back(*group);
      }
      if (key != PacketKey::poll) continue;
      Slot* slot = arena_.at_address(packet.ApcContext);
      if (slot == nullptr || !slot->is_held_by_kernel() || slot->group != 0) continue;
      slot->state = PollState::idle;
      held_--;
    }
  }
}

}  // namespace reactor::afd
