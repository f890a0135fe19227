// SPDX-License-Identifier: MIT
//
// What the group policy costs, in kernel calls, by how often sockets fire: the AFD backend over a simulated kernel that
// has readiness and nothing else. Prints a line of JSON for each pattern. bench/tune.py builds it once for each value
// of a constant.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/make_poller.hpp>
#include <reactor/poller.hpp>

using namespace reactor;
using namespace reactor::nt;

namespace {

HANDLE handle(std::uintptr_t number) { return reinterpret_cast<HANDLE>(number); }

/// Sockets are numbers that are multiples of four, as Windows gives them; one that fires stays ready until it is
/// drained.
class PatternKernel final : public Kernel {
 public:
  explicit PatternKernel(std::size_t sockets) : ready_(sockets), pending_(sockets) {}

  static NativeSocket socket(std::size_t index) { return static_cast<NativeSocket>(4 * (index + 1)); }

  void fire(std::size_t index) {
    ready_[index] = true;
    if (Request* request = std::exchange(pending_[index], nullptr)) complete(*request);
  }
  void drain(std::size_t index) { ready_[index] = false; }

  Result<HANDLE> create_port() override { return handle(0x10000); }
  NTSTATUS dequeue(HANDLE port, std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                   std::optional<std::chrono::nanoseconds>) override {
    removed = 0;
    if (port != handle(0x10000)) return STATUS_TIMEOUT;  // the port of the backend's probe
    for (; removed < packets.size() && !packets_.empty(); removed++) {
      packets[removed] = packets_.front();
      packets_.pop_front();
    }
    return removed > 0 ? STATUS_SUCCESS : STATUS_TIMEOUT;
  }
  Result<HANDLE> create_reserve() override { return failure(std::errc::function_not_supported); }
  std::uint32_t thread_id() override { return 1; }
  NTSTATUS post(HANDLE, HANDLE, ULONG_PTR, void*) override { return STATUS_SUCCESS; }
  Result<HANDLE> open_helper(HANDLE, ULONG_PTR key) override {
    keys_.push_back(key);
    return handle(0x20000 + keys_.size() - 1);
  }
  NTSTATUS poll(HANDLE helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll, ULONG, void* context) override {
    auto* entries = reinterpret_cast<AFD_POLL_HANDLE_INFO*>(&poll + 1);
    const ULONG_PTR key = keys_[number(helper) - 0x20000];
    const Request request{&iosb, &poll, {entries, entries + poll.NumberOfHandles}, key, context};
    if (write_ready(request)) return STATUS_SUCCESS;
    if (poll.Timeout == 0) {
      poll.NumberOfHandles = 0;
      return STATUS_SUCCESS;
    }
    auto* kept = new Request(request);
    for (const auto& entry : kept->listed) pending_[index(entry.Handle)] = kept;
    return STATUS_PENDING;
  }
  NTSTATUS cancel(HANDLE, IO_STATUS_BLOCK* which) override {
    bool found = false;
    for (auto& request : pending_) {
      if (request == nullptr || (which != nullptr && request->iosb != which)) continue;
      complete(*request, STATUS_CANCELLED);
      found = true;
    }
    return found ? STATUS_SUCCESS : STATUS_NOT_FOUND;
  }
  void close(HANDLE) noexcept override {}
  Result<HANDLE> base_socket(SocketNumber socket) override { return handle(socket); }
  bool skip_packet_on_success(HANDLE) override { return true; }
  std::chrono::nanoseconds now() override { return clock_++; }

 private:
  struct Request {
    IO_STATUS_BLOCK* iosb;
    AFD_POLL_INFO* poll;
    std::vector<AFD_POLL_HANDLE_INFO> listed;
    ULONG_PTR key;
    void* context;
  };

  static std::size_t number(HANDLE of) { return reinterpret_cast<std::uintptr_t>(of); }
  static std::size_t index(HANDLE socket) { return number(socket) / 4 - 1; }

