// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/nt/kernel.hpp>
#include <reactor/nt/types.hpp>

#include "kernel/system.hpp"

#ifdef _WIN32
#include "kernel/real_system.hpp"
#endif
#include "kernel/sim_system.hpp"

// One test for every kernel. TEST_CASE_TEMPLATE("poll.x: what", System, ALL_KERNELS) { Bench<System> b; ... }
#ifdef _WIN32
#define ALL_KERNELS                                                                                       \
  conformance::RealSystem, conformance::SimWindows, conformance::SimWine, conformance::SimWindowsThreads, \
      conformance::SimWineThreads
TYPE_TO_STRING_AS("the kernel of this system", conformance::RealSystem);
#else
#define ALL_KERNELS \
  conformance::SimWindows, conformance::SimWine, conformance::SimWindowsThreads, conformance::SimWineThreads
#endif
TYPE_TO_STRING_AS("simulated Windows", conformance::SimWindows);
TYPE_TO_STRING_AS("simulated Wine", conformance::SimWine);
TYPE_TO_STRING_AS("simulated Windows with threads", conformance::SimWindowsThreads);
TYPE_TO_STRING_AS("simulated Wine with threads", conformance::SimWineThreads);

namespace conformance {

using namespace reactor::nt;
using reactor::Shutdown;
using namespace std::chrono_literals;

inline constexpr auto deadline = 10s;     // for what must happen
inline constexpr auto quiet_time = 50ms;  // for what must not
inline constexpr ULONG everything = 0x1FF;

/// An entry of a poll: what is asked, or what has completed.
struct Entry {
  Socket socket = 0;
  ULONG events = 0;
  NTSTATUS status = STATUS_SUCCESS;

  friend bool operator==(const Entry&, const Entry&) = default;
};

inline std::string text_of(std::uint64_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llX", static_cast<unsigned long long>(number));
  return text.data();
}
inline std::ostream& operator<<(std::ostream& out, const Entry& entry) {
  return out << "{" << text_of(entry.socket) << " " << text_of(entry.events) << " "
             << text_of(static_cast<std::uint32_t>(entry.status)) << "}";
}
inline std::ostream& operator<<(std::ostream& out, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) out << entry;
  return out << (entries.empty() ? "nothing" : "");
}

/// The status and the entries of a poll that has completed.
struct Answer {
  NTSTATUS status = 0;
  std::vector<Entry> entries;

  friend bool operator==(const Answer&, const Answer&) = default;
};
inline std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << text_of(static_cast<std::uint32_t>(answer.status)) << " " << answer.entries;
}

/// Facts as docs/kernel-facts.md writes them: statuses and masks have 8 digits.
inline std::string code(std::uint32_t number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%08lX", static_cast<unsigned long>(number));
  return text.data();
}
inline std::string code(NTSTATUS status) { return code(static_cast<std::uint32_t>(status)); }
/// The status, then the mask of each entry, and its status unless that is success.
inline std::string text(const Answer& answer) {
  std::string result = code(answer.status) + (answer.entries.empty() ? ", no entry" : ", mask");
  for (const Entry& entry : answer.entries) {
    result += " " + code(entry.events) + (entry.status == STATUS_SUCCESS ? "" : " status " + code(entry.status));
  }
  return result;
}
inline std::string yes_no(bool yes) { return yes ? "yes" : "no"; }

/// With --facts, tests print the answers of the real kernel. scripts/gates.py collects them for docs/kernel-facts.md.
inline bool records_facts() {
#ifdef _WIN32
  for (const char* argument : std::span(__argv, static_cast<std::size_t>(__argc))) {
    if (std::string_view(argument) == "--facts") return true;
  }
#endif
  return false;
}

/// A poll of any number of sockets, and the memory it takes. Its address is its packet's context.
class Request {
 public:
  explicit Request(const std::vector<Entry>& asked, std::int64_t timeout = poll_never_times_out)
      : buffer_((sizeof(AFD_POLL_INFO) + asked.size() * sizeof(AFD_POLL_HANDLE_INFO) + 7) / 8),
        size_(static_cast<ULONG>(sizeof(AFD_POLL_INFO) + asked.size() * sizeof(AFD_POLL_HANDLE_INFO))) {
    info() = {timeout, static_cast<ULONG>(asked.size()), 0};
    for (std::size_t i = 0; i < asked.size(); i++) {
      entries()[i] = {reinterpret_cast<HANDLE>(asked[i].socket), asked[i].events, 0};
    }
    iosb.Status = STATUS_PENDING;
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  IO_STATUS_BLOCK iosb{};

  [[nodiscard]] AFD_POLL_INFO& info() { return *reinterpret_cast<AFD_POLL_INFO*>(buffer_.data()); }
  [[nodiscard]] AFD_POLL_HANDLE_INFO* entries() { return reinterpret_cast<AFD_POLL_HANDLE_INFO*>(&info() + 1); }
  [[nodiscard]] ULONG size_bytes() const { return size_; }
  [[nodiscard]] std::vector<Entry> completed() {
    std::vector<Entry> result;
    for (const auto& entry : std::span(entries(), info().NumberOfHandles)) {
      result.push_back({reinterpret_cast<Socket>(entry.Handle), entry.Events, entry.Status});
    }
    return result;
  }

 private:
  std::vector<std::uint64_t> buffer_;
  ULONG size_;
};

/// A system with a port and a helper handle. What a test leaves pending is cancelled and dequeued at the end, and then
/// nothing may be left.
template <class SomeSystem>
class Bench {
 public:
  static constexpr ULONG_PTR key = 0x1122;

  SomeSystem system;
  Kernel& kernel = system.kernel();

