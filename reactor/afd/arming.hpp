// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <reactor/afd/group.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// What a packet of the port is, by its key (rule 3).
enum class PacketKey : nt::ULONG_PTR {
  poll = 0x706F6C6C,   ///< a poll completed; the context is the address of its slot
  group = 0x67727570,  ///< a poll of several sockets completed; the context is the address of its group
  wake = 0x77616B65,
};

/// A handle on \Device\Afd that carries the polls of some sockets.
struct HelperHandle {
  nt::Handle handle;
  std::uint32_t sockets = 0;
  bool skips_packets = false;
};

/// How registrations get armed: the one place that polls and cancels. One AFD_POLL per socket, over helper handles that
/// some dozens of sockets share, since a cancel costs more the more is pending on one handle (kernel fact
/// cancel.pending); or one AFD_POLL for a group of sockets, over a helper handle for all groups.
///
/// Not thread-safe: the backend's lock guards it.
class Arming {
 public:
  static constexpr std::uint32_t sockets_per_helper = 32;
  static constexpr int attempts = 1000;         ///< at what must not fail, while the kernel is out of memory
  static constexpr std::size_t groups_max = 8;  ///< out at a time; whoever is hot beyond that is armed alone

  enum class Answer : std::uint8_t {
    pending,  ///< the kernel has it now; a packet will come
    ready,    ///< answered in the call: the slot's or group's poll holds the answer, and no packet will come
    refused,  ///< the kernel did not take it; no packet will come
  };
  struct Armed {
    Answer answer;
    nt::NTSTATUS status;
  };

  Arming(nt::Kernel& kernel, nt::HANDLE port, bool inline_completions, Stats& stats) noexcept;

  /// Gives the slot its helper handle; `base` is set. Throws std::bad_alloc.
  [[nodiscard]] Result<> attach(Slot& slot);
  void detach(Slot& slot) noexcept;

  /// Asks for `mask`. The slot must be idle.
  [[nodiscard]] Armed arm(Slot& slot, nt::ULONG mask);

  /// An empty group to fill, or null when there is none to be had now.
  [[nodiscard]] Group* empty_group() noexcept;

  /// Asks for what its members were added with. They must be idle.
  [[nodiscard]] Armed arm(Group& group);

  /// The group at exactly that address if the kernel holds it, else null (rule 3).
  [[nodiscard]] Group* group_at_address(const void* address) noexcept;

  /// The group that the slot is out with, else null.
  [[nodiscard]] Group* group_of(const Slot& slot) noexcept {
    return slot.group == 0 ? nullptr : groups_[slot.group - 1u].get();
  }

  /// Cancels the slot's own poll. STATUS_SUCCESS: it was still pending. Its packet follows either way.
  nt::NTSTATUS cancel(Slot& slot);
  nt::NTSTATUS cancel(Group& group);

  /// Cancels all there is.
  void cancel_all();
  void close_all() noexcept;

  /// Forgets the groups without freeing them: for when the kernel did not give them back.
  void abandon_groups() noexcept;

  [[nodiscard]] std::size_t helpers() const noexcept { return helpers_.size() + (group_helper_.handle ? 1 : 0); }
  [[nodiscard]] std::size_t bytes() const noexcept { return groups_.size() * sizeof(Group); }

 private:
  [[nodiscard]] Result<HelperHandle*> add_helper(const Slot& slot);
  [[nodiscard]] Result<HelperHandle> open_helper(nt::HANDLE port, PacketKey key, bool skips_packets);
  [[nodiscard]] Armed submit(const HelperHandle& helper, nt::IO_STATUS_BLOCK& iosb, nt::AFD_POLL_INFO& poll,
                             std::size_t size_bytes, void* context);
  nt::NTSTATUS cancel(nt::HANDLE helper, nt::IO_STATUS_BLOCK* request);
  [[nodiscard]] nt::NTSTATUS look(nt::HANDLE port, std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets,
                                  std::chrono::nanoseconds timeout);
  /// Whether an answer in the call comes without a packet.
  enum class Inline : std::uint8_t { unknown, no, yes };
  [[nodiscard]] Inline probe_inline(nt::HANDLE base);

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  Stats& stats_;
  std::vector<std::unique_ptr<HelperHandle>> helpers_;
  HelperHandle group_helper_;
  std::vector<std::unique_ptr<Group>> groups_;
  Inline inline_;
};

}  // namespace reactor::afd
