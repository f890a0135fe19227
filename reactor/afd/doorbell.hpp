// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <reactor/afd/helper_handles.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// The packet that ends a sleep in the kernel: for a Waker, or so that a sleeping thread arms what another has left. At
/// most one is queued ("no lost wake"). It takes no lock, so it may be used in any thread and at any moment.
///
/// It is posted with a reserve object where the kernel has those: then it cannot fail. Without, a post that the kernel
/// refuses is owed, and paid by the next call of the backend.
class Doorbell {
 public:
  Doorbell(nt::Kernel& kernel, nt::HANDLE port) noexcept : kernel_(kernel), port_(port) {}

  /// Creates the reserve object. Before the first wake or nudge.
  void open() noexcept {
    if (const auto reserve = kernel_.create_reserve()) reserve_ = nt::Handle(kernel_, *reserve);
  }
  [[nodiscard]] bool has_reserve() const noexcept { return static_cast<bool>(reserve_); }

  /// Ends one wait: one that has begun, or else the next.
  void wake() noexcept { ring(queued | wanted); }

  /// Lets one sleeping thread check for work; its wait goes on.
  void nudge() noexcept { ring(queued); }

  /// Its packet was dequeued. True: a wait is to end. All that was written before the wake is visible then.
  [[nodiscard]] bool answer() noexcept { return (state_.exchange(0, std::memory_order_acq_rel) & wanted) != 0; }

  /// Posts what is owed.
  void pay() noexcept {
    if (is_owed_.load(std::memory_order_relaxed) && is_owed_.exchange(false, std::memory_order_acq_rel)) post();
  }

  [[nodiscard]] std::uint64_t posts() const noexcept { return posts_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint8_t queued = 1, wanted = 2;

  void ring(std::uint8_t bits) noexcept {
    // Always a read and write, so that what the caller wrote before is seen by the wait that this ends.
    if ((state_.fetch_or(bits, std::memory_order_acq_rel) & queued) == 0) return post();
    pay();
  }

  void post() noexcept {
    posts_.fetch_add(1, std::memory_order_relaxed);
    const auto key = std::to_underlying(PacketKey::wake);
    if (!nt::NT_SUCCESS(kernel_.post(port_, reserve_.get(), key, nullptr))) is_owed_.store(true);
  }

  nt::Kernel& kernel_;
  nt::HANDLE port_;
  nt::Handle reserve_;  // open for as long as there may be a Waker
  std::atomic<std::uint8_t> state_ = 0;
  std::atomic<bool> is_owed_ = false;
  std::atomic<std::uint64_t> posts_ = 0;
};

}  // namespace reactor::afd
