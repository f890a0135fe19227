// SPDX-License-Identifier: MIT
#include <reactor/afd/dispatcher.hpp>

#include <cstddef>
#include <ranges>
#include <utility>

#include <reactor/assert.hpp>

namespace reactor::afd {

using namespace nt;

namespace {

// AFD's status for a handle that is not its socket: it was closed, or is another provider's (kernel facts bad.*).
bool is_no_socket(NTSTATUS status) noexcept {
  return status == STATUS_INVALID_HANDLE || status == STATUS_OBJECT_TYPE_MISMATCH;
}

}  // namespace

NTSTATUS Dispatcher::arm_marked(EventSink& sink, Until until) {
  shortage_ = STATUS_SUCCESS;
  bool may_group = true;
  SlotList& marked = queue_.marked();
  for (std::size_t count = marked.size(); count > 0 && (until == Until::all || !sink.is_full());) {
    Slot& slot = marked.front();
    if (may_group && slot.uses_polls && GroupPolicy::is_hot(slot.activity)) {
      const std::size_t before = count;
      may_group = arm_group(count, sink);
      if (count < before) continue;
    }
    marked.erase(slot);
    arm(slot, sink);
    count--;
  }
  return shortage_;
}

void Dispatcher::arm(Slot& slot, EventSink& sink) {
  if (!slot.uses_polls) notifier_->enable(slot);
  if (!slot.uses_polls) return;  // else it cannot serve it any more
  const ULONG mask = poll_mask(slot.armed());
  switch (PollState::Value{slot.state}) {
    case PollState::idle:
      if (mask != 0 && !slot.is_foreign) submit(slot, mask, sink);
      return;
    case PollState::pending:
      // Covered: nothing to do. What the poll reports beyond what is wanted now is not delivered.
      if (slot.was_asked_for() && (mask & ~ULONG{slot.asked}) == 0) return;
      // Two polls of one socket can swap their results ("one poll per socket"): this one has to complete first.
      if (slot.was_asked_for() && slot.group != 0) GroupPolicy::cancelled_group(slot.activity);
      if (!polls_.cancel(slot)) on_shortage(slot, STATUS_INSUFFICIENT_RESOURCES);
      return;
    case PollState::cancelling: return;  // its completion brings it here again
  }
}

void Dispatcher::submit(Slot& slot, ULONG mask, EventSink& sink) {
  const auto [outcome, status] = polls_.submit(slot, mask);
  switch (outcome) {
    case Polls::Outcome::pending: return;
    case Polls::Outcome::ready: return on_completion(slot, STATUS_SUCCESS, sink);
    case Polls::Outcome::refused: return on_refused(slot, status, sink);
  }
}

// Arms the hot ones among the first `count` of the queue in one request, and subtracts them from `count`. Arms none
// when too few of them are at the front. False: no more groups in this pass.
bool Dispatcher::arm_group(std::size_t& count, EventSink& sink) {
  // Without a buffer, a thread that has one polls again for the answers.
  const std::size_t events_left = sink.is_full() ? Group::capacity : sink.left();
  const auto [group, may_try_again] = groups_.form(queue_.marked(), count, events_left);
  if (group == nullptr) return may_try_again;
  const auto [outcome, status] = polls_.submit(*group);
  if (outcome == Polls::Outcome::refused) {
    // One handle that is not a socket any more makes the kernel refuse them all (kernel fact many.closed). They are
    // polled alone, where each has its own error ("one bad socket never fails wait"), and none loses its turn.
    groups_.policy().was_refused();
    for (const Group::Member& member : group->members() | std::views::reverse) queue_.mark_first(*member.slot);
    return false;
  }
  groups_.policy().was_taken();
  count -= group->size;
  if (outcome == Polls::Outcome::ready) on_completion(*group, status, sink);
  return true;
}

void Dispatcher::take(const FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink) {
  if (notifier_ != nullptr && notifier_->take(packet, sink)) return;
  const auto [slot, group] = polls_.complete(packet);
  if (slot != nullptr) return on_completion(*slot, packet.IoStatusBlock.Status, sink);
  if (group != nullptr) return on_completion(*group, packet.IoStatusBlock.Status, sink);
  stats_.unknown_packets++;  // another part of the program posts to this port ("packets are checked")
}

// The poll of the slot has completed, with this status.
void Dispatcher::on_completion(Slot& slot, NTSTATUS status, EventSink& sink) {
  REACTOR_ASSERT(slot.state == PollState::idle);
  if (!slot.is_live()) return release_if_free(slot);
  // The answer to what an earlier registration has asked; or cancelled, by us for a wider interest or unasked
  // ("unasked cancellation means arm again").
  if (!slot.was_asked_for() || status == STATUS_CANCELLED) return queue_.mark(slot);
  if (!NT_SUCCESS(status)) return on_refused(slot, status, sink);
  const bool has_entry = slot.poll.info.NumberOfHandles > 0;
  on_ready(slot, has_entry ? slot.poll.handle.Events : 0, slot.poll.handle.Status, sink);
}

// Delivers as many as fit into the sink. Those delivered are the last to be armed again, those left out the first.
void Dispatcher::on_completion(Group& group, NTSTATUS status, EventSink& sink) {
  group.read_answer(status);
  bool has_events = false;  // a closed socket alone says nothing about how often the others fire
  for (Group::Member& member : group.members()) {
    const bool is_wanted = member.slot->is_live() && member.slot->was_asked_for();
    if (!is_wanted) member.events = 0;
    has_events = has_events || (member.events & ~AFD_POLL_LOCAL_CLOSE) != 0;
  }
  for (Group::Member& member : group.members()) {
    if (member.events != 0) continue;
    Slot& slot = *std::exchange(member.slot, nullptr);
    const bool is_idle = slot.is_live() && slot.was_asked_for();
    if (is_idle && has_events) GroupPolicy::did_not_fire(slot.activity);
    if (!NT_SUCCESS(status) && status != STATUS_CANCELLED)
      slot.activity = {};  // alone the next time, with its own error
    on_completion(slot, STATUS_CANCELLED, sink);
  }
  for (Group::Member& member : group.members()) {
    const bool is_closed = (member.events & AFD_POLL_LOCAL_CLOSE) != 0;  // nothing to deliver
    if (member.slot == nullptr || (sink.is_full() && !is_closed)) continue;
    on_ready(*std::exchange(member.slot, nullptr), member.events, member.status, sink);
  }
  for (const Group::Member& member : group.members() | std::views::reverse) {
    if (member.slot != nullptr) on_ready(*member.slot, member.events, member.status, sink);
  }
}

void Dispatcher::on_ready(Slot& slot, ULONG events, NTSTATUS status, EventSink& sink) {
  // Closed without being removed: it is retired, as on Linux ("a number is not an identity").
  if ((events & AFD_POLL_LOCAL_CLOSE) != 0) return retire(slot, true);
  if (events != 0 && sink.is_full()) {
    groups_.policy().fired(slot.activity);
    return queue_.mark_first(slot);
  }
  const Directions reported =
      events == 0 ? Directions::none : sink.deliver({slot.token, slot.armed(), slot.detail, events, status});
  if (reported == Directions::none) {
    stats_.spurious++;
    return queue_.mark(slot);
  }
  groups_.policy().fired(slot.activity);
  on_delivered(slot, reported, sink);
}

void Dispatcher::on_delivered(Slot& slot, Directions reported, EventSink& sink) noexcept {
  stats_.events++;
  switch (slot.mode) {
    case Mode::level:
      // Interest::none: a hang-up is reported once, or back pressure would spin ("no spin").
      if (slot.wanted == Directions::endings) slot.disarmed = Directions::all;
      break;
    case Mode::oneshot: slot.disarmed = Directions::all; break;
    case Mode::edge: slot.disarmed = slot.disarmed | reported; break;
  }
  if (slot.mode != Mode::level) sink.count_disarming();
  if (poll_mask(slot.armed()) != 0) queue_.defer_delivered(slot, sink.batch());
}

// The kernel did not take the poll, or it failed: an error of this socket alone ("one bad socket never fails wait"), or
// a shortage, which is none of its.
void Dispatcher::on_refused(Slot& slot, NTSTATUS status, EventSink& sink) {
  if (is_shortage(status)) return on_shortage(slot, status);
  if (!is_no_socket(status)) return report_failure(slot, status, sink);
  if (slot.was_asked_for()) return retire(slot, true);  // closed without being removed, while it was not armed
  queue_.suspect(slot);
}

void Dispatcher::report_failure(Slot& slot, NTSTATUS status, EventSink& sink) {
  if (sink.is_full()) return queue_.mark_first(slot);
  on_delivered(slot, sink.deliver({slot.token, slot.armed(), slot.detail, 0, status}), sink);
}

void Dispatcher::on_shortage(Slot& slot, NTSTATUS status) noexcept {
  shortage_ = status;
  queue_.mark(slot);
}

void Dispatcher::resolve_suspect(Slot& slot, bool is_open, EventSink& sink) {
  REACTOR_ASSERT(!sink.is_full());
  const RegistrationId id{slot.index, slot.generation};
  queue_.erase(slot);
  if (!is_open) return retire(slot, true);
  // It may have been closed and its number opened again since: poll once more. If AFD refuses that too, it is not a
  // socket of AFD, and never will be.
  arm(slot, sink);
  if (registry_.find(id) == nullptr || slot.list != ListName::suspected) return;
  queue_.erase(slot);
  report_failure(slot, STATUS_NOT_SUPPORTED, sink);
  slot.is_foreign = true;
  slot.activity = {};  // so that no group takes it, either
}

void Dispatcher::retire(Slot& slot, bool is_closed) {
  queue_.erase(slot);
  registry_.retire(slot);
  if (notifier_ != nullptr) notifier_->retire(slot, is_closed);
  release_if_free(slot);
}

void Dispatcher::release_if_free(Slot& slot) noexcept {
  if (!slot.is_live() && slot.is_free()) release(slot);
}

void Dispatcher::release(Slot& slot) noexcept {
  polls_.detach(slot);
  registry_.release(slot);
}

void Dispatcher::cancel_own(Slot& slot) {
  if (slot.state == PollState::pending && slot.group == 0) static_cast<void>(polls_.cancel(slot));
}

}  // namespace reactor::afd
