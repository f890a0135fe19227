// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <reactor/nt/kernel.hpp>

namespace bench {

/// A kernel that costs next to nothing, so that what is measured is the library's own part. Every socket is readable
/// whenever it is asked for, or never: either in the call itself (inline), or by a packet in the next remove.
class NullKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using ULONG = reactor::nt::ULONG;

  enum class Answers : std::uint8_t { in_the_call, by_packet, never };
  Answers answers = Answers::in_the_call;

  reactor::Result<HANDLE> create_port() override { return next_handle(); }
  reactor::Result<HANDLE> open_helper(HANDLE, reactor::nt::ULONG_PTR key) override {
    key_ = key;
    return next_handle();
  }
  reactor::Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    return reinterpret_cast<HANDLE>(socket);  // NOLINT(performance-no-int-to-ptr)
  }
  bool skip_packet_on_success(HANDLE) override { return true; }
  void close(HANDLE) noexcept override {}
  std::uint32_t thread_id() override { return 1; }
  std::chrono::nanoseconds now() override { return std::chrono::nanoseconds(1); }

  NTSTATUS poll(HANDLE, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll, ULONG,
                void* context) override {
    if (answers == Answers::in_the_call || poll.Timeout == 0) {
      answer(poll);
      iosb.Status = reactor::nt::STATUS_SUCCESS;
      return reactor::nt::STATUS_SUCCESS;
    }
    pending_.push_back({&iosb, &poll, context});
    return reactor::nt::STATUS_PENDING;
  }

  // Every request that is pending completes, the youngest first: with what is ready, or cancelled.
  NTSTATUS dequeue(HANDLE, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                   std::optional<std::chrono::nanoseconds>) override {
    removed = 0;
    while (removed < packets.size() && !cancelled_.empty()) give(packets[removed++], cancelled_, true);
    while (answers == Answers::by_packet && removed < packets.size() && !pending_.empty()) {
      give(packets[removed++], pending_, false);
    }
    return removed > 0 ? reactor::nt::STATUS_SUCCESS : reactor::nt::STATUS_TIMEOUT;
  }

  reactor::Result<HANDLE> create_reserve() override { return next_handle(); }
  NTSTATUS post(HANDLE, HANDLE, reactor::nt::ULONG_PTR, void*) override { return reactor::nt::STATUS_SUCCESS; }

  NTSTATUS cancel(HANDLE, reactor::nt::IO_STATUS_BLOCK* request) override {
    for (std::size_t i = pending_.size(); i-- > 0;) {
      if (request != nullptr && pending_[i].iosb != request) continue;
      cancelled_.push_back(pending_[i]);
      pending_[i] = pending_.back();
      pending_.pop_back();
      if (request != nullptr) return reactor::nt::STATUS_SUCCESS;
    }
    return reactor::nt::STATUS_NOT_FOUND;
  }

 private:
  struct Request {
    reactor::nt::IO_STATUS_BLOCK* iosb;
    reactor::nt::AFD_POLL_INFO* poll;
    void* context;
  };

  HANDLE next_handle() { return reinterpret_cast<HANDLE>(handles_ += 4); }  // NOLINT(performance-no-int-to-ptr)

  static void answer(reactor::nt::AFD_POLL_INFO& poll) {
    auto* entries = reinterpret_cast<reactor::nt::AFD_POLL_HANDLE_INFO*>(&poll + 1);
    for (ULONG i = 0; i < poll.NumberOfHandles; i++) {
      entries[i].Events = reactor::nt::AFD_POLL_RECEIVE;
      entries[i].Status = 0;
    }
  }

  void give(reactor::nt::FILE_IO_COMPLETION_INFORMATION& packet, std::vector<Request>& from, bool is_cancelled) {
    const Request request = from.back();
    from.pop_back();
    if (is_cancelled) {
      request.poll->NumberOfHandles = 0;
    } else {
      answer(*request.poll);
    }
    request.iosb->Status = is_cancelled ? reactor::nt::STATUS_CANCELLED : reactor::nt::STATUS_SUCCESS;
    packet = {reinterpret_cast<void*>(key_), request.context, *request.iosb};  // NOLINT(performance-no-int-to-ptr)
  }

  std::vector<Request> pending_, cancelled_;
  reactor::nt::ULONG_PTR key_ = 0;
  std::uintptr_t handles_ = 0;
};

}  // namespace bench
