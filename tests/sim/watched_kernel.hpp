// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <reactor/afd/helper_handles.hpp>
#include <reactor/nt/kernel.hpp>

#include "sim_kernel.hpp"

namespace sim::model {

/// Thrown when a single step makes so many kernel calls that it will never end.
class Spins : public std::runtime_error {
 public:
  Spins() : std::runtime_error("it spins: thousands of kernel calls in one step") {}
};

/// Stands between the backend and a simulated kernel and keeps the books the model check needs. One thread.
class WatchedKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using NTSTATUS = reactor::nt::NTSTATUS;
  template <class T>
  using Result = reactor::Result<T>;

  explicit WatchedKernel(SimKernel& below) noexcept : below_(below) {}

  /// A step begins: it may make so many calls and no more.
  void allow(std::uint64_t calls) noexcept { last_call_ = calls_ + calls; }

  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
  [[nodiscard]] std::uint64_t sockets_max() const noexcept { return sockets_max_; }  ///< in one poll
  [[nodiscard]] std::uint64_t group_polls() const noexcept { return group_polls_; }
  [[nodiscard]] std::uint64_t packets_max() const noexcept { return packets_max_; }  ///< in one look
  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }  ///< taken from the backend's own port
  [[nodiscard]] HANDLE port() const noexcept { return port_; }
  /// Sockets in polls that were refused for lack of resources: as many may be told of as failed, and no more.
  [[nodiscard]] std::uint64_t refused_sockets() const noexcept { return refused_sockets_; }
  /// Calls that failed, and the sockets in polls among them: what has to be done again.
  [[nodiscard]] std::uint64_t refusals() const noexcept { return refusals_; }
  /// The socket of each poll of one that was refused as if it were closed, since this was asked last: what was
  /// registered for it is over. Not of the poll that only finds out how answers come.
  [[nodiscard]] std::vector<std::uintptr_t> take_denied() { return std::exchange(denied_, {}); }
  [[nodiscard]] bool has_denied() const noexcept { return !denied_.empty(); }
  /// Registrations whose poll has come back, by a packet.
  [[nodiscard]] std::uint64_t returned() { return below_.returned_entries() + taken_answers_; }
  /// Answers that the backend has posted and not taken from the port yet.
  [[nodiscard]] std::size_t posted_answers() const noexcept { return posted_.size(); }

  Result<HANDLE> create_port() override {
    count();
    const auto port = below_.create_port();
    if (port && port_ == nullptr) port_ = *port;
    return port;
  }
  NTSTATUS dequeue(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> packets,
                   reactor::nt::ULONG& removed, std::optional<std::chrono::nanoseconds> timeout) override {
    count();
    const NTSTATUS status = below_.dequeue(port, packets, removed, timeout);
    note(status);
    if (status != reactor::nt::STATUS_SUCCESS) return status;
    if (port == port_) packets_ += removed;
    packets_max_ = std::max<std::uint64_t>(packets_max_, removed);
    for (const auto& packet : packets.first(removed)) {
      if (const auto found = std::ranges::find(posted_, packet.ApcContext); found != posted_.end()) {
        posted_.erase(found);
        taken_answers_++;
      }
    }
    return status;
  }
  Result<HANDLE> create_reserve() override {
    count();
    return below_.create_reserve();
  }
  NTSTATUS post(HANDLE port, HANDLE reserve, reactor::nt::ULONG_PTR key, void* context) override {
    count();
    const NTSTATUS status = note(below_.post(port, reserve, key, context));
    const bool is_answer = key == std::to_underlying(reactor::afd::PacketKey::poll);
    if (status == reactor::nt::STATUS_SUCCESS && is_answer) posted_.push_back(context);
    return status;
  }
  Result<HANDLE> open_helper(HANDLE port, reactor::nt::ULONG_PTR key) override {
    count();
    const auto opened = below_.open_helper(port, key);
    if (opened && port != port_) probe_ = *opened;
    return opened;
  }
  NTSTATUS poll(HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll,
                reactor::nt::ULONG size_bytes, void* context) override {
    count();
    sockets_max_ = std::max<std::uint64_t>(sockets_max_, poll.NumberOfHandles);
    const std::uint64_t sockets = poll.NumberOfHandles;
    group_polls_ += sockets > 1 ? 1 : 0;
    const NTSTATUS status = note(below_.poll(helper, iosb, poll, size_bytes, context), sockets);
    if (status == reactor::nt::STATUS_INSUFFICIENT_RESOURCES) refused_sockets_ += sockets;
    const bool is_denied =
        status == reactor::nt::STATUS_INVALID_HANDLE || status == reactor::nt::STATUS_OBJECT_TYPE_MISMATCH;
    if (is_denied && sockets == 1 && helper != probe_) {
      const auto& asked = *reinterpret_cast<const reactor::nt::AFD_POLL_HANDLE_INFO*>(&poll + 1);
      denied_.push_back(reinterpret_cast<std::uintptr_t>(asked.Handle));
    }
    return status;
  }
  NTSTATUS cancel(HANDLE helper, reactor::nt::IO_STATUS_BLOCK* request) override {
    count();
    return note(below_.cancel(helper, request));
  }
  void close(HANDLE handle) noexcept override {
    if (handle == probe_) probe_ = nullptr;
    below_.close(handle);
  }
  Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    count();
    return below_.base_socket(socket);
  }
  bool skip_packet_on_success(HANDLE helper) override {
    count();
    return below_.skip_packet_on_success(helper);
  }
  std::uint32_t thread_id() override { return below_.thread_id(); }
  std::chrono::nanoseconds now() override { return below_.now(); }

 private:
  void count() {
    if (++calls_ > last_call_) throw Spins();
  }
  NTSTATUS note(NTSTATUS status, std::uint64_t sockets = 0) {
    if (!reactor::nt::NT_SUCCESS(status) && status != reactor::nt::STATUS_NOT_FOUND) refusals_ += 1 + sockets;
    return status;
  }

  SimKernel& below_;
  HANDLE port_ = nullptr, probe_ = nullptr;
  std::uint64_t calls_ = 0, last_call_ = 1000, refused_sockets_ = 0, sockets_max_ = 0;
  std::uint64_t group_polls_ = 0, packets_ = 0, packets_max_ = 0, refusals_ = 0, taken_answers_ = 0;
  std::vector<void*> posted_;
  std::vector<std::uintptr_t> denied_;
};

}  // namespace sim::model
