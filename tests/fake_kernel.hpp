// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <reactor/nt/kernel.hpp>

// A kernel that a test plays by hand: it says what is ready and when a poll completes. One thread, a clock that jumps.
// It writes into a request's memory at the last moment, when its packet is taken, so memory that was freed too early is
// a sanitizer report; and it notes what a kernel must never see.
class FakeKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using ULONG = reactor::nt::ULONG;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using nanoseconds = std::chrono::nanoseconds;
  template <class T>
  using Result = reactor::Result<T>;

  struct Request {
    HANDLE helper, base;
    ULONG mask;
    reactor::nt::IO_STATUS_BLOCK* iosb;
    reactor::nt::AFD_POLL_INFO* poll;
    void* context;
  };
  struct Packet {
    HANDLE port;
    reactor::nt::FILE_IO_COMPLETION_INFORMATION info;
    std::optional<Request> request;  // whose memory is written when the packet is taken
    ULONG events;
    NTSTATUS entry_status;
  };

  // What the test sets.
  std::map<HANDLE, ULONG> ready;           // by base socket
  bool can_skip = true;                    // FILE_SKIP_COMPLETION_PORT_ON_SUCCESS has its effect
  std::deque<NTSTATUS> poll_refusals;      // the next polls are refused with these (0: taken)
  int post_refusals = 0;                   // so many posts are refused
  bool keeps_what_is_cancelled = false;    // breaks the kernel's word: no packet after a cancel
  nanoseconds early{0};                    // how much too early a time-out ends, once
  std::map<std::uintptr_t, HANDLE> bases;  // of sockets that are layered; others are their own
  nanoseconds clock{std::chrono::hours(1)};

  // What the test looks at.
  std::vector<Request> pending;
  std::deque<Packet> packets;
  std::set<HANDLE> open;
  std::vector<std::string> violations;
  int polls = 0, cancels = 0, posts = 0, removes = 0;

  [[nodiscard]] static HANDLE handle(std::uintptr_t number) { return reinterpret_cast<HANDLE>(number); }

  [[nodiscard]] const Request* pending_on(HANDLE base) const {
    const auto found = std::ranges::find(pending, base, &Request::base);
    return found == pending.end() ? nullptr : &*found;
  }

  // Completes the pending poll on a socket.
  void complete(HANDLE base, ULONG events, NTSTATUS status = 0, NTSTATUS entry_status = 0) {
    const auto found = std::ranges::find(pending, base, &Request::base);
    if (found == pending.end()) throw std::logic_error("no poll is pending on this socket");
    const Request request = *found;
    pending.erase(found);
    queue_packet(request, events, status, entry_status);
  }

  Result<HANDLE> create_port() override { return open_handle(); }

  NTSTATUS remove(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> into, ULONG& removed,
                  std::optional<nanoseconds> timeout) override {
    removes++;
    removed = 1;  // as Wine leaves it on a time-out
    std::size_t count = 0;
    for (auto packet = packets.begin(); packet != packets.end() && count < into.size();) {
      if (packet->port != port) {
        ++packet;
        continue;
      }
      if (packet->request) write_answer(*packet);
      into[count++] = packet->info;
      packet = packets.erase(packet);
    }
    if (count > 0) {
      removed = static_cast<ULONG>(count);
      return reactor::nt::STATUS_SUCCESS;
    }
    if (!timeout) throw std::logic_error("asleep for ever");
    clock += *timeout - std::min(*timeout, std::exchange(early, nanoseconds(0)));
    return reactor::nt::STATUS_TIMEOUT;
  }

  NTSTATUS post(HANDLE port, reactor::nt::ULONG_PTR key, void* context) override {
    posts++;
    if (post_refusals > 0) {
      post_refusals--;
      return reactor::nt::STATUS_INSUFFICIENT_RESOURCES;
    }
    packets.push_back({port, {handle(key), context, {{0}, 0}}, std::nullopt, 0, 0});
    return reactor::nt::STATUS_SUCCESS;
  }

  Result<HANDLE> open_helper(HANDLE port, reactor::nt::ULONG_PTR key) override {
    const HANDLE helper = open_handle();
    helpers_[helper] = {port, key, false};
    return helper;
  }

  NTSTATUS poll(HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll, ULONG,
                void* context) override {
    polls++;
    if (!poll_refusals.empty()) {
      const NTSTATUS refusal = poll_refusals.front();
      poll_refusals.pop_front();
      if (refusal != 0) return refusal;
    }
    const auto& entry = reinterpret_cast<reactor::nt::AfdPollOne&>(poll).handle;
    const Request request{helper, entry.Handle, entry.Events, &iosb, &poll, context};
    if (pending_on(request.base) != nullptr) violations.emplace_back("two polls are pending on one socket");
    const ULONG events = ready[request.base] & request.mask;
    if (events == 0 && poll.Timeout != 0) {
      pending.push_back(request);
      return reactor::nt::STATUS_PENDING;
    }
    if (can_skip && helpers_[helper].skips) {
      answer(request, events, 0, 0);
    } else {
      queue_packet(request, events, 0, 0);
    }
    return reactor::nt::STATUS_SUCCESS;
  }

  NTSTATUS cancel(HANDLE helper, reactor::nt::IO_STATUS_BLOCK* which) override {
    cancels++;
    std::vector<Request> found;
    std::ranges::copy_if(pending, std::back_inserter(found), [&](const Request& request) {
      return request.helper == helper && (which == nullptr || request.iosb == which);
    });
    if (found.empty()) return reactor::nt::STATUS_NOT_FOUND;
    if (keeps_what_is_cancelled) return reactor::nt::STATUS_SUCCESS;
    for (const Request& request : found) complete(request.base, 0, reactor::nt::STATUS_CANCELLED);
    return reactor::nt::STATUS_SUCCESS;
  }

  void close(HANDLE closed) noexcept override {
    if (open.erase(closed) == 0) violations.emplace_back("a handle was closed that is not open");
    if (keeps_what_is_cancelled) return;
    if (std::ranges::any_of(pending, [closed](const Request& request) { return request.helper == closed; })) {
      violations.emplace_back("a helper handle was closed while a poll was pending on it");
    }
  }

  Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    const auto layered = bases.find(socket);
    return layered == bases.end() ? handle(socket) : layered->second;
  }

  bool skip_packet_on_success(HANDLE helper) override {
    helpers_[helper].skips = true;
    return true;
  }

  nanoseconds now() override { return clock; }

 private:
  struct Helper {
    HANDLE port;
    reactor::nt::ULONG_PTR key;
    bool skips;
  };

  HANDLE open_handle() {
    const HANDLE opened = handle(next_handle_ += 4);
    open.insert(opened);
    return opened;
  }

  void queue_packet(const Request& request, ULONG events, NTSTATUS status, NTSTATUS entry_status) {
    const Helper& helper = helpers_[request.helper];
    packets.push_back(
        {helper.port, {handle(helper.key), request.context, {{status}, 0}}, request, events, entry_status});
  }

  static void write_answer(const Packet& packet) {
    answer(*packet.request, packet.events, packet.info.IoStatusBlock.Status, packet.entry_status);
  }

  static void answer(const Request& request, ULONG events, NTSTATUS status, NTSTATUS entry_status) {
    auto& poll = reinterpret_cast<reactor::nt::AfdPollOne&>(*request.poll);
    request.iosb->Status = status;
    poll.info.NumberOfHandles = status == 0 && events != 0 ? 1 : 0;
    poll.handle = {request.base, events, entry_status};
  }

  std::map<HANDLE, Helper> helpers_;
  std::uintptr_t next_handle_ = 0x1000;
};
