// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>

#include <reactor/nt/kernel.hpp>
#include <reactor/nt/status.hpp>

#include <reactor/sim/sim_faults.hpp>

namespace reactor::sim {

/// Any kernel, the real one too, of whose calls one fails, or some in a row: fault().set(n, status). What fails does
/// not reach the kernel below. close, now and a post with a reserve cannot fail and are not counted towards n. Any
/// thread.
class FaultyKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using NTSTATUS = reactor::nt::NTSTATUS;
  template <class T>
  using Result = reactor::Result<T>;

  /// `below` must outlive it. Without reserves, as on Wine 8, a post can fail.
  explicit FaultyKernel(reactor::nt::Kernel& below, bool has_reserves = true, bool has_notifications = false) noexcept
      : below_(below), has_reserves_(has_reserves), has_notifications_(has_notifications) {}

  [[nodiscard]] NthFault& fault() noexcept { return fault_; }
  /// The injected status is a shortage.
  [[nodiscard]] bool is_shortage() const noexcept { return sim::is_shortage(fault_.status()); }
  [[nodiscard]] std::uint64_t count(Call call) const noexcept { return counts_[std::to_underlying(call)].load(); }
  /// A poll was refused as if its socket had been closed: its registration may be retired.
  [[nodiscard]] bool has_denied_socket() const noexcept { return has_denied_socket_; }

  Result<HANDLE> create_port() override {
    const NTSTATUS status = begin(Call::create_port);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.create_port();
  }
  NTSTATUS dequeue(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> packets,
                   reactor::nt::ULONG& removed, std::optional<std::chrono::nanoseconds> timeout) override {
    const NTSTATUS status = begin(Call::dequeue);
    return status != 0 ? status : below_.dequeue(port, packets, removed, timeout);
  }
  Result<HANDLE> create_reserve() override {
    const NTSTATUS status = begin(Call::create_reserve);
    if (!has_reserves_) return reactor::failure(std::errc::function_not_supported);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.create_reserve();
  }
  // A post with a reserve cannot fail.
  NTSTATUS post(HANDLE port, HANDLE reserve, reactor::nt::ULONG_PTR key, void* context) override {
    if (reserve != nullptr) {
      ++counts_[std::to_underlying(Call::post)];
      return below_.post(port, reserve, key, context);
    }
    const NTSTATUS status = begin(Call::post);
    return status != 0 ? status : below_.post(port, reserve, key, context);
  }
  Result<HANDLE> open_helper(HANDLE port, reactor::nt::ULONG_PTR key) override {
    const NTSTATUS status = begin(Call::open_helper);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.open_helper(port, key);
  }
  NTSTATUS poll(HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll,
                reactor::nt::ULONG size_bytes, void* context) override {
    const NTSTATUS status = begin(Call::poll);
    note_denial(status);
    return status != 0 ? status : below_.poll(helper, iosb, poll, size_bytes, context);
  }
  NTSTATUS cancel(HANDLE helper, reactor::nt::IO_STATUS_BLOCK* request) override {
    const NTSTATUS status = begin(Call::cancel);
    return status != 0 ? status : below_.cancel(helper, request);
  }
  void close(HANDLE handle) noexcept override {
    ++counts_[std::to_underlying(Call::close)];
    below_.close(handle);
  }
  Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    const NTSTATUS status = begin(Call::base_socket);
    return status != 0 ? reactor::failure(base_socket_error(status)) : below_.base_socket(socket);
  }
  bool skip_packet_on_success(HANDLE helper) override {
    return begin(Call::skip_packet) == 0 && below_.skip_packet_on_success(helper);
  }
  bool has_notifications() override { return has_notifications_ && below_.has_notifications(); }
  nt::ULONG notify(HANDLE port, std::span<nt::SOCK_NOTIFY_REGISTRATION> changes,
                   std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets, nt::ULONG& removed,
                   std::uint32_t timeout_ms) override {
    const NTSTATUS status = begin(Call::notify);
    note_denial(status);
    removed = 0;
    return status != 0 ? static_cast<nt::ULONG>(status) : below_.notify(port, changes, packets, removed, timeout_ms);
  }
  bool has_wait_packets() override { return below_.has_wait_packets(); }
  Result<HANDLE> create_wait_packet() override {
    const NTSTATUS status = begin(Call::create_wait_packet);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.create_wait_packet();
  }
  NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, nt::ULONG_PTR key, void* context,
                     bool& was_signalled) override {
    const NTSTATUS status = begin(Call::associate);
    was_signalled = false;
    return status != 0 ? status : below_.associate(wait_packet, port, object, key, context, was_signalled);
  }
  // Neither this nor end_wait can fail.
  NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) override {
    ++counts_[std::to_underlying(Call::disassociate)];
    return below_.disassociate(wait_packet, removes_queued);
  }
  Result<HANDLE> begin_wait(HANDLE port, HANDLE object, nt::ULONG_PTR key, void* context) override {
    const NTSTATUS status = begin(Call::begin_wait);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status))
                       : below_.begin_wait(port, object, key, context);
  }
  bool end_wait(HANDLE wait) noexcept override {
    ++counts_[std::to_underlying(Call::end_wait)];
    return below_.end_wait(wait);
  }
  Result<HANDLE> duplicate(HANDLE object) override {
    const NTSTATUS status = begin(Call::duplicate);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.duplicate(object);
  }
  Result<HANDLE> create_timer() override {
    const NTSTATUS status = begin(Call::create_timer);
    return status != 0 ? reactor::failure(reactor::nt::make_error(status)) : below_.create_timer();
  }
  NTSTATUS set_timer(HANDLE timer, std::chrono::nanoseconds time) override {
    const NTSTATUS status = begin(Call::set_timer);
    return status != 0 ? status : below_.set_timer(timer, time);
  }
  std::uint32_t thread_id() override { return below_.thread_id(); }
  std::chrono::nanoseconds now() override { return below_.now(); }

 private:
  void note_denial(NTSTATUS status) noexcept {
    if (status == nt::STATUS_INVALID_HANDLE || status == nt::STATUS_OBJECT_TYPE_MISMATCH) has_denied_socket_ = true;
  }
  NTSTATUS begin(Call call) noexcept {
    ++counts_[std::to_underlying(call)];
    return fault_.next();
  }

  reactor::nt::Kernel& below_;
  bool has_reserves_, has_notifications_;
  NthFault fault_;
  std::atomic<bool> has_denied_socket_ = false;
  std::array<std::atomic<std::uint64_t>, call_names.size()> counts_{};
};

}  // namespace reactor::sim