  bool write_ready(const Request& request) {
    auto* entries = reinterpret_cast<AFD_POLL_HANDLE_INFO*>(request.poll + 1);
    ULONG count = 0;
    for (const auto& entry : request.listed) {
      if (ready_[index(entry.Handle)]) entries[count++] = {entry.Handle, AFD_POLL_RECEIVE, 0};
    }
    if (count > 0) request.poll->NumberOfHandles = count;
    return count > 0;
  }
  void complete(Request& request, NTSTATUS status = STATUS_SUCCESS) {
    if (status == STATUS_CANCELLED || !write_ready(request)) request.poll->NumberOfHandles = 0;
    packets_.push_back({handle(request.key), request.context, {{status}, 0}});
    for (const auto& entry : request.listed) pending_[index(entry.Handle)] = nullptr;
    delete &request;
  }

  std::vector<bool> ready_;
  std::vector<Request*> pending_;
  std::deque<FILE_IO_COMPLETION_INFORMATION> packets_;
  std::vector<ULONG_PTR> keys_;
  std::chrono::nanoseconds clock_{0};
};

struct Pattern {
  std::string name;
  double rate;         // the probability that an active socket fires between two waits
  std::size_t active;  // of the 64
  int change_every;    // after that many waits others are active; 0: never
  std::size_t buffer_size = 256;
  bool toggles = false;  // before each wait, one of the first four changes its interest
};

void measure(const Pattern& pattern, bool hot_groups) {
  constexpr std::size_t sockets = 64;
  constexpr int waits = 20000;
  PatternKernel kernel(sockets);
  std::mt19937 random(1);
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {.hot_groups = hot_groups}));
  std::vector<Registration> registrations;
  for (std::size_t i = 0; i < sockets; i++) {
    registrations.push_back(*poller.add(PatternKernel::socket(i), Token{i}, Interest::readable));
  }
  if (poller.stats().registrations != sockets) {
    std::fprintf(stderr, "of %zu sockets %llu are registered\n", sockets,
                 static_cast<unsigned long long>(poller.stats().registrations));
    std::exit(1);
  }
  std::vector<Event> buffer(pattern.buffer_size);
  std::size_t first = 0;
  Stats before{};
  for (int i = 0; i < waits; i++) {
    if (i == waits / 10) before = poller.stats();
    if (pattern.change_every > 0 && i % pattern.change_every == 0) first += pattern.active;
    bool any = false;
    while (!any) {
      for (std::size_t k = 0; k < pattern.active; k++) {
        if (std::uniform_real_distribution(0.0, 1.0)(random) >= pattern.rate) continue;
        kernel.fire((first + k) % sockets);
        any = true;
      }
    }
    if (pattern.toggles) {
      const auto wider = i / 4 % 2 == 0 ? Interest::readable | Interest::priority : Interest::readable;
      static_cast<void>(registrations[static_cast<std::size_t>(i) % 4].modify(wider));
    }
    const auto events = poller.wait(buffer, std::chrono::nanoseconds(0));
    for (const Event& event : *events) kernel.drain(static_cast<std::size_t>(event.token()));
  }
  const Stats after = poller.stats();
  std::printf(
      "{\"pattern\": \"%s\", \"rate\": %.4f, \"groups\": %s, \"events\": %llu, \"calls\": %llu, \"group_arms\": %llu, "
      "\"group_members\": %llu}\n",
      pattern.name.c_str(), pattern.rate, hot_groups ? "true" : "false",
      static_cast<unsigned long long>(after.events - before.events),
      static_cast<unsigned long long>(after.kernel_calls() - before.kernel_calls()),
      static_cast<unsigned long long>(after.group_arms - before.group_arms),
      static_cast<unsigned long long>(after.group_members - before.group_members));
}

}  // namespace

int main() {
  for (double rate = 1; rate >= 1.0 / 128; rate /= 2) {
    for (const bool hot_groups : {true, false}) {
      measure({"64 of 64", rate, 64, 0}, hot_groups);
      measure({"16 of 64", rate, 16, 0}, hot_groups);
      measure({"16 of 64, others every 20 waits", rate, 16, 20}, hot_groups);
      measure({"64 of 64, buffer of 8", rate, 64, 0, 8}, hot_groups);
      measure({"64 of 64, four toggle", rate, 64, 0, 256, true}, hot_groups);
    }
  }
}
