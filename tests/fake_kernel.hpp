// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
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

// A kernel that a test controls by hand: the test sets what is ready, and completes polls. One thread, and a clock that
// jumps. It writes into a request's memory at the last moment, when its packet is dequeued, so memory that was freed
// too early is a sanitizer report. It records violations: calls that a caller must never make.
class FakeKernel final : public reactor::nt::Kernel {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using ULONG = reactor::nt::ULONG;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using nanoseconds = std::chrono::nanoseconds;
  template <class T>
  using Result = reactor::Result<T>;

  using Entry = reactor::nt::AFD_POLL_HANDLE_INFO;
  // Not a vector: the tests count what the backend allocates.
  class Entries {
   public:
    Entries() = default;
    Entries(std::initializer_list<Entry> entries) {
      std::ranges::for_each(entries, [this](Entry e) { push_back(e); });
    }
    void push_back(const Entry& entry) { entries_.at(size_++) = entry; }
    [[nodiscard]] const Entry* begin() const { return entries_.data(); }
    [[nodiscard]] const Entry* end() const { return begin() + size_; }
    [[nodiscard]] std::size_t size() const { return size_; }

   private:
    std::array<Entry, 64> entries_{};
    std::size_t size_ = 0;
  };
  struct Request {
    HANDLE helper;
    Entries asked;
    reactor::nt::IO_STATUS_BLOCK* iosb;
    reactor::nt::AFD_POLL_INFO* poll;
    void* context;

    [[nodiscard]] bool lists(HANDLE base) const {
      return std::ranges::find(asked, base, &Entry::Handle) != asked.end();
    }
    // Of a poll of one socket: its mask.
    [[nodiscard]] ULONG mask() const { return asked.begin()->Events; }
  };
  struct Packet {
    HANDLE port;
    reactor::nt::FILE_IO_COMPLETION_INFORMATION info;
    std::optional<Request> request;  // whose memory is written when the packet is dequeued
    Entries answer;
  };

  explicit FakeKernel(bool with_reserves = true) : has_reserves(with_reserves) {}

  // What the test sets.
  std::map<HANDLE, ULONG> ready;           // by base socket
  bool can_skip = true;                    // FILE_SKIP_COMPLETION_PORT_ON_SUCCESS has its effect
  std::set<HANDLE> closed;                 // sockets: a poll that lists one is refused
  std::set<HANDLE> not_of_afd;             // open sockets of other providers: a poll that lists one is refused
  std::deque<NTSTATUS> poll_refusals;      // the next polls return these (0: accepted)
  bool has_reserves;                       // NtAllocateReserveObject is there
  int post_refusals = 0;                   // the number of posts without a reserve that are refused
  int cancel_refusals = 0;                 // the number of cancels that are refused
  int dequeue_refusals = 0;                // the number of dequeues that are refused
  std::set<HANDLE> completes_empty;        // a poll that lists one completes synchronously, with no entry
  bool keeps_what_is_cancelled = false;    // a cancel succeeds, but the poll never completes
  nanoseconds early{0};                    // by how much one time-out is too early
  std::map<std::uintptr_t, HANDLE> bases;  // of sockets that are layered; others are their own
  nanoseconds clock{std::chrono::hours(1)};
  // Called where a thread would sleep: what the other threads do meanwhile, on the same stack. True: dequeue again.
  std::function<bool()> when_asleep;
  std::function<void()> when_asked_for_base;  // where the code of a layered provider would run

  // What the test checks.
  std::vector<Request> pending;
  std::deque<Packet> packets;
  std::set<HANDLE> open;
  std::vector<std::string> violations;
  int polls = 0, cancels = 0, posts = 0, removes = 0;
  void* last_context = nullptr;  // of the last poll, also of one that was refused

  [[nodiscard]] static HANDLE handle(std::uintptr_t number) { return reinterpret_cast<HANDLE>(number); }

  [[nodiscard]] const Request* pending_on(HANDLE base) const {
    const auto found = std::ranges::find_if(pending, [base](const Request& request) { return request.lists(base); });
    return found == pending.end() ? nullptr : &*found;
  }

