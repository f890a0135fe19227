// SPDX-License-Identifier: MIT
//
// The state machine of a registration.
//
//             arm: the kernel takes it             a wider interest, or removed
//    idle ---------------------------> pending ------------------------------> cancelling
//     ^  \  answered in the call          |                                        |
//     |   `---------------.               | packet                                 | packet
//     |                   v               v                                        v
//     `---- told, or marked to be armed again, or over and released <--------------'
//
// A slot is the kernel's in pending and in cancelling, and nothing but its packet ends those (design.md, rule 2).
#include <array>
#include <cstdint>
#include <thread>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/afd/epoll_bits.hpp>
#include <reactor/afd/masks.hpp>

namespace reactor::afd {

using namespace nt;

// Arms what is marked, oldest first, until nothing is marked or the room is full of what was ready at once. What is
// left then stays unarmed and is asked first the next time, so everyone gets a turn.
void AfdBackend::arm_queued(Room& room) {
  bool grouping = true;
  for (std::size_t count = queued_; count > 0 && !room.is_full();) {  // what is marked meanwhile: the next time
    Slot& slot = *arena_.at(queue_head_);
    if (grouping && GroupPolicy::is_hot(slot.heat)) {
      const auto taken = arm_group(count, room);
      grouping = taken.has_value();
      count -= taken.value_or(0);
      if (taken.value_or(0) > 0) continue;
    }
    dequeue(slot);
    step(slot, &room);
    count--;
  }
}

// The same for threads that are asleep in the kernel: what is ready at once goes to them as a packet.
void AfdBackend::arm_queued_for_others() {
  if (waiting_threads_ == 0) return;
  for (std::size_t count = queued_; count > 0; count--) {
    Slot& slot = *arena_.at(queue_head_);
    dequeue(slot);
    step(slot, nullptr);
  }
}

void AfdBackend::step(Slot& slot, Room* room) {
  const ULONG wanted = slot.wanted_mask();
  switch (slot.state) {
    case PollState::idle: {
      if (wanted == 0) return;  // silent in every direction: modify or drained marks it again
      if (room == nullptr && slot.is_silent()) return enqueue(slot);  // only its end: nobody needs to be told at once
      slot.was_armed = true;
      const auto [answer, status] = arming_.arm(slot, wanted);
      if (answer == Arming::Answer::refused) {
        if (room != nullptr) return trouble(slot, status, *room);
        if (status == STATUS_INVALID_HANDLE || status == STATUS_OBJECT_TYPE_MISMATCH) return end(slot);
        slot.poll.info.NumberOfHandles = 0;  // a waiting thread finds nothing, asks again, and has room to tell of it
      }
      if (answer == Arming::Answer::ready && room != nullptr) return complete(slot, STATUS_SUCCESS, *room);
      slot.state = PollState::pending;
      held_++;
      if (answer != Arming::Answer::pending) post_answer(slot);
      return;
    }
    case PollState::pending:
      // Covered: nothing to do. What the poll reports beyond the interest of then is not told.
      if (!slot.stale && (wanted & ~ULONG{slot.asked}) == 0) return;
      // Two polls on one socket can swap their results (kernel fact 8, rule 1): this one has to come back first.
      if (!slot.stale && slot.group != 0) GroupPolicy::cancelled_group(slot.heat);
      cancel(slot);
      return;
    case PollState::cancelling: return;  // its packet is on the way and brings it here again
  }
}

// Nobody here has room for the answer: it goes to a waiting thread as if the kernel had sent it. Posting fails only
// when the kernel is out of memory; then it is asked again, for a while.
void AfdBackend::post_answer(Slot& slot) {
  for (int attempt = 0; attempt < Arming::attempts; attempt++) {
    stats_.post_calls++;
    if (NT_SUCCESS(kernel_.post(port_.get(), nullptr, std::to_underlying(PacketKey::poll), &slot))) return;
    std::this_thread::yield();
  }
  slot.state = PollState::idle;
  held_--;
  enqueue(slot);
}

void AfdBackend::take_packet(const FILE_IO_COMPLETION_INFORMATION& packet, Room& room, bool& woken) {
  stats_.packets++;
  switch (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)}) {
    case PacketKey::wake:
      // An exchange, not a store: what the waking threads wrote before must be seen by who returns from this wait.
      wake_is_queued_.exchange(false, std::memory_order_acq_rel);
      stats_.wakes++;
      woken = true;
      return;
    case PacketKey::group:
      if (Group* group = arming_.group_at_address(packet.ApcContext)) {
        group_came_back(*group);
        return group_answered(*group, packet.IoStatusBlock.Status, room);
      }
      break;
    case PacketKey::poll:
      if (Slot* slot = arena_.at_address(packet.ApcContext);
          slot != nullptr && slot->is_held_by_kernel() && slot->group == 0) {
        held_--;
        slot->state = PollState::idle;
        return complete(*slot, packet.IoStatusBlock.Status, room);
      }
      break;
  }
  stats_.unknown_packets++;  // somebody else posts to this port, or the kernel surprised us (rule 3)
}

