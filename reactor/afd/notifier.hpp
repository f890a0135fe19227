// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <reactor/afd/event_sink.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// Changes to be made by one call, and for which registrations they are.
struct Changes {
  static constexpr std::size_t max = 256;

  struct Of {
    std::uint32_t index, key;
    bool is_first;  // the kernel has had none of this registration
  };
  // NOLINTBEGIN(*-member-init): the first `size` are written
  std::array<nt::SOCK_NOTIFY_REGISTRATION, max> entries;
  std::array<Of, max> of;
  // NOLINTEND(*-member-init)
  std::size_t size = 0;
  std::size_t arms_more = 0, waits_more = 0;  // calls that it took beside the one, of each kind
  bool may_sleep = true;                      // the call that makes them: nothing of it is expected to be refused

  [[nodiscard]] std::span<nt::SOCK_NOTIFY_REGISTRATION> all() noexcept { return std::span(entries).first(size); }
};

/// Another way than polls by which registrations get their readiness, on the same port: what the AFD backend asks of
/// reactor/notify, where there is one. A registration for which it cannot serve uses polls.
///
/// The backend's lock is held but in `submit`.
class Notifier {
 public:
  using Timeout = std::optional<std::chrono::nanoseconds>;

  Notifier() = default;
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;
  virtual ~Notifier() = default;

  /// The slot is about to be a new registration's: decides whether that uses polls.
  virtual void begin(Slot& slot) = 0;
  /// To be armed, by the next call that makes changes; or it uses polls from now on.
  virtual void enable(Slot& slot) = 0;
  /// The registration is retired.
  virtual void retire(Slot& slot, bool is_closed) = 0;
  /// All registrations, at the end.
  virtual void remove_all() noexcept = 0;

  /// Makes the changes now, without dequeuing.
  virtual void flush() = 0;

  // A dequeue that makes changes as well, in three steps.

  /// Takes changes from the queue. How long the call may take.
  [[nodiscard]] virtual Timeout collect(Changes& changes, Timeout timeout) = 0;
  /// The call; `timeout` is what collect has said. A status as Kernel::dequeue gives it.
  [[nodiscard]] virtual nt::NTSTATUS submit(Changes& changes, std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets,
                                            nt::ULONG& removed, Timeout timeout) = 0;
  /// What became of the changes. How many were refused for a shortage: those are marked again.
  [[nodiscard]] virtual std::size_t settle(Changes& changes) = 0;

  /// Whether the packet was one of its own.
  [[nodiscard]] virtual bool take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink) = 0;
  /// How many packets may come.
  [[nodiscard]] virtual std::size_t enabled() const noexcept = 0;
};

}  // namespace reactor::afd
