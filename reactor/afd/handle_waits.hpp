// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <reactor/afd/event_sink.hpp>
#include <reactor/backend.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// The registrations of objects that can be waited for: events, processes, timers, semaphores. Each has a handle of its
/// own of the object, and one wait, by a wait packet where the kernel has those and else by a thread of the system's
/// pool:
///
///                add, rearm                 its packet is dequeued
///     disarmed ---------------> armed ----------------------------------> disarmed, one event
///
/// An armed one may have a packet in the port already, and its object may have given up its signal for it. So a packet
/// of a current registration always becomes an event: a wait dequeues no more packets than its buffer has space for,
/// and delivers these first. Only `withdraw` ends that, and returns it.
///
/// The kernel holds no memory of it. A packet that comes after its registration was withdrawn is known by its context,
/// an index and the number of the arming, and is ignored.
///
/// Not thread-safe: the backend's lock guards it.
class HandleWaits {
 public:
  HandleWaits(nt::Kernel& kernel, nt::HANDLE port, Stats& stats) noexcept
      : kernel_(kernel), port_(port), stats_(stats) {}

  /// Whether a registration is one of these.
  [[nodiscard]] static bool owns(RegistrationId id) noexcept { return (id.slot & mark) != 0; }

  /// Armed from now on. Throws std::bad_alloc and is then unchanged.
  [[nodiscard]] Result<RegistrationId> add(nt::HANDLE object, Token token);
  /// Armed again if it is disarmed. Errors: bad_file_descriptor when it is retired; the kernel's, and it stays
  /// disarmed.
  [[nodiscard]] Result<> rearm(RegistrationId id);
  [[nodiscard]] bool contains(RegistrationId id) const noexcept { return find(id) != nullptr; }
  /// Retires it, if it is not retired yet. True: a signal was taken, or may have been, that was never delivered.
  bool withdraw(RegistrationId id) noexcept;

  /// Whether the packet is of an object, current or not; then it has become an event if it is current. The sink must
  /// have space for it.
  [[nodiscard]] bool take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink) noexcept;

  [[nodiscard]] std::size_t live() const noexcept { return live_; }
  /// How many packets may come.
  [[nodiscard]] std::size_t armed() const noexcept { return armed_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return entries_.capacity() * sizeof(Entry); }
  void close() noexcept;

 private:
  static constexpr std::uint32_t mark = std::uint32_t{1} << 31;  // no slot has such an index
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct Entry {
    nt::HANDLE object = nullptr;  // ours
    nt::HANDLE wait = nullptr;    // a wait packet, or a wait of the pool, which only an armed one has
    Token token{};
    std::uint64_t generation = 0;  // of the registration; 0 when there is none
    std::uint32_t arming = 0;      // the number of the last one
    std::uint32_t next_free = none;
    bool uses_pool = false;
    bool is_armed = false;
  };

  [[nodiscard]] const Entry* find(RegistrationId id) const noexcept;
  [[nodiscard]] Entry* find(RegistrationId id) noexcept {
    return const_cast<Entry*>(static_cast<const HandleWaits&>(*this).find(id));
  }
  [[nodiscard]] Result<> open(Entry& entry, nt::HANDLE object);
  [[nodiscard]] Result<> arm(std::uint32_t index);
  bool disarm(Entry& entry) noexcept;
  bool retire(std::uint32_t index) noexcept;
  void release(Entry& entry) noexcept;
  void set_armed(Entry& entry, bool is_armed) noexcept;

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  Stats& stats_;
  std::vector<Entry> entries_;
  std::uint32_t first_free_ = none;
  std::uint32_t last_arming_ = 0;
  std::uint64_t last_generation_ = 0;
  std::size_t live_ = 0, armed_ = 0;
};

}  // namespace reactor::afd
