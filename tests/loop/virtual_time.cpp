// SPDX-License-Identifier: MIT
#include "virtual_time.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>

#include <reactor/backend.hpp>
#include <reactor/make_poller.hpp>

namespace {

std::atomic<std::int64_t> now_ns = 1'000'000'000;

}  // namespace

// Takes the place of the library's, which is in an object file of its own.
reactor::Clock::time_point reactor::Clock::now() noexcept { return time_point(duration(now_ns.load())); }

namespace loop_test {

namespace {

using namespace reactor;

class VirtualBackend final : public Backend {
 public:
  Result<RegistrationId> add(NativeSocket, Token, Interest, Mode) override {
    return failure(std::errc::bad_file_descriptor);
  }
  Result<> modify(RegistrationId, std::optional<Interest>, std::optional<Mode>) override {
    return failure(std::errc::bad_file_descriptor);
  }
  Result<> drained(RegistrationId, Interest) override { return failure(std::errc::bad_file_descriptor); }
  Result<> remove(RegistrationId) override { return {}; }
  Result<WaitResult> wait(std::span<Event>, std::optional<std::chrono::nanoseconds> timeout) override {
    if (woken_.exchange(false)) return WaitResult{.events = 0, .woken = true};
    if (!timeout) {
      std::fputs("a loop waits without an end, and nothing can come\n", stderr);
      std::abort();
    }
    now_ns += timeout->count();
    return WaitResult{};
  }
  void wake() noexcept override { woken_ = true; }
  Stats stats() const noexcept override { return {}; }
  void close() noexcept override {}

 private:
  std::atomic<bool> woken_ = false;
};

}  // namespace

Loop virtual_loop(const LoopOptions& options) {
  return Loop::on(poller_on(std::make_shared<VirtualBackend>()), options);
}

void pass(std::chrono::nanoseconds time) noexcept { now_ns += time.count(); }

}  // namespace loop_test
