// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/dispatcher.hpp>
#include <reactor/afd/notifier.hpp>
#include <reactor/afd/registry.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>

namespace reactor::notify {

/// The registrations that the kernel has for socket notifications (ProcessSocketNotifications), and what comes of them.
/// The only writer of Slot::notice.
///
/// Each is level-triggered and one-shot: the kernel reports it once, and it is enabled again when it is armed again,
/// which is a level test. So Mode::oneshot and Mode::edge need nothing beyond not to enable it, and the calls of a wait
/// are one, which enables all that was delivered before and dequeues.
///
/// Notifications carry what goes on all the time: readable, writable. A registration uses polls from the moment on that
/// it needs what they cannot say:
///
///   - priority is wanted: there is no event for it;
///   - HANGUP or ERR came: the poll distinguishes a FIN from a reset, and has the error of a failed connect;
///   - the kernel refuses to register the socket: it is in another Poller, or another provider's. The poll says which,
///     and a closed socket is judged there too;
///   - the kernel may still have a registration of the same socket under an older key.
///
/// A key is an index and a generation. It is not known what a socket's registration does whose key is changed without
/// its removal, so that is never done. A notification under an older key than the slot's is ignored, and to be safe its
/// slot uses polls then.
///
/// Not thread-safe: the backend's lock guards it.
class Notifications final : public afd::Notifier {
 public:
  Notifications(nt::Kernel& kernel, nt::HANDLE port, afd::Registry& registry, afd::ArmQueue& queue,
                afd::Dispatcher& dispatcher, Stats& stats) noexcept
      : kernel_(kernel), port_(port), registry_(registry), queue_(queue), dispatcher_(dispatcher), stats_(stats) {}

  /// How a change ended. The kernel says it by a Win32 error or an NTSTATUS.
  enum class Result : std::uint8_t { done, shortage, no_socket, refused };
  [[nodiscard]] static Result result_of(nt::ULONG error) noexcept;

  void begin(afd::Slot& slot) override;
  void enable(afd::Slot& slot) override;
  void retire(afd::Slot& slot, bool is_closed) override;
  void remove_all() noexcept override;
  void flush() override;
  [[nodiscard]] Timeout collect(afd::Changes& changes, Timeout timeout) override;
  [[nodiscard]] nt::NTSTATUS submit(afd::Changes& changes, std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets,
                                    nt::ULONG& removed, Timeout timeout) override;
  [[nodiscard]] std::size_t settle(afd::Changes& changes) override;
  [[nodiscard]] bool take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, afd::EventSink& sink) override;
  [[nodiscard]] std::size_t enabled() const noexcept override { return enabled_; }

 private:
  void collect(afd::Changes& changes);
  [[nodiscard]] bool withdraw(afd::Slot& slot);
  void on_removed(afd::Slot& slot, Result result) noexcept;
  void on_enabled(afd::Slot& slot, const afd::Changes::Of& of, std::uint16_t filter, nt::ULONG error);
  void on_removal(afd::Slot& slot);
  void use_polls(afd::Slot& slot) noexcept;
  void set(afd::Slot& slot, afd::Notice notice) noexcept;
  [[nodiscard]] afd::Slot* find(std::uint32_t index, std::uint32_t key) noexcept;

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  afd::Registry& registry_;
  afd::ArmQueue& queue_;
  afd::Dispatcher& dispatcher_;
  Stats& stats_;
  std::size_t enabled_ = 0;
};

}  // namespace reactor::notify
