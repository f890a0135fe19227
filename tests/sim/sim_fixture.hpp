// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim {

using namespace reactor::nt;

template <std::size_t count>
struct Polls {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO info{poll_never_times_out, count, 0};
  std::array<AFD_POLL_HANDLE_INFO, count> entries{};

  [[nodiscard]] ULONG size_bytes() const { return sizeof info + sizeof entries; }
};
using Poll = Polls<1>;

struct Fixture {
  SimKernel kernel;
  SimNet& net = kernel.net();
  HANDLE port = *kernel.create_port();
  HANDLE helper = *kernel.open_helper(port, 1);

  explicit Fixture(const Options& options = {}) : kernel(options) {}
  ~Fixture() {
    kernel.set_faults({});
    kernel.cancel(helper, nullptr);
    while (take(std::chrono::hours(1))) {
    }
    kernel.close(helper);
    kernel.close(port);
    CHECK(kernel.complaint() == "");
    CHECK(kernel.held_requests() == 0);
    CHECK(kernel.open_handles() == 0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  template <std::size_t count>
  NTSTATUS submit(Polls<count>& poll, const std::array<std::pair<SocketNumber, ULONG>, count>& asked) {
    for (std::size_t i = 0; i < count; i++) {
      poll.entries[i] = {reinterpret_cast<HANDLE>(asked[i].first), asked[i].second, 0};
    }
    return kernel.poll(helper, poll.iosb, poll.info, poll.size_bytes(), &poll);
  }
  NTSTATUS submit(Poll& poll, SocketNumber socket, ULONG mask) { return submit<1>(poll, {std::pair(socket, mask)}); }
  std::optional<FILE_IO_COMPLETION_INFORMATION> take(std::chrono::nanoseconds timeout = std::chrono::nanoseconds(0)) {
    std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
    ULONG removed = 0;
    const NTSTATUS status = kernel.dequeue(port, packet, removed, timeout);
    return status == STATUS_SUCCESS ? std::optional(packet[0]) : std::nullopt;
  }
  bool saw(const std::string& what) {
    const auto all = kernel.violations();
    const bool found = std::ranges::any_of(all, [&](const auto& one) { return one.starts_with(what); });
    kernel.forget_violations();
    return found;
  }
};

}  // namespace reactor::sim