// The kernel has given the slot back, with this status.
void AfdBackend::complete(Slot& slot, NTSTATUS status, Room& room) {
  if (!slot.is_live()) return release(slot);  // removed while the poll was out
  if (slot.stale) {                           // the answer was for a registration before this one
    slot.stale = false;
    return enqueue(slot);
  }
  if (status == STATUS_CANCELLED) return enqueue(slot);  // by us for a wider interest, or unasked (rule 9)
  if (!NT_SUCCESS(status)) return trouble(slot, status, room);
  const bool has_entry = slot.poll.info.NumberOfHandles > 0;
  return answered(slot, has_entry ? slot.poll.handle.Events : 0, slot.poll.handle.Status, room);
}

void AfdBackend::answered(Slot& slot, ULONG events, NTSTATUS why, Room& room) {
  if ((events & AFD_POLL_LOCAL_CLOSE) != 0) return end(slot);  // closed without being removed: over, as on Linux
  const Readiness readiness = told(to_readiness(events), slot.directions());
  if (readiness == Readiness::none) {
    stats_.spurious++;
    return enqueue(slot);
  }
  const bool failed = (readiness & Readiness::failed) != Readiness::none;
  policy_.fired(slot.heat);
  if (room.is_full()) return enqueue_first(slot);  // packets are asked for by the room, and a group's has many events
  if (slot.filter != 0) return tell(slot, readiness, static_cast<NTSTATUS>(epoll_bits(events) & slot.filter), room);
  tell(slot, readiness, failed ? why : STATUS_SUCCESS, room);
}

void AfdBackend::tell(Slot& slot, Readiness readiness, NTSTATUS why, Room& room) {
  room.tell(Event(slot.token, readiness, why));
  stats_.events++;
  switch (slot.mode) {
    case Mode::level: break;
    case Mode::oneshot: slot.silent = all_directions; break;
    case Mode::edge: slot.silent = slot.silent | directions_of(readiness); break;
  }
  if (slot.wanted_mask() != 0) enqueue(slot);
}

// A poll that the kernel refused or that failed: the trouble of this socket alone, told as its event (rule 8).
void AfdBackend::trouble(Slot& slot, NTSTATUS status, Room& room) {
  // Closed without being removed while it was not armed.
  if (status == STATUS_INVALID_HANDLE || status == STATUS_OBJECT_TYPE_MISMATCH) return end(slot);
  if (room.is_full()) return enqueue_first(slot);
  if (slot.filter != 0) status = static_cast<NTSTATUS>(epoll_bits(AFD_POLL_CONNECT_FAIL) & slot.filter);
  tell(slot, Readiness::readable | Readiness::writable | Readiness::failed, status, room);
}

// Whether the socket that this live slot was added for has been closed, now that its number is added again. While a
// poll is pending, its socket is open: closing completes it (kernel fact close.pending). When it has completed and was
// not armed again, or is being cancelled, a close goes unseen and there is no telling; then who adds it now is
// believed.
bool AfdBackend::is_over(Slot& slot) {
  if (!slot.was_armed) return false;
  if (slot.state != PollState::pending) return true;
  const bool is_closed = cancel(slot) == STATUS_NOT_FOUND;
  slot.was_armed = is_closed;  // a live one is armed again after its packet, and is known to be open until then
  return is_closed;
}

// Cancels the poll that the slot is out with. With a group, the others come back too and are armed again.
NTSTATUS AfdBackend::cancel(Slot& slot) {
  slot.state = PollState::cancelling;
  Group* group = arming_.group_of(slot);
  if (group == nullptr) return arming_.cancel(slot);
  group->state = PollState::cancelling;
  for (const Group::Member& member : group->members()) member.slot->state = PollState::cancelling;
  return arming_.cancel(*group);
}

// The registration is over. The slot stays until the kernel gives it back, and keeps its place in the table, so that
// the same number added again meanwhile waits for that (rule 1).
void AfdBackend::end(Slot& slot) noexcept {
  if (slot.is_live()) live_--;
  slot.generation = 0;
  if (slot.queued) dequeue(slot);
  if (!slot.is_held_by_kernel()) release(slot);
}

void AfdBackend::release(Slot& slot) noexcept {
  table_.erase(slot.base);
  arming_.detach(slot);
  arena_.free(slot);
}

void AfdBackend::enqueue(Slot& slot) noexcept {
  if (slot.queued) return;
  slot.queued = true;
  queued_++;
  slot.previous = queue_tail_;
  slot.next = no_slot;
  (queue_tail_ == no_slot ? queue_head_ : arena_.at(queue_tail_)->next) = slot.index;
  queue_tail_ = slot.index;
}

void AfdBackend::enqueue_first(Slot& slot) noexcept {
  if (slot.queued) dequeue(slot);
  slot.queued = true;
  queued_++;
  slot.previous = no_slot;
  slot.next = queue_head_;
  (queue_head_ == no_slot ? queue_tail_ : arena_.at(queue_head_)->previous) = slot.index;
  queue_head_ = slot.index;
}

void AfdBackend::dequeue(Slot& slot) noexcept {
  slot.queued = false;
  queued_--;
  (slot.previous == no_slot ? queue_head_ : arena_.at(slot.previous)->next) = slot.next;
  (slot.next == no_slot ? queue_tail_ : arena_.at(slot.next)->previous) = slot.previous;
}

}  // namespace reactor::afd