  // Completes the pending poll that lists a socket, with that socket's entry alone; with no events: with none.
  void complete(HANDLE base, ULONG events, NTSTATUS status = 0, NTSTATUS entry_status = 0) {
    if (events == 0) return complete(base, Entries(), status);
    complete(base, Entries{{base, events, entry_status}}, status);
  }
  void complete(HANDLE base, const Entries& answer, NTSTATUS status = 0) {
    const auto found = std::ranges::find_if(pending, [base](const Request& request) { return request.lists(base); });
    if (found == pending.end()) throw std::logic_error("no poll is pending on this socket");
    const Request request = *found;
    pending.erase(found);
    queue_packet(request, answer, status);
  }

  /// An operation on a file that was associated has ended.
  void complete_file(HANDLE file, void* overlapped, NTSTATUS status, std::uintptr_t bytes) {
    const auto [port, key] = files_.at(file);
    packets.push_back({port, {handle(key), overlapped, {{status}, bytes}}, std::nullopt, {}});
  }

  Result<HANDLE> create_port() override { return open_handle(); }

  NTSTATUS dequeue(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> into, ULONG& removed,
                   std::optional<nanoseconds> timeout) override {
    removes++;
    removed = 1;  // as Wine leaves it on a time-out
    if (dequeue_refusals > 0) {
      dequeue_refusals--;
      return reactor::nt::STATUS_INSUFFICIENT_RESOURCES;
    }
    const nanoseconds deadline = clock + timeout.value_or(nanoseconds(0));
    do {
      if (const std::size_t count = take(port, into); count > 0) {
        removed = static_cast<ULONG>(count);
        return reactor::nt::STATUS_SUCCESS;
      }
    } while ((!timeout || *timeout > nanoseconds(0)) && when_asleep && when_asleep());
    if (!timeout) throw std::logic_error("a wait without a time-out would never end");
    clock = std::max(clock, deadline - std::min(*timeout, std::exchange(early, nanoseconds(0))));
    return reactor::nt::STATUS_TIMEOUT;
  }

  Result<HANDLE> create_reserve() override {
    if (!has_reserves) return reactor::failure(std::errc::function_not_supported);
    return open_handle();
  }

  NTSTATUS post(HANDLE port, HANDLE reserve, reactor::nt::ULONG_PTR key, void* context) override {
    posts++;
    if (reserve == nullptr && post_refusals > 0) {
      post_refusals--;
      return reactor::nt::STATUS_INSUFFICIENT_RESOURCES;
    }
    packets.push_back({port, {handle(key), context, {{0}, 0}}, std::nullopt, {}});
    return reactor::nt::STATUS_SUCCESS;
  }

  reactor::Result<> associate_file(HANDLE file, HANDLE port, reactor::nt::ULONG_PTR key) override {
    if (closed.contains(file)) return reactor::failure(std::errc::bad_file_descriptor);
    if (!files_.try_emplace(file, port, key).second) return reactor::failure(std::errc::invalid_argument);
    return {};
  }

  Result<HANDLE> open_helper(HANDLE port, reactor::nt::ULONG_PTR key) override {
    const HANDLE helper = open_handle();
    helpers_[helper] = {port, key, false};
    return helper;
  }

  NTSTATUS poll(HANDLE helper, reactor::nt::IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll, ULONG size_bytes,
                void* context) override {
    polls++;
    last_context = context;
    if (!poll_refusals.empty()) {
      const NTSTATUS refusal = poll_refusals.front();
      poll_refusals.pop_front();
      if (refusal != 0) return refusal;
    }
    const std::span<Entry> entries(reinterpret_cast<Entry*>(&poll + 1), poll.NumberOfHandles);
    if (size_bytes != sizeof poll + entries.size_bytes()) violations.emplace_back("a poll whose size is wrong");
    Request request{helper, {}, &iosb, &poll, context};
    Entries answer;
    for (const Entry& entry : entries) {
      request.asked.push_back(entry);
      if (pending_on(entry.Handle) != nullptr) violations.emplace_back("two polls are pending on one socket");
      if (closed.contains(entry.Handle) || not_of_afd.contains(entry.Handle)) return reactor::nt::STATUS_INVALID_HANDLE;
      if (const ULONG events = ready[entry.Handle] & entry.Events; events != 0) {
        answer.push_back({entry.Handle, events, 0});
      }
    }
    const bool is_empty = std::ranges::any_of(
        request.asked, [this](const Entry& entry) { return completes_empty.contains(entry.Handle); });
    if (answer.size() == 0 && poll.Timeout != 0 && !is_empty) {
      pending.push_back(request);
      return reactor::nt::STATUS_PENDING;
    }
    if (can_skip && helpers_[helper].skips) {
      write(request, answer, 0);
    } else {
      queue_packet(request, answer, 0);
    }
    return reactor::nt::STATUS_SUCCESS;
  }

