// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <reactor/afd/slot.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// What a packet of the port is, by its key (rule 3).
enum class PacketKey : nt::ULONG_PTR {
  poll = 0x706F6C6C,  ///< a poll completed; the context is the address of its slot
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
/// cancel.pending).
///
/// Not thread-safe: the backend's lock guards it.
class Arming {
 public:
  static constexpr std::uint32_t sockets_per_helper = 32;

  enum class Answer : std::uint8_t {
    pending,  ///< the kernel has it now; a packet will come
    ready,    ///< answered in the call: the slot's poll holds the answer, and no packet will come
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

  /// Cancels the slot's poll. STATUS_SUCCESS: it was still pending. Its packet follows either way.
  nt::NTSTATUS cancel(Slot& slot);

  /// Cancels all there is.
  void cancel_all();
  void close_all() noexcept;

  [[nodiscard]] std::size_t helpers() const noexcept { return helpers_.size(); }

 private:
  [[nodiscard]] Result<HelperHandle*> open_helper(const Slot& slot);
  [[nodiscard]] bool probe_inline(nt::HANDLE base);

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  Stats& stats_;
  std::vector<std::unique_ptr<HelperHandle>> helpers_;
  bool inline_wanted_;
  bool inline_probed_ = false;
};

}  // namespace reactor::afd
