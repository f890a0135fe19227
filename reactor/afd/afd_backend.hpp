// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/arming.hpp>
#include <reactor/afd/group.hpp>
#include <reactor/afd/group_policy.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/afd/socket_table.hpp>
#include <reactor/backend.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// The caller's room for events, as it fills.
class Room {
 public:
  explicit Room(std::span<Event> events) noexcept : events_(events) {}

  [[nodiscard]] bool is_full() const noexcept { return count_ == events_.size(); }
  [[nodiscard]] std::size_t left() const noexcept { return events_.size() - count_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  void tell(const Event& event) noexcept { events_[count_++] = event; }

 private:
  std::span<Event> events_;
  std::size_t count_ = 0;
};

/// Readiness made of AFD_POLL and a completion port, over any nt::Kernel. Portable: on Linux it runs over a simulated
/// one.
///
/// Life of a registration: add marks it; the next wait arms it (a thread that already waits: at once); a packet, or the
/// call itself, answers; the answer becomes an event or not; it is marked again. afd_state.cpp is that state machine,
/// afd_groups.cpp the same for those that are polled together, and arming.cpp the only place that polls and cancels.
///
/// One lock guards everything but the wait in the kernel and the wake.
class AfdBackend final : public Backend {
 public:
  /// The kernel must outlive it.
  [[nodiscard]] static Result<std::shared_ptr<Backend>> create(nt::Kernel& kernel, const PollerOptions& options);

  AfdBackend(nt::Kernel& kernel, nt::HANDLE port, const PollerOptions& options) noexcept;
  ~AfdBackend() override;

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override;
  [[nodiscard]] Result<> modify(RegistrationId id, Interest interest, std::optional<Mode> mode) override;
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override;
  [[nodiscard]] Result<> remove(RegistrationId id) override;
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> room,
                                        std::optional<std::chrono::nanoseconds> timeout) override;
  void wake() noexcept override;
  [[nodiscard]] Stats stats() const noexcept override;
  void close() noexcept override;

  // For reactor/epoll.h, in by_number.cpp. A number that is not registered is no_such_file_or_directory; an Event of a
  // registration with a filter carries epoll's bits in place of the reason.
  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, const Watch& watch);
  [[nodiscard]] Result<> modify(NativeSocket socket, const Watch& watch);
  [[nodiscard]] Result<> remove(NativeSocket socket);
  [[nodiscard]] nt::HANDLE port() const noexcept { return port_.get(); }
  /// From now on everything is bad_file_descriptor, also for threads that wait already. close is to be called once they
  /// all have left.
  void retire() noexcept;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Timeout = std::optional<std::chrono::nanoseconds>;

  // afd_backend.cpp
  [[nodiscard]] Result<Slot*> slot_for(nt::SocketNumber socket, nt::HANDLE base);
  [[nodiscard]] Slot* find(RegistrationId id) noexcept;
  [[nodiscard]] Slot* find(NativeSocket socket);
  void remove(Slot& slot) noexcept;
  [[nodiscard]] nt::NTSTATUS collect(Lock& lock, Room& room, Timeout timeout, bool& woken);
  void drain() noexcept;

  // afd_state.cpp: the state machine
  void arm_queued(Room& room);
  void arm_queued_for_others();
  void step(Slot& slot, Room* room);
  void post_answer(Slot& slot);
  void take_packet(const nt::FILE_IO_COMPLETION_INFORMATION& packet, Room& room, bool& woken);
  void complete(Slot& slot, nt::NTSTATUS status, Room& room);
  void answered(Slot& slot, nt::ULONG events, nt::NTSTATUS why, Room& room);
  void tell(Slot& slot, Readiness readiness, nt::NTSTATUS why, Room& room);
  void trouble(Slot& slot, nt::NTSTATUS status, Room& room);
  [[nodiscard]] bool is_over(Slot& slot);
  nt::NTSTATUS cancel(Slot& slot);
  void end(Slot& slot) noexcept;
  void release(Slot& slot) noexcept;
  void enqueue(Slot& slot) noexcept;
  void enqueue_first(Slot& slot) noexcept;
  void dequeue(Slot& slot) noexcept;

  // afd_groups.cpp
  [[nodiscard]] std::optional<std::size_t> arm_group(std::size_t count, Room& room);
  void group_refused(Group& group) noexcept;
  void group_came_back(Group& group) noexcept;
  void group_answered(Group& group, nt::NTSTATUS status, Room& room);

  nt::Kernel& kernel_;
  nt::Handle port_;  // open for as long as there is a Waker, so that a wake cannot hit a handle that is somebody else's
  mutable std::mutex mutex_;
  Stats stats_;
  Arming arming_;
  GroupPolicy policy_;
  Arena arena_;
  SocketTable table_{arena_};
  std::uint64_t last_generation_ = 0;
  std::uint32_t queue_head_ = no_slot, queue_tail_ = no_slot;  // those to be armed, first come first served
  std::size_t queued_ = 0;
  std::size_t live_ = 0;  // registrations
  std::size_t held_ = 0;  // slots whose poll is out: the kernel's
  int waiting_threads_ = 0;
  bool port_is_due_ = false;    // the last wait filled its room without looking at the port
  bool port_has_more_ = false;  // the last look at the port took as many packets as it could
  bool closed_ = false;         // nothing is done any more
  bool given_back_ = false;     // nothing is held any more
  std::atomic<bool> wake_is_queued_ = false;
  std::atomic<std::uint64_t> wake_posts_ = 0;

  static constexpr std::uint32_t no_slot = ~std::uint32_t{0};
};

}  // namespace reactor::afd