  NTSTATUS cancel(HANDLE helper, reactor::nt::IO_STATUS_BLOCK* which) override {
    cancels++;
    if (cancel_refusals > 0) {
      cancel_refusals--;
      return reactor::nt::STATUS_INSUFFICIENT_RESOURCES;
    }
    std::vector<Request> found;
    std::ranges::copy_if(pending, std::back_inserter(found), [&](const Request& request) {
      return request.helper == helper && (which == nullptr || request.iosb == which);
    });
    if (found.empty()) return reactor::nt::STATUS_NOT_FOUND;
    if (keeps_what_is_cancelled) return reactor::nt::STATUS_SUCCESS;
    for (const Request& request : found) complete(request.asked.begin()->Handle, 0, reactor::nt::STATUS_CANCELLED);
    return reactor::nt::STATUS_SUCCESS;
  }

  void close(HANDLE handle) noexcept override {
    if (open.erase(handle) == 0) violations.emplace_back("a handle was closed that is not open");
    if (keeps_what_is_cancelled) return;
    if (std::ranges::any_of(pending, [handle](const Request& request) { return request.helper == handle; })) {
      violations.emplace_back("a helper handle was closed while a poll was pending on it");
    }
  }

  Result<HANDLE> base_socket(reactor::nt::SocketNumber socket) override {
    if (when_asked_for_base) when_asked_for_base();
    if (closed.contains(handle(socket))) return reactor::failure(std::errc::bad_file_descriptor);
    const auto layered = bases.find(socket);
    return layered == bases.end() ? handle(socket) : layered->second;
  }

  bool skip_packet_on_success(HANDLE helper) override {
    helpers_[helper].skips = true;
    return true;
  }

  std::uint32_t thread = 1;  // the thread that the test plays
  std::uint32_t thread_id() override { return thread; }

  nanoseconds now() override { return clock; }

 private:
  struct Helper {
    HANDLE port;
    reactor::nt::ULONG_PTR key;
    bool skips;
  };

  std::size_t take(HANDLE port, std::span<reactor::nt::FILE_IO_COMPLETION_INFORMATION> into) {
    std::size_t count = 0;
    for (auto packet = packets.begin(); packet != packets.end() && count < into.size();) {
      if (packet->port != port) {
        ++packet;
        continue;
      }
      if (packet->request) write(*packet->request, packet->answer, packet->info.IoStatusBlock.Status);
      into[count++] = packet->info;
      packet = packets.erase(packet);
    }
    return count;
  }

  HANDLE open_handle() {
    const HANDLE opened = handle(next_handle_ += 4);
    open.insert(opened);
    return opened;
  }

  void queue_packet(const Request& request, const Entries& answer, NTSTATUS status) {
    const Helper& helper = helpers_[request.helper];
    packets.push_back({helper.port, {handle(helper.key), request.context, {{status}, 0}}, request, answer});
  }

  static void write(const Request& request, const Entries& answer, NTSTATUS status) {
    request.iosb->Status = status;
    request.poll->NumberOfHandles = static_cast<ULONG>(answer.size());
    std::ranges::copy(answer, reinterpret_cast<Entry*>(request.poll + 1));
  }

  std::map<HANDLE, Helper> helpers_;
  std::map<HANDLE, std::pair<HANDLE, reactor::nt::ULONG_PTR>> files_;  // port and key
  std::uintptr_t next_handle_ = 0x1000;
};
