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
#include <reactor/epoll/entry.hpp>

namespace reactor {

/// epoll. A slot is the socket's descriptor: the kernel hands out the lowest free one, so the table is dense.
///
/// Each report carries a slot and the tag that its entry had when it was last armed. The tag changes with every add and
/// modify, so a report that was taken from the kernel before that, and is handled after it, is known to be stale;
/// nothing is lost by dropping it, for arming makes the kernel report anew what is ready.
///
/// epoll keys by open file and number. A socket that was duplicated and then closed under the number that was
/// registered cannot be taken out: EBADF, yet it goes on reporting. Its reports are stale; when they have become as
/// many as it would take calls to build a new instance without it, that is done.
///
/// Cancellation (pthread_cancel) unwinds from the calls that wait, which hold nothing; what is called under the mutex
/// or from a noexcept function goes by the number of the system call, since close() and write() are cancellation
/// points.
class EpollBackend final : public Backend {
 public:
  [[nodiscard]] static Result<std::shared_ptr<Backend>> create(const PollerOptions& options);

  explicit EpollBackend(const PollerOptions& options) noexcept;  // closed; only create() makes a useful one
  EpollBackend(const EpollBackend&) = delete;
  EpollBackend& operator=(const EpollBackend&) = delete;
  ~EpollBackend() override;

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override;
  [[nodiscard]] Result<> modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) override;
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override;
  [[nodiscard]] Result<> remove(RegistrationId id) override;
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> buffer,
                                        std::optional<std::chrono::nanoseconds> timeout) override;
  [[nodiscard]] Result<RegistrationId> add_handle(NativeHandle handle, Token token) override;
  void wake() noexcept override;
  [[nodiscard]] Result<NativeHandle> native_handle() override;
  [[nodiscard]] Stats stats() const noexcept override;
  void close() noexcept override;

 private:
  using Entry = epoll::Entry;

  /// So few stale reports that they cost nothing, and enough for a small table not to be rebuilt for a report that a
  /// remove overtook.
  static constexpr std::uint64_t stale_free = 8;

  /// The stale reports of one wait.
  struct Stale {
    std::optional<std::uint64_t> first;
    std::uint64_t reports = 0;
    std::uint64_t renew_at = 1;
    bool seen_all = false;  // one came again, and the kernel reports in rotation
  };

  struct Taken {
    std::size_t events = 0;
    bool woken = false;
    bool is_short = false;     // what is stale stays, since no new instance can be made
    bool is_embedded = false;  // another loop watches native_handle()
  };

  static void close_number(int descriptor) noexcept;
  [[nodiscard]] Result<> open() noexcept;
  [[nodiscard]] Result<RegistrationId> add(int descriptor, Entry entry);
  [[nodiscard]] bool is_inherited() const noexcept;
  [[nodiscard]] Taken take(std::span<Event> buffer, std::span<const std::byte> reports, Stale& stale);
  [[nodiscard]] int poll(std::span<std::byte> reports, std::size_t batch, std::optional<std::chrono::nanoseconds> left);

  // Under mutex_. Those that return int give an errno, 0 for success.
  [[nodiscard]] Entry* find(RegistrationId id) noexcept;
  [[nodiscard]] Entry* reported(std::uint64_t mark) noexcept;
  void on_stale(std::uint64_t mark, Stale& stale) noexcept;
  void erase(Entry& entry) noexcept;
  [[nodiscard]] bool rebuild() noexcept;
  [[nodiscard]] bool move_all(int to) noexcept;
  [[nodiscard]] bool replace(int by) noexcept;
  [[nodiscard]] bool reserve(std::uint32_t slot) noexcept;
  int control(int epoll, int operation, std::uint32_t slot, const Entry& entry) noexcept;
  int control_wake(int epoll, int operation, std::uint32_t events) noexcept;
  void post() noexcept;

  const bool is_interruptible_;
  const std::uint32_t process_;  // the process_mark() of the one that created it

  mutable std::mutex mutex_;
  std::vector<Entry> table_;
  std::uint64_t generations_ = 0;  // the last one given; a tag is the low half of one
  std::uint64_t live_ = 0;
  std::uint64_t stale_ = 0;  // reports dropped since the instance was made, or could not be
  bool is_short_ = false;    // the last rebuild() failed
  int outer_ = -1;           // native_handle(): an epoll instance that holds the other, whichever that is
  Stats counted_;            // all but what stats() adds

  std::atomic<int> epoll_ = -1;  // written under mutex_; the number stays the same when the instance is replaced
  std::atomic<bool> has_nanoseconds_ = true;

  // An eventfd, edge-triggered and never read: each write is one report. Open for as long as a Waker may use it, which
  // is until the destructor.
  int wake_fd_ = -1;
  std::atomic<bool> wake_asked_ = true;  // while closed a wake has no effect
  std::atomic<std::uint64_t> posts_ = 0;
  static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);
};

}  // namespace reactor
