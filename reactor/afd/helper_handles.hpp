// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <reactor/afd/packet_key.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// The handles on \Device\Afd that carry polls. Some dozens of sockets share one, since a cancel costs the more the
/// more is pending on its handle (kernel fact cancel.pending); all groups share another.
///
/// No operation takes longer because there are many handles.
class HelperHandles {
 public:
  /// A cancel costs 35 us beside 100 polls on its handle and 0.04 us more for each further one (trio#52, on Windows),
  /// so up to here it is in the noise; and 10^6 registrations need 7,813 handles, not the 31,250 of 32 to a handle.
  static constexpr std::uint32_t sockets_per_handle = 128;

  HelperHandles(nt::Kernel& kernel, nt::HANDLE port, bool inline_completions, Stats& stats) noexcept;

  /// The index of a handle with a place for one more socket. Throws std::bad_alloc and is then unchanged.
  [[nodiscard]] Result<std::uint32_t> attach(nt::HANDLE base);
  void detach(std::uint32_t index) noexcept;

  [[nodiscard]] nt::HANDLE operator[](std::uint32_t index) const noexcept { return handles_[index].handle.get(); }
  /// A poll on it that completes synchronously queues no packet.
  [[nodiscard]] bool skips_packets(std::uint32_t index) const noexcept { return handles_[index].skips_packets; }

  /// The handle for groups, or null: groups need synchronous completion without a packet. What does not fit into the
  /// caller's buffer has to be polled again, and if each answer were a packet, it would be behind all others each time.
  [[nodiscard]] nt::HANDLE for_groups() noexcept;

  template <class Function>
  void for_each(Function&& function) const {
    if (group_handle_) function(group_handle_.get());
    for (const Helper& helper : handles_) {
      if (helper.handle) function(helper.handle.get());
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return open_ + (group_handle_ ? 1 : 0); }
  [[nodiscard]] std::size_t bytes() const noexcept { return handles_.capacity() * sizeof(handles_[0]); }
  void close_all() noexcept;

 private:
  static constexpr std::uint32_t no_index = ~std::uint32_t{0};

  struct Helper {
    nt::Handle handle;  // null: the index is free
    std::uint32_t sockets = 0;
    std::uint32_t previous = no_index, next = no_index;  // among those with a place left; `next` also among the free
    bool skips_packets = false;
  };
  struct Opened {
    nt::Handle handle;
    bool skips_packets;
  };
  /// Whether a poll that completes synchronously has no packet.
  enum class Inline : std::uint8_t { unknown, no, yes };

  struct Probe {
    nt::IO_STATUS_BLOCK iosb{};
    nt::AfdPollOne poll{};
    nt::Handle port, helper;
    nt::NTSTATUS status = nt::STATUS_SUCCESS;
  };

  [[nodiscard]] Result<std::uint32_t> add(nt::HANDLE base);
  [[nodiscard]] Result<Opened> open(nt::HANDLE port, PacketKey key, bool skips_packets);
  [[nodiscard]] Inline probe_inline(nt::HANDLE base);
  [[nodiscard]] Inline begin_probe(nt::HANDLE base);
  void link(std::uint32_t index) noexcept;
  void unlink(std::uint32_t index) noexcept;

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  Stats& stats_;
  std::vector<Helper> handles_;
  std::uint32_t first_with_place_ = no_index, first_free_ = no_index;
  std::size_t open_ = 0;
  nt::Handle group_handle_;
  bool groups_skip_packets_ = false;
  Inline inline_;
  std::unique_ptr<Probe> probe_;  // while its packet could not be dequeued
};

}  // namespace reactor::afd
