// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <reactor/afd/helper_handles.hpp>
#include <reactor/nt/kernel.hpp>

#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim::model {

/// Thrown when one step makes so many kernel calls that it will never end.
class Spins : public std::runtime_error {
 public:
  Spins() : std::runtime_error("it spins: thousands of kernel calls in one step") {}
};

/// The result of the last poll that was submitted for a socket number.
struct Attempt {
  enum class Outcome : std::uint8_t {
    none,
    accepted,  ///< it is pending, or has completed with events
    shortage,  ///< refused
    empty,     ///< completed synchronously without an entry
    refused,   ///< for another reason
  };
  Outcome outcome = Outcome::none;
  std::chrono::nanoseconds at{0};
};

/// A poll of one socket that was refused as if the socket were closed.
struct Denial {
  std::uintptr_t socket = 0;
  bool is_first = false;   ///< no poll was accepted since expect_first
  bool is_second = false;  ///< but one was refused for a shortage
};

/// Between the backend and a simulated kernel: counts and records what the model check needs. One thread.
class WatchedKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using nanoseconds = std::chrono::nanoseconds;
  template <class T>
  using Result = reactor::Result<T>;

  /// What was counted; the model subtracts.
  struct Counted {
    std::uint64_t calls = 0;
    std::uint64_t packets = 0;           ///< dequeued from the backend's own port
    std::uint64_t group_polls = 0;       ///< of more than one socket
    std::uint64_t sockets_max = 0;       ///< in one poll
    std::uint64_t packets_max = 0;       ///< in one dequeue
    std::uint64_t refusals = 0;          ///< calls that failed, and the sockets in polls among them: to be done again
    std::uint64_t refused_sockets = 0;   ///< in polls that were refused for a shortage
    std::uint64_t denied_sockets = 0;    ///< in polls that were refused with STATUS_ACCESS_DENIED
    std::uint64_t refused_dequeues = 0;  //
    std::uint64_t refused_cancels = 0;   //
    std::uint64_t bases = 0;             ///< calls of base_socket
    std::uint64_t refused_bases = 0;     //
    std::uint64_t posts = 0;             ///< that were accepted
  };

  explicit WatchedKernel(SimKernel& below) noexcept : below_(below) {}

  /// A step begins, with a limit for its kernel calls.
  void allow(std::uint64_t calls) noexcept { last_call_ = counted_.calls + calls; }

  [[nodiscard]] const Counted& counted() const noexcept { return counted_; }
  [[nodiscard]] HANDLE port() const noexcept { return port_; }
  [[nodiscard]] std::size_t reserves() const noexcept { return reserves_.size(); }
  /// Objects that can be waited for, wait packets and timers that are open.
  [[nodiscard]] std::size_t others() const noexcept { return others_.size(); }
  /// The handles and polls of the probe for inline completions.
  [[nodiscard]] std::size_t probe_handles() const noexcept { return probes_.size(); }
  [[nodiscard]] std::size_t held_probes() const noexcept { return held_probes_; }
  /// Registrations whose poll has completed by a packet.
  [[nodiscard]] std::uint64_t returned() { return below_.returned_entries() + taken_answers_ + taken_notices_; }
  /// Sockets whose notifications were removed, or were to be, and whose last one has not been dequeued.
  [[nodiscard]] std::size_t removing() const noexcept { return removing_.size(); }
  /// The call that enables this socket's notifications has refused that, and sleeps: since when.
  [[nodiscard]] std::optional<nanoseconds> refused_in_flight(std::uintptr_t socket) const {
    for (const auto& [changes, since] : in_flight_) {
      for (const auto& one : changes) {
        if (one.socket == socket && one.registrationResult != 0) return since;
      }
    }
    return std::nullopt;
  }
  /// Answers that the backend has posted and not dequeued yet.
  [[nodiscard]] std::size_t posted_answers() const noexcept { return posted_.size(); }

  /// A number is added: the next poll of it is the registration's first. If that fails the old state is put back.
  [[nodiscard]] std::optional<bool> expect_first(std::uintptr_t socket) {
    const auto found = first_.find(socket);
    const auto before = found == first_.end() ? std::nullopt : std::optional(found->second);
    first_.insert_or_assign(socket, false);
    return before;
  }
  void restore_first(std::uintptr_t socket, std::optional<bool> before) {
    first_.erase(socket);
    if (before) first_.insert_or_assign(socket, *before);
  }
  [[nodiscard]] bool expects_first(std::uintptr_t socket) const { return first_.contains(socket); }
  /// Since the last call of this. Without the poll of the probe.
  [[nodiscard]] std::vector<Denial> take_denials() { return std::exchange(denials_, {}); }
  [[nodiscard]] bool has_denials() const noexcept { return !denials_.empty(); }

  [[nodiscard]] Attempt attempt(std::uintptr_t socket) const {
    const auto found = attempts_.find(socket);
    return found == attempts_.end() ? Attempt{} : found->second;
  }
  /// A cancel of the pending poll of this socket was refused, and no poll of it was accepted since.
  [[nodiscard]] bool owes_cancel(std::uintptr_t socket) const {
    return std::ranges::any_of(owed_cancels_, [socket](const auto& owed) { return owed.second.contains(socket); });
  }
  [[nodiscard]] std::size_t owed_cancels() const noexcept { return owed_cancels_.size(); }
  /// The last post was refused, but for those of timers.
  [[nodiscard]] bool owes_post() const noexcept { return owes_post_; }
  [[nodiscard]] nanoseconds last_post() const noexcept { return last_post_; }  ///< that was accepted

  Result<HANDLE> create_port() override {
    count();
    const auto port = below_.create_port();
    if (!port) return port;
    if (port_ == nullptr) {
      port_ = *port;
    } else {
      probes_.insert(*port);
    }
    return port;
  }
  NTSTATUS dequeue(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> packets,
                   reactor::nt::ULONG& removed, std::optional<nanoseconds> timeout) override {
    count();
    const NTSTATUS status = note(below_.dequeue(port, packets, removed, timeout));
    if (!reactor::nt::NT_SUCCESS(status)) counted_.refused_dequeues++;
    if (status != reactor::nt::STATUS_SUCCESS) return status;
    if (port != port_) held_probes_ -= removed;
    if (port != port_) return status;
    note_packets(packets.first(removed));
    return status;
  }
  bool has_notifications() override { return below_.has_notifications(); }
  nt::ULONG notify(HANDLE port, std::span<nt::SOCK_NOTIFY_REGISTRATION> changes,
                   std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets, nt::ULONG& removed,
                   std::uint32_t timeout_ms) override {
    count();
    for (const auto& one : changes) {
      if (one.operation == nt::SocketNotify::enable) {
        keys_[one.socket] = one.completionKey;
      } else {
        keys_.erase(one.socket);
      }
    }
    in_flight_.emplace_back(changes, below_.now());
    const nt::ULONG error = below_.notify(port, changes, packets, removed, timeout_ms);
    std::erase_if(in_flight_, [&](const auto& one) { return one.first.data() == changes.data(); });
    const bool was_made = error == 0 || error == static_cast<nt::ULONG>(nt::STATUS_TIMEOUT);
    if (!was_made) {
      counted_.refusals += 1 + changes.size();
      if (!packets.empty()) counted_.refused_dequeues++;
    }
    for (const auto& one : changes) note_change(one, was_made ? one.registrationResult : error);
    note_packets(packets.first(error == 0 ? removed : 0));
    return error;
  }
  Result<HANDLE> create_reserve() override {
    count();
    const auto reserve = below_.create_reserve();
    if (reserve) reserves_.insert(*reserve);
    return reserve;
  }
  NTSTATUS post(HANDLE port, HANDLE reserve, reactor::nt::ULONG_PTR key, void* context) override {
    count();
    const NTSTATUS status = note(below_.post(port, reserve, key, context));
    // A timer's packet that is not passed on is not owed: its thread's wait ends by the kernel's time-out.
    if (key == std::to_underlying(reactor::afd::PacketKey::timer)) {
      counted_.posts += status == reactor::nt::STATUS_SUCCESS ? 1 : 0;
      return status;
    }
    owes_post_ = status != reactor::nt::STATUS_SUCCESS;
    if (owes_post_) return status;
    counted_.posts++;
    last_post_ = below_.now();
    if (key == std::to_underlying(reactor::afd::PacketKey::poll)) posted_.push_back(context);
    return status;
  }
  Result<HANDLE> open_helper(HANDLE port, reactor::nt::ULONG_PTR key) override {
    count();
    const auto opened = below_.open_helper(port, key);
    if (opened && port != port_) probes_.insert(*opened);
    return opened;
  }
  NTSTATUS poll(HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll,
                reactor::nt::ULONG size_bytes, void* context) override {
    count();
    const auto sockets = sockets_of(poll);  // the kernel may keep the request
    const std::uint64_t empties = below_.empty_answers();
    const bool is_probe = probes_.contains(helper);
    const std::size_t held = is_probe ? below_.held_entries() : 0;
    const NTSTATUS status = note(below_.poll(helper, iosb, poll, size_bytes, context), sockets.size());
    if (is_probe) {
      const bool is_out = reactor::nt::NT_SUCCESS(status) && below_.held_entries() > held;
      held_probes_ += is_out ? 1 : 0;
      return status;
    }
    counted_.sockets_max = std::max<std::uint64_t>(counted_.sockets_max, sockets.size());
    counted_.group_polls += sockets.size() > 1 ? 1 : 0;
    const bool is_empty = below_.empty_answers() != empties;
    const auto outcome = is_empty                          ? Attempt::Outcome::empty
                         : reactor::nt::NT_SUCCESS(status) ? Attempt::Outcome::accepted
                         : is_shortage(status)             ? Attempt::Outcome::shortage
                                                           : Attempt::Outcome::refused;
    if (outcome != Attempt::Outcome::shortage) {
      for (const std::uintptr_t socket : sockets) keys_.erase(socket);  // it is judged by polls from now on
    }
    note_attempt(sockets, outcome);
    if (reactor::nt::NT_SUCCESS(status)) sockets_of_[&iosb] = {sockets.begin(), sockets.end()};
    if (is_shortage(status)) counted_.refused_sockets += sockets.size();
    if (status == STATUS_ACCESS_DENIED) counted_.denied_sockets += sockets.size();
    const bool is_denied =
        status == reactor::nt::STATUS_INVALID_HANDLE || status == reactor::nt::STATUS_OBJECT_TYPE_MISMATCH;
    if (is_denied && sockets.size() == 1) {
      const auto first = first_.find(sockets[0]);
      denials_.push_back({sockets[0], first != first_.end(), first != first_.end() && first->second});
    }
    return status;
  }
  NTSTATUS cancel(HANDLE helper, reactor::nt::IO_STATUS_BLOCK* request) override {
    count();
    const NTSTATUS status = note(below_.cancel(helper, request));
    const bool is_refused = !reactor::nt::NT_SUCCESS(status) && status != reactor::nt::STATUS_NOT_FOUND;
    if (is_refused) {
      counted_.refused_cancels++;
      owed_cancels_[request] = sockets_of_[request];
    } else {
      owed_cancels_.erase(request);
    }
    return status;
  }
  void close(HANDLE handle) noexcept override {
    probes_.erase(handle);
    reserves_.erase(handle);
    others_.erase(handle);
    below_.close(handle);
  }
  Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    count();
    counted_.bases++;
    auto base = below_.base_socket(socket);
    if (!base) counted_.refused_bases++;
    return base;
  }
  bool skip_packet_on_success(HANDLE helper) override {
    count();
    return below_.skip_packet_on_success(helper);
  }
  bool has_wait_packets() override { return below_.has_wait_packets(); }
  Result<HANDLE> create_wait_packet() override { return note_opened(below_.create_wait_packet()); }
  NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, reactor::nt::ULONG_PTR key, void* context,
                     bool& was_signalled) override {
    count();
    return below_.associate(wait_packet, port, object, key, context, was_signalled);
  }
  NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) override {
    count();
    return below_.disassociate(wait_packet, removes_queued);
  }
  Result<HANDLE> begin_wait(HANDLE port, HANDLE object, reactor::nt::ULONG_PTR key, void* context) override {
    return note_opened(below_.begin_wait(port, object, key, context));
  }
  bool end_wait(HANDLE wait) noexcept override {
    others_.erase(wait);
    return below_.end_wait(wait);
  }
  Result<HANDLE> duplicate(HANDLE object) override { return note_opened(below_.duplicate(object)); }
  Result<HANDLE> create_timer() override { return note_opened(below_.create_timer()); }
  NTSTATUS set_timer(HANDLE timer, nanoseconds time) override {
    count();
    return below_.set_timer(timer, time);
  }
  std::uint32_t thread_id() override { return below_.thread_id(); }
  nanoseconds now() override { return below_.now(); }

 private:
  Result<HANDLE> note_opened(Result<HANDLE> opened) {
    count();
    if (opened) others_.insert(*opened);
    return opened;
  }
  void note_packets(std::span<const nt::FILE_IO_COMPLETION_INFORMATION> packets) {
    counted_.packets += packets.size();
    counted_.packets_max = std::max<std::uint64_t>(counted_.packets_max, packets.size());
    for (const auto& packet : packets) {
      if (const auto found = std::ranges::find(posted_, packet.ApcContext); found != posted_.end()) {
        posted_.erase(found);
        taken_answers_++;
      }
      const bool is_known =
          std::ranges::any_of(keys_, [&](const auto& one) { return one.second == packet.KeyContext; });
      taken_notices_ += is_known ? 1 : 0;
      if ((packet.IoStatusBlock.Information & nt::SocketNotify::removed) == 0) continue;
      std::erase_if(removing_, [&](const auto& one) { return one.second == packet.KeyContext; });
    }
  }
  // A shortage; as if its socket were closed; or another refusal, after which it is polled.
  void note_change(const nt::SOCK_NOTIFY_REGISTRATION& one, nt::ULONG error) {
    const auto status = static_cast<NTSTATUS>(error);
    const bool is_short = error == 10055 || is_shortage(status);
    if (one.operation == nt::SocketNotify::remove) {
      counted_.refused_cancels += is_short ? 1 : 0;
      counted_.refusals += is_short ? 1 : 0;
      if (error == 0 || is_short) removing_[one.socket] = one.completionKey;
      return;
    }
    if (keys_[one.socket] != one.completionKey) return;  // another registration's by now
    if (error == 0) return note_attempt({one.socket}, Attempt::Outcome::accepted);
    counted_.refusals += 2;
    if (is_short) {
      counted_.refused_sockets++;
      return note_attempt({one.socket}, Attempt::Outcome::shortage);
    }
    const bool is_denied = error == 6 || status == nt::STATUS_INVALID_HANDLE || error == 10038 ||
                           status == nt::STATUS_OBJECT_TYPE_MISMATCH;
    if (!is_denied || first_.contains(one.socket)) return;
    denials_.push_back({one.socket, false, false});
    keys_.erase(one.socket);
  }
  void count() {
    if (++counted_.calls > last_call_) throw Spins();
  }
  NTSTATUS note(NTSTATUS status, std::uint64_t sockets = 0) {
    if (!reactor::nt::NT_SUCCESS(status) && status != reactor::nt::STATUS_NOT_FOUND) counted_.refusals += 1 + sockets;
    return status;
  }
  [[nodiscard]] static std::vector<std::uintptr_t> sockets_of(const reactor::nt::AFD_POLL_INFO& poll) {
    std::vector<std::uintptr_t> sockets;
    const auto* const entries = reinterpret_cast<const reactor::nt::AFD_POLL_HANDLE_INFO*>(&poll + 1);
    for (const auto& entry : std::span(entries, poll.NumberOfHandles)) {
      sockets.push_back(reinterpret_cast<std::uintptr_t>(entry.Handle));
    }
    return sockets;
  }
  void note_attempt(const std::vector<std::uintptr_t>& sockets, Attempt::Outcome outcome) {
    for (const std::uintptr_t socket : sockets) {
      attempts_[socket] = {outcome, below_.now()};
      if (outcome == Attempt::Outcome::accepted || outcome == Attempt::Outcome::empty) {
        first_.erase(socket);
        std::erase_if(owed_cancels_, [socket](const auto& owed) { return owed.second.contains(socket); });
      } else if (const auto first = first_.find(socket); first != first_.end() && sockets.size() == 1) {
        first->second = first->second || outcome == Attempt::Outcome::shortage;
      }
    }
  }

  SimKernel& below_;
  HANDLE port_ = nullptr;
  Counted counted_;
  std::uint64_t last_call_ = 1000, taken_answers_ = 0;
  std::vector<void*> posted_;
  std::set<HANDLE> reserves_, probes_, others_;
  std::size_t held_probes_ = 0;
  std::vector<Denial> denials_;
  std::uint64_t taken_notices_ = 0;
  std::map<std::uintptr_t, void*> keys_, removing_;  // by socket: of its last registration; of the one that was removed
  std::vector<std::pair<std::span<const nt::SOCK_NOTIFY_REGISTRATION>, nanoseconds>> in_flight_;
  std::map<std::uintptr_t, Attempt> attempts_;
  std::map<std::uintptr_t, bool> first_;  // numbers without an accepted poll; true: a shortage has refused one
  std::map<reactor::nt::IO_STATUS_BLOCK*, std::set<std::uintptr_t>> sockets_of_, owed_cancels_;
  bool owes_post_ = false;
  nanoseconds last_post_{0};
};

}  // namespace reactor::sim::model
