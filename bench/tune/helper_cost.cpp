// SPDX-License-Identifier: MIT
//
// Decides how many sockets share a helper handle: measures what a cancel costs, by how many polls are pending on one
// handle and in all, and what a handle costs. Prints a line of JSON for each number.
// Windows only: it measures the real kernel.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <reactor/nt/kernel.hpp>
#include <reactor/socket.hpp>

#include "../common/value_or_fail.hpp"

using bench::value_or_fail;
using namespace reactor;
using namespace reactor::nt;

namespace {

constexpr std::size_t cancels = 300;

struct Request {
  IO_STATUS_BLOCK iosb{};
  AfdPollOne poll{};
  HANDLE helper = nullptr;
};

double us_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class Setting {
 public:
  Setting(Kernel& kernel, const std::vector<HANDLE>& sockets, std::size_t each)
      : kernel_(kernel), port_(value_or_fail(kernel.create_port(), "a port")), requests_(sockets.size()) {
    std::vector<double> opened, armed;
    for (std::size_t i = 0; i < sockets.size(); i++) {
      if (i % each == 0) {
        const auto start = std::chrono::steady_clock::now();
        helpers_.push_back(value_or_fail(kernel.open_helper(port_, 1), "a helper handle"));
        opened.push_back(us_since(start));
      }
      requests_[i] = std::make_unique<Request>();
      requests_[i]->helper = helpers_.back();
      requests_[i]->poll.handle.Handle = sockets[i];
      const auto start = std::chrono::steady_clock::now();
      arm(*requests_[i]);
      armed.push_back(us_since(start));
    }
    open_us_ = median(opened);
    arm_us_ = median(armed);
  }
  ~Setting() {
    for (const HANDLE helper : helpers_) kernel_.cancel(helper, nullptr);
    for (std::size_t left = requests_.size(); left > 0;) left -= dequeue();
    for (const HANDLE helper : helpers_) kernel_.close(helper);
    kernel_.close(port_);
  }

  /// Cancels random requests. The packet that follows is not part of the time.
  void measure(std::size_t each) {
    std::mt19937 random(1);
    std::vector<double> runs;
    for (std::size_t i = 0; i < cancels; i++) {
      Request& request = *requests_[random() % requests_.size()];
      const auto start = std::chrono::steady_clock::now();
      const NTSTATUS status = kernel_.cancel(request.helper, &request.iosb);
      runs.push_back(us_since(start));
      if (status != STATUS_SUCCESS || dequeue() != 1) std::exit(1);
      arm(request);
    }
    std::printf("{\"pending\": %zu, \"per_helper\": %zu, \"cancel_us\": %.1f, \"open_us\": %.1f, \"arm_us\": %.1f}\n",
                requests_.size(), each, median(runs), open_us_, arm_us_);
    std::fflush(stdout);
  }

 private:
  void arm(Request& request) {
    request.poll = {{poll_never_times_out, 1, 0}, {request.poll.handle.Handle, AFD_POLL_RECEIVE, 0}};
    if (kernel_.poll(request.helper, request.iosb, request.poll.info, sizeof request.poll, &request) !=
        STATUS_PENDING) {
      std::exit(1);
    }
  }
  std::size_t dequeue() {
    std::array<FILE_IO_COMPLETION_INFORMATION, 64> packets;
    ULONG removed = 0;
    if (kernel_.dequeue(port_, packets, removed, std::chrono::seconds(10)) != STATUS_SUCCESS) std::exit(1);
    return removed;
  }

  Kernel& kernel_;
  HANDLE port_;
  std::vector<HANDLE> helpers_;
  std::vector<std::unique_ptr<Request>> requests_;
  double open_us_ = 0, arm_us_ = 0;
};

}  // namespace

int main() {
  Kernel& kernel = *value_or_fail(system_kernel(), "the system's kernel");
  std::vector<UdpSocket> idle;
  std::vector<HANDLE> sockets;
  for (int i = 0; i < 4096; i++) {
    idle.push_back(value_or_fail(UdpSocket::bind(Address::loopback_ipv4()), "a socket"));
    sockets.push_back(value_or_fail(kernel.base_socket(idle.back().native()), "its base socket"));
  }
  for (const std::size_t pending : {512u, 4096u}) {
    const std::vector<HANDLE> some(sockets.begin(), sockets.begin() + static_cast<std::ptrdiff_t>(pending));
    for (const std::size_t each : {32u, 128u, 512u, 4096u}) {
      if (each <= pending) Setting(kernel, some, each).measure(each);
    }
  }
}
