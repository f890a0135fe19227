// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/event_sink.hpp>
#include <reactor/afd/groups.hpp>
#include <reactor/afd/notifier.hpp>
#include <reactor/afd/polls.hpp>
#include <reactor/afd/registry.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>

namespace reactor::afd {

/// What happens to a registration between add and its end: it is marked; armed; its answer becomes an event in a sink
/// or does not; and it is marked again. Waits and shutdown use the same functions; they differ in the sink.
///
/// Not thread-safe: the backend's lock guards it.
class Dispatcher {
 public:
  Dispatcher(Registry& registry, ArmQueue& queue, Polls& polls, Groups& groups, Stats& stats) noexcept
      : registry_(registry), queue_(queue), polls_(polls), groups_(groups), stats_(stats) {}

  /// Registrations that do not use polls are its to arm. Before the first one is added.
  void set_notifier(Notifier& notifier) noexcept { notifier_ = &notifier; }

  /// Arms what is marked, oldest first, once each. With Until::full it stops when the sink is full: what is left stays
  /// marked and comes first the next time, so each registration gets its turn. The status of a call that was refused
  /// because the system is short of something (then the registration is marked again), else STATUS_SUCCESS.
  enum class Until : std::uint8_t { full, all };
  nt::NTSTATUS arm_marked(EventSink& sink, Until until = Until::full);

  /// Judges a packet of the port that is not a wake.
  void take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink);

  /// Of a suspected registration: its socket was found open, or not.
  void resolve_suspect(Slot& slot, bool is_open, EventSink& sink);

  /// Retires the registration. Its slot stays until its poll has completed, and keeps its place in the table, so that
  /// the same handle added again waits for that ("one poll per socket").
  void retire(Slot& slot, bool is_closed);
  /// The kernel has released something of the slot. A retired slot is released when the kernel holds nothing of it.
  void release_if_free(Slot& slot) noexcept;

  /// What was asked of the kernel was refused for a shortage: it is marked again.
  void on_shortage(Slot& slot, nt::NTSTATUS status) noexcept;

  /// The socket is ready for these AFD events: delivers them, or marks it.
  void on_ready(Slot& slot, nt::ULONG events, nt::NTSTATUS status, EventSink& sink);

  /// Cancels the slot's poll, if it has one of its own. A member of a group stays in it and its result is ignored: to
  /// cancel that poll would cost all other members theirs.
  void cancel_own(Slot& slot);

 private:
  void arm(Slot& slot, EventSink& sink);
  void submit(Slot& slot, nt::ULONG mask, EventSink& sink);
  [[nodiscard]] bool arm_group(std::size_t& count, EventSink& sink);
  void on_completion(Slot& slot, nt::NTSTATUS status, EventSink& sink);
  void on_completion(Group& group, nt::NTSTATUS status, EventSink& sink);
  void on_delivered(Slot& slot, Directions reported, EventSink& sink) noexcept;
  void on_refused(Slot& slot, nt::NTSTATUS status, EventSink& sink);
  void report_failure(Slot& slot, nt::NTSTATUS status, EventSink& sink);
  void release(Slot& slot) noexcept;

  Registry& registry_;
  ArmQueue& queue_;
  Polls& polls_;
  Groups& groups_;
  Stats& stats_;
  Notifier* notifier_ = nullptr;
  nt::NTSTATUS shortage_ = nt::STATUS_SUCCESS;
};

}  // namespace reactor::afd
