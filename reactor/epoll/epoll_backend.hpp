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
#include <vector>

#include <reactor/backend.hpp>

namespace reactor {

/// epoll. A slot is the socket's descriptor: the kernel hands out the lowest free one, so the table is dense.
///
/// Each report carries a slot and the tag that its entry had when it was last armed. The tag changes with every add and
/// modify, so a report that was taken from the kernel before that, and not yet looked at, is known to be stale; nothing
/// is lost by dropping it, for arming makes the kernel report anew what is ready.
///
/// epoll keys by open file and number. A socket that was duplicated and then closed under the number that was
/// registered cannot be taken out: EBADF, yet it goes on reporting. Its reports are stale; when they have become as
/// many as it would take calls to build a new instance without it, that is done.
class EpollBackend final : public Backend {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Backend>> create();

  EpollBackend() = default;  // closed; only create() makes a useful one
  EpollBackend(const EpollBackend&) = delete;
  EpollBackend& operator=(const EpollBackend&) = delete;
  ~EpollBackend() override;

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override;
  [[nodiscard]] Result<> modify(RegistrationId id, Interest interest, std::optional<Mode> mode) override;
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override;
  [[nodiscard]] Result<> remove(RegistrationId id) override;
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> room,
                                        std::optional<std::chrono::nanoseconds> timeout) override;
  void wake() noexcept override;
  [[nodiscard]] Stats stats() const noexcept override;
  void close() noexcept override;

 private:
  struct Entry {
    std::uint64_t generation = 0;  // 0: no registration
    Token token{};
    std::uint32_t tag = 0;
    Interest interest = Interest::none;
    Mode mode = Mode::level;
    bool told = false;  // oneshot: silent until it is armed again
  };

  struct Taken {
    std::size_t told = 0;
    bool woken = false;
    bool stuck = false;  // a new instance was needed and could not be made
  };

  [[nodiscard]] Result<> open() noexcept;
  void release() noexcept;
  [[nodiscard]] Taken take(std::span<Event> room, std::span<const std::byte> reports);
  [[nodiscard]] int poll(std::span<std::byte> reports, std::size_t batch,
                         std::optional<std::chrono::nanoseconds> left) noexcept;

  // Under mutex_. Those that return int give an errno, 0 for success.
  [[nodiscard]] Entry* find(RegistrationId id) noexcept;
  void erase(Entry& entry) noexcept;
  [[nodiscard]] bool rebuild() noexcept;
  [[nodiscard]] bool move_all(int to) noexcept;
  [[nodiscard]] bool replace(int by) noexcept;
  [[nodiscard]] bool make_room(std::uint32_t slot) noexcept;
  int control(int epoll, int operation, std::uint32_t slot, const Entry& entry) noexcept;
  int control_wake(int epoll, int operation, std::uint32_t events) noexcept;
  void post() noexcept;

  mutable std::mutex mutex_;
  std::vector<Entry> table_;
  std::uint64_t generations_ = 0;  // the last one given; a tag is the low half of one
  std::uint64_t live_ = 0;
  std::uint64_t stale_ = 0;  // reports dropped since the instance was made
  Stats counted_;            // all but what stats() adds

  std::atomic<int> epoll_ = -1;  // written under mutex_; the number stays the same when the instance is replaced
  std::atomic<bool> has_nanoseconds_ = true;

  std::mutex wake_mutex_;  // wake_fd_ stays open while it is held; taken after mutex_ where both are
  int wake_fd_ = -1;       // an eventfd, edge-triggered and never read: each write is one report
  std::atomic<bool> wake_asked_ = false;
  std::atomic<std::uint64_t> posts_ = 0;
};

}  // namespace reactor
