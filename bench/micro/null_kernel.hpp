// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <reactor/nt/kernel.hpp>

namespace bench {

/// A kernel that costs next to nothing, whatever is pending, so that the library's own cost is measured. Every poll
/// completes at once (synchronously, or with a packet in the next dequeue), or never.
///
/// Ports share nothing, so each may be used by a thread of its own; one port by one thread at a time.
class NullKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using ULONG = reactor::nt::ULONG;
  using ULONG_PTR = reactor::nt::ULONG_PTR;
  using IO_STATUS_BLOCK = reactor::nt::IO_STATUS_BLOCK;
  using AFD_POLL_INFO = reactor::nt::AFD_POLL_INFO;
  using FILE_IO_COMPLETION_INFORMATION = reactor::nt::FILE_IO_COMPLETION_INFORMATION;

  enum class Completes : std::uint8_t { synchronously, by_packet, never };
  Completes completes = Completes::synchronously;

  reactor::Result<HANDLE> create_port() override { return keep(ports_, std::make_unique<Port>()); }
  reactor::Result<HANDLE> open_helper(HANDLE port, ULONG_PTR key) override {
    return keep(helpers_, std::make_unique<Helper>(static_cast<Port*>(port), key));
  }
  reactor::Result<HANDLE> create_reserve() override { return keep(helpers_, std::make_unique<Helper>()); }
  reactor::Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    return reinterpret_cast<HANDLE>(socket);  // NOLINT(performance-no-int-to-ptr)
  }
  bool skip_packet_on_success(HANDLE) override { return true; }
  void close(HANDLE) noexcept override {}  // the destructor releases all handles
  std::uint32_t thread_id() override {
    static thread_local const char own = 0;  // a different address in each thread
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(&own) >> 4);
  }
  std::chrono::nanoseconds now() override { return std::chrono::nanoseconds(1); }

  NTSTATUS poll(HANDLE helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll, ULONG, void* context) override {
    if (completes == Completes::synchronously || poll.Timeout == 0) {
      write_result(iosb, poll);
      return reactor::nt::STATUS_SUCCESS;
    }
    const auto& [port, key] = *static_cast<Helper*>(helper);
    if (completes == Completes::by_packet) {
      iosb.Information = no_request;
      port->done.push_back({&iosb, &poll, context, key, false});
    } else {
      iosb.Information = port->hold({&iosb, &poll, context, key});
    }
    return reactor::nt::STATUS_PENDING;
  }

  NTSTATUS dequeue(HANDLE port, std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                   std::optional<std::chrono::nanoseconds>) override {
    Port& from = *static_cast<Port*>(port);
    removed = 0;
    while (removed < packets.size() && from.done_begin < from.done.size()) {
      packets[removed++] = packet_of(from.done[from.done_begin++]);
    }
    if (from.done_begin == from.done.size()) {
      from.done.clear();
      from.done_begin = 0;
    }
    return removed > 0 ? reactor::nt::STATUS_SUCCESS : reactor::nt::STATUS_TIMEOUT;
  }

  NTSTATUS post(HANDLE port, HANDLE, ULONG_PTR key, void* context) override {
    static_cast<Port*>(port)->done.push_back({nullptr, nullptr, context, key, false});
    return reactor::nt::STATUS_SUCCESS;
  }

  /// Without a request: all that are pending on the port, so that closing costs the same for any number of handles.
  NTSTATUS cancel(HANDLE helper, IO_STATUS_BLOCK* request) override {
    Port& port = *static_cast<Helper*>(helper)->port;
    if (request != nullptr) return finish(port, request->Information, request, true);
    for (std::size_t i = 0; port.held > 0; i++) finish(port, i, nullptr, true);
    return reactor::nt::STATUS_SUCCESS;
  }

  /// Completes the pending request with that index (below requests()): its socket is readable. False if none is pending
  /// there.
  bool fire(std::size_t index) { return finish(busiest(), index, nullptr, false) == reactor::nt::STATUS_SUCCESS; }
  [[nodiscard]] std::size_t requests() { return busiest().requests.size(); }

 private:
  struct Request {
    IO_STATUS_BLOCK* iosb = nullptr;  // null: this entry is free
    AFD_POLL_INFO* poll = nullptr;
    void* context = nullptr;
    ULONG_PTR key = 0;  // of a free entry: the index of the next free one
  };
  struct Done {
    IO_STATUS_BLOCK* iosb;  // null: posted
    AFD_POLL_INFO* poll;
    void* context;
    ULONG_PTR key;
    bool is_cancelled;
  };
  static constexpr ULONG_PTR no_request = ~ULONG_PTR{0};

  struct Port {
    /// Returns the request's index, which is kept in the status block's Information: that belongs to the kernel while
    /// the request is pending, so a cancel finds the request without a search.
    std::size_t hold(const Request& request) {
      held++;
      if (free == no_request) {
        requests.push_back(request);
        return requests.size() - 1;
      }
      const std::size_t index = free;
      free = requests[index].key;
      requests[index] = request;
      return index;
    }
    void release(std::size_t index) {
      held--;
      requests[index] = {.key = std::exchange(free, index)};
    }

    std::vector<Request> requests;
    ULONG_PTR free = no_request;
    std::size_t held = 0;
    std::vector<Done> done;
    std::size_t done_begin = 0;
  };
  struct Helper {
    Port* port = nullptr;
    ULONG_PTR key = 0;
  };

  template <class T>
  HANDLE keep(std::vector<std::unique_ptr<T>>& all, std::unique_ptr<T> one) {
    const std::lock_guard lock(mutex_);
    return all.emplace_back(std::move(one)).get();
  }

  static NTSTATUS finish(Port& port, std::size_t index, const IO_STATUS_BLOCK* expected, bool is_cancelled) {
    if (index >= port.requests.size()) return reactor::nt::STATUS_NOT_FOUND;
    const Request request = port.requests[index];
    if (request.iosb == nullptr || (expected != nullptr && request.iosb != expected)) {
      return reactor::nt::STATUS_NOT_FOUND;
    }
    request.iosb->Information = no_request;
    port.release(index);
    port.done.push_back({request.iosb, request.poll, request.context, request.key, is_cancelled});
    return reactor::nt::STATUS_SUCCESS;
  }

  Port& busiest() {
    std::size_t best = 0;
    for (std::size_t i = 1; i < ports_.size(); i++) {
      if (ports_[i]->requests.size() > ports_[best]->requests.size()) best = i;
    }
    return *ports_[best];
  }

  static void write_result(IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll) {
    auto* entries = reinterpret_cast<reactor::nt::AFD_POLL_HANDLE_INFO*>(&poll + 1);
    for (ULONG i = 0; i < poll.NumberOfHandles; i++) {
      entries[i].Events = reactor::nt::AFD_POLL_RECEIVE;
      entries[i].Status = 0;
    }
    iosb.Status = reactor::nt::STATUS_SUCCESS;
    iosb.Information = sizeof poll + poll.NumberOfHandles * sizeof *entries;
  }

  static FILE_IO_COMPLETION_INFORMATION packet_of(const Done& done) {
    IO_STATUS_BLOCK iosb{};
    if (done.iosb != nullptr) {
      if (done.is_cancelled) {
        done.poll->NumberOfHandles = 0;
        *done.iosb = {};
        done.iosb->Status = reactor::nt::STATUS_CANCELLED;
      } else {
        write_result(*done.iosb, *done.poll);
      }
      iosb = *done.iosb;
    }
    return {reinterpret_cast<void*>(done.key), done.context, iosb};  // NOLINT(performance-no-int-to-ptr)
  }

  std::mutex mutex_;  // guards the two lists
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<Helper>> helpers_;  // reserves too
};

}  // namespace bench
