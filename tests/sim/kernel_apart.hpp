// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <span>

#include <reactor/nt/kernel.hpp>

#include "failing_new.hpp"

namespace reactor::sim {

/// The kernel's allocations do not fail: only those of the library do.
class KernelApart final : public reactor::nt::Kernel {
 public:
  explicit KernelApart(reactor::nt::Kernel& below) noexcept : below_(below) {}

  reactor::Result<reactor::nt::HANDLE> create_port() override {
    const FailsNot here;
    return below_.create_port();
  }
  reactor::nt::NTSTATUS dequeue(reactor::nt::HANDLE port,
                                std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> packets,
                                reactor::nt::ULONG& removed, std::optional<std::chrono::nanoseconds> timeout) override {
    const FailsNot here;
    return below_.dequeue(port, packets, removed, timeout);
  }
  reactor::Result<reactor::nt::HANDLE> create_reserve() override {
    const FailsNot here;
    return below_.create_reserve();
  }
  reactor::nt::NTSTATUS post(reactor::nt::HANDLE port, reactor::nt::HANDLE reserve, reactor::nt::ULONG_PTR key,
                             void* context) override {
    const FailsNot here;
    return below_.post(port, reserve, key, context);
  }
  reactor::Result<reactor::nt::HANDLE> open_helper(reactor::nt::HANDLE port, reactor::nt::ULONG_PTR key) override {
    const FailsNot here;
    return below_.open_helper(port, key);
  }
  reactor::nt::NTSTATUS poll(reactor::nt::HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb,
                             reactor::nt::AFD_POLL_INFO& poll, reactor::nt::ULONG size_bytes, void* context) override {
    const FailsNot here;
    return below_.poll(helper, iosb, poll, size_bytes, context);
  }
  reactor::nt::NTSTATUS cancel(reactor::nt::HANDLE helper, reactor::nt::IO_STATUS_BLOCK* request) override {
    const FailsNot here;
    return below_.cancel(helper, request);
  }
  void close(reactor::nt::HANDLE handle) noexcept override {
    const FailsNot here;
    below_.close(handle);
  }
  reactor::Result<reactor::nt::HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    const FailsNot here;
    return below_.base_socket(socket);
  }
  bool skip_packet_on_success(reactor::nt::HANDLE helper) override {
    const FailsNot here;
    return below_.skip_packet_on_success(helper);
  }
  bool has_notifications() override { return below_.has_notifications(); }
  nt::ULONG notify(nt::HANDLE port, std::span<nt::SOCK_NOTIFY_REGISTRATION> changes,
                   std::span<nt::FILE_IO_COMPLETION_INFORMATION> packets, nt::ULONG& removed,
                   std::uint32_t timeout_ms) override {
    const FailsNot here;
    return below_.notify(port, changes, packets, removed, timeout_ms);
  }
  bool has_wait_packets() override { return below_.has_wait_packets(); }
  reactor::Result<nt::HANDLE> create_wait_packet() override {
    const FailsNot here;
    return below_.create_wait_packet();
  }
  nt::NTSTATUS associate(nt::HANDLE wait_packet, nt::HANDLE port, nt::HANDLE object, nt::ULONG_PTR key, void* context,
                         bool& was_signalled) override {
    const FailsNot here;
    return below_.associate(wait_packet, port, object, key, context, was_signalled);
  }
  nt::NTSTATUS disassociate(nt::HANDLE wait_packet, bool removes_queued) override {
    const FailsNot here;
    return below_.disassociate(wait_packet, removes_queued);
  }
  reactor::Result<nt::HANDLE> begin_wait(nt::HANDLE port, nt::HANDLE object, nt::ULONG_PTR key,
                                         void* context) override {
    const FailsNot here;
    return below_.begin_wait(port, object, key, context);
  }
  bool end_wait(nt::HANDLE wait) noexcept override {
    const FailsNot here;
    return below_.end_wait(wait);
  }
  reactor::Result<nt::HANDLE> duplicate(nt::HANDLE object) override {
    const FailsNot here;
    return below_.duplicate(object);
  }
  reactor::Result<nt::HANDLE> create_timer() override {
    const FailsNot here;
    return below_.create_timer();
  }
  nt::NTSTATUS set_timer(nt::HANDLE timer, std::chrono::nanoseconds time) override {
    const FailsNot here;
    return below_.set_timer(timer, time);
  }
  std::uint32_t thread_id() override { return below_.thread_id(); }
  std::chrono::nanoseconds now() override {
    const FailsNot here;
    return below_.now();
  }

 private:
  reactor::nt::Kernel& below_;
};

}  // namespace reactor::sim
