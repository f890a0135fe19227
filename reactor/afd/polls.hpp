// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/group.hpp>
#include <reactor/afd/helper_handles.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// The polls that the kernel holds: the one place that submits and cancels them and takes them back, and the only
/// writer of each PollState. What an answer means is Dispatcher's to say.
///
/// Not thread-safe: the backend's lock guards it.
class Polls {
 public:
  static constexpr std::size_t groups_max = 8;  ///< pending at a time; other hot sockets are polled alone

  enum class Outcome : std::uint8_t {
    pending,  ///< the kernel holds it; a packet will come
    ready,    ///< completed synchronously: the request holds the answer, and no packet will come
    refused,  ///< the kernel refused it; no packet will come
  };
  struct Submitted {
    Outcome outcome;
    nt::NTSTATUS status;
  };
  /// What has completed, by a packet; both null: it is unrecognised.
  struct Completed {
    Slot* slot = nullptr;
    Group* group = nullptr;
  };

  Polls(nt::Kernel& kernel, nt::HANDLE port, Arena& arena, bool inline_completions, Stats& stats) noexcept;

  /// Gives the slot, which has its base, a helper handle. Throws std::bad_alloc and is then as before. Error:
  /// not_enough_memory when there are more slots than a packet's context can name; or the system's own.
  [[nodiscard]] Result<> attach(Slot& slot);
  void detach(Slot& slot) noexcept;

  /// Asks for `mask`. idle -> pending, or still idle.
  [[nodiscard]] Submitted submit(Slot& slot, nt::ULONG mask);

  /// An empty group to fill, or null when all are in use.
  [[nodiscard]] Group* empty_group() noexcept;

  /// Submits the masks with which its members were added. The group and its members: idle -> pending, or still idle.
  [[nodiscard]] Submitted submit(Group& group);

  /// Cancels the pending poll of the slot; with a group, of all its members. pending -> cancelling; its packet follows.
  /// False: the kernel is short of memory, nothing has changed.
  [[nodiscard]] bool cancel(Slot& slot);

  /// A packet was dequeued. What it names is checked before it is touched; pending or cancelling -> idle, of a group's
  /// members too.
  [[nodiscard]] Completed complete(const nt::FILE_IO_COMPLETION_INFORMATION& packet) noexcept;

  /// Cancels all that is pending, and ignores errors.
  void cancel_all();
  void close_all() noexcept;
  /// Forgets the groups without freeing them: leaked on purpose, since the kernel may still write to them.
  void abandon_groups() noexcept;

  [[nodiscard]] std::size_t held() const noexcept { return held_; }          ///< slots, members of groups too
  [[nodiscard]] std::size_t requests() const noexcept { return requests_; }  ///< a group is one
  [[nodiscard]] std::size_t helpers() const noexcept { return helpers_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return groups_.size() * sizeof(Group) + helpers_.bytes(); }

 private:
  [[nodiscard]] Group* new_group() noexcept;
  [[nodiscard]] Submitted submit(nt::HANDLE helper, bool skips_packets, nt::IO_STATUS_BLOCK& iosb,
                                 nt::AFD_POLL_INFO& poll, std::size_t sockets, void* context);
  [[nodiscard]] static void* context_of(const Slot& slot) noexcept;
  [[nodiscard]] static void* context_of(const Group& group) noexcept;
  [[nodiscard]] Slot* slot_of(const void* context) noexcept;
  [[nodiscard]] Group* group_of(const void* context) noexcept;
  void set(Slot& slot, PollState::Value from, PollState::Value to) noexcept;
  void set(Group& group, PollState::Value from, PollState::Value to) noexcept;

  nt::Kernel& kernel_;
  Arena& arena_;
  Stats& stats_;
  HelperHandles helpers_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::size_t held_ = 0, requests_ = 0;
};

}  // namespace reactor::afd