 private:
  std::vector<HANDLE> helpers_;
  std::vector<std::unique_ptr<Request>> requests_;
  int out_ = 0;  // packets of polls that `port` will get

 public:
  HANDLE port, helper;
  HANDLE side_port, side_helper;  // for other polls, whatever is pending on the first

  Bench()
      : port(must(kernel.create_port())),
        helper(open_helper(key)),
        side_port(must(kernel.create_port())),
        side_helper(must(kernel.open_helper(side_port, 1))) {}
  ~Bench() {
    system.join();
    for (const HANDLE opened : helpers_) kernel.cancel(opened, nullptr);
    while (out_ > 0 && take(deadline)) {
    }
    CHECK(out_ == 0);
    CHECK_FALSE(take(0s).has_value());
    for (const HANDLE opened : helpers_) kernel.close(opened);
    kernel.close(side_helper);
    kernel.close(port);
    kernel.close(side_port);
    CHECK(system.complaint() == "");
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  [[nodiscard]] bool expects_wine() const { return system.expect() != Expect::windows; }
  [[nodiscard]] bool expects_wine_8() const { return system.expect() == Expect::wine_8; }

  /// Records a row of docs/kernel-facts.md: the question and the answer of the real kernel.
  void fact(const char* id, const char* asked, const std::string& answer) {
    if (system.is_simulated() || !records_facts()) return;
    std::printf("  %-27s %-64s -> %s\n", id, asked, answer.c_str());
    std::fflush(stdout);
  }

  /// Closed at the end.
  HANDLE open_helper(ULONG_PTR its_key) {
    helpers_.push_back(must(kernel.open_helper(port, its_key)));
    return helpers_.back();
  }

  /// A request that lives as long as this.
  Request& request(const std::vector<Entry>& asked, std::int64_t timeout = poll_never_times_out) {
    requests_.push_back(std::make_unique<Request>(asked, timeout));
    return *requests_.back();
  }

  NTSTATUS submit(Request& request, HANDLE through = nullptr) {
    const HANDLE used = through == nullptr ? helper : through;
    const NTSTATUS status = kernel.poll(used, request.iosb, request.info(), request.size_bytes(), &request);
    if (NT_SUCCESS(status)) out_++;  // a packet will come
    return status;
  }
  /// For handles that skip packets, and requests without a context.
  void brings_no_packet() { out_--; }
  /// Whether a poll that completed synchronously has a packet as well.
  bool has_packet() {
    const bool came = take(quiet_time).has_value();
    if (!came) brings_no_packet();
    return came;
  }

  /// The next packet, if one comes in time.
  std::optional<FILE_IO_COMPLETION_INFORMATION> take(std::chrono::nanoseconds timeout = deadline) {
    std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
    ULONG removed = 0xAAAAAAAA;
    const NTSTATUS status = kernel.dequeue(port, packet, removed, timeout);
    if (status != STATUS_SUCCESS) {
      CHECK(status == STATUS_TIMEOUT);
      return std::nullopt;
    }
    CHECK(removed == 1);
    for (const auto& request : requests_) out_ -= request.get() == packet[0].ApcContext ? 1 : 0;
    return packet[0];
  }

  bool is_quiet() { return !take(quiet_time).has_value(); }

  /// Dequeues the packet of that request, and checks that it agrees with the status block.
  Answer answer(Request& request) {
    const auto packet = take();
    REQUIRE(packet.has_value());
    REQUIRE(packet->ApcContext == &request);
    CHECK(packet->IoStatusBlock.Status == request.iosb.Status);
    CHECK(packet->IoStatusBlock.Information == request.iosb.Information);
    return answer_in_memory(request);
  }
  Answer answer_in_memory(Request& request) {
    const NTSTATUS status = request.iosb.Status;
    if (!NT_SUCCESS(status)) return {status, {}};  // the buffer has no result then
    const auto entries = request.completed();
    CHECK(request.iosb.Information == sizeof(AFD_POLL_INFO) + entries.size() * sizeof(AFD_POLL_HANDLE_INFO));
    return {status, entries};
  }

  /// Polls through the other port and waits for the answer.
  Answer ask(const std::vector<Entry>& asked, std::int64_t timeout = poll_never_times_out) {
    Request asks(asked, timeout);
    REQUIRE(NT_SUCCESS(kernel.poll(side_helper, asks.iosb, asks.info(), asks.size_bytes(), &asks)));
    std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
    ULONG removed = 0;
    NTSTATUS status = kernel.dequeue(side_port, packet, removed, deadline);
    CHECK(status == STATUS_SUCCESS);
    if (status != STATUS_SUCCESS) {
      kernel.cancel(side_helper, nullptr);
      status = kernel.dequeue(side_port, packet, removed, deadline);
    }
    REQUIRE(status == STATUS_SUCCESS);
    CHECK(packet[0].ApcContext == &asks);
    return answer_in_memory(asks);
  }
  /// The events that one socket has now.
  ULONG now(Socket socket, ULONG mask = everything) {
    const Answer answer = ask({{socket, mask}}, 0);
    CHECK(answer.status == STATUS_SUCCESS);
    return answer.entries.empty() ? 0 : answer.entries[0].events;
  }
  /// Waits until the socket has one of these events.
  void await(Socket socket, ULONG mask) {
    const Answer answer = ask({{socket, mask}});
    REQUIRE(answer.entries.size() == 1);
    REQUIRE((answer.entries[0].events & mask) != 0);
  }

 private:
  static HANDLE must(const reactor::Result<HANDLE>& opened) {
    REQUIRE(opened.has_value());
    return *opened;
  }
};

}  // namespace conformance
