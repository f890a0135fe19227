// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <reactor/backend.hpp>
#include <reactor/sim/fiber.hpp>
#include <reactor/sim/sim_epoll.hpp>
#include <reactor/sim/sim_kernel.hpp>
#include <reactor/sim/trace.hpp>
#include <reactor/sim/world.hpp>

// Inside of World and Host.

namespace reactor::sim {

/// Thrown by a wait of a program whose host has crashed, so that its stack is unwound.
struct ProgramKilled {};

struct HostState {
  struct Program {
    std::string name;
    std::function<void()> begin;
    bool may_wait_for_ever;
  };

  WorldState* world = nullptr;
  Host* host = nullptr;
  std::string name;
  std::size_t index = 0;
  std::size_t descriptors_max = 0, open_sockets = 0;
  std::unique_ptr<SimKernel> kernel;  // Windows, or
  std::unique_ptr<LinuxHost> linux_host;
  std::vector<Program> programs;
  std::vector<std::weak_ptr<Backend>> pollers;
  std::chrono::nanoseconds paused_until{0};
  bool is_down = false;
  BackendKind automatic = BackendKind::afd;  // what BackendKind::automatic means to its Pollers, on Windows

  [[nodiscard]] Core& core() { return kernel != nullptr ? kernel->core() : linux_host->core; }
  [[nodiscard]] Stack& stack() { return kernel != nullptr ? kernel->net().stack() : linux_host->net.stack(); }
  [[nodiscard]] bool is_windows() const noexcept { return kernel != nullptr; }
  /// Of its sockets, by number.
  [[nodiscard]] std::shared_ptr<Endpoint> find(std::uintptr_t socket) { return core().handles.find<Endpoint>(socket); }
};

/// Hosts, links, and whose turn it is.
class WorldState final : public Scheduler, public Network {
 public:
  using nanoseconds = std::chrono::nanoseconds;

  WorldState(World& world, std::uint64_t seed, const WorldOptions& options);
  ~WorldState();

  [[nodiscard]] static WorldState* current() noexcept;

  World& world;
  const std::uint64_t seed;
  const WorldOptions options;
  std::shared_ptr<Timeline> timeline;
  Trace trace;

  // Hosts: world.cpp.
  Host& add_host(std::string name, std::string_view ipv4, const HostOptions& chosen);
  [[nodiscard]] Host& find_host(std::string_view name);
  void crash(HostState& host, Crash how);
  void restart(HostState& host);
  void pause(HostState& host, nanoseconds time);
  void add_program(HostState& host, HostState::Program program);
  [[nodiscard]] nanoseconds elapsed() const noexcept { return timeline->now() - Timeline::start; }
  void note(HostState* host, std::string_view text);
  void after(nanoseconds time, std::function<void()> action, bool keeps_busy = true);
  [[nodiscard]] bool write_svg(const std::string& path, std::size_t rows_max) const;

  // Programs: scheduler.cpp.
  void sleep(WaitQueue& queue, std::optional<nanoseconds> until, const char* why) override;
  void wake(WaitQueue& queue) override;
  /// The program that runs, and its host; null outside of programs.
  [[nodiscard]] Fiber* running() const noexcept { return running_; }
  [[nodiscard]] HostState* here() const noexcept { return running_ == nullptr ? nullptr : running_->host; }
  /// Counts a call of the current program. When it spins, this does not return: it throws ProgramKilled where that may
  /// be thrown, and else its turn is over for good.
  void count_call(const char* name, bool may_throw = false);
  /// The current program has done a wait, which may not have slept.
  void charge_wait();
  /// Others have their turn before the current program goes on.
  void yield();
  void advance(std::optional<nanoseconds> until, const std::function<bool()>& is_true, bool ends_when_idle);
  [[nodiscard]] std::string who_waits() const;
  [[nodiscard]] Failure failure_of(const std::string& what) const;
  [[nodiscard]] bool has_deadlock() const;

  // Links: network.cpp.
  struct Way {  // one direction
    Link link;
    bool is_cut = false;
    nanoseconds free_at{0};
  };
  [[nodiscard]] Way& way(std::size_t from, std::size_t to);
  void cut(const Host& from, const Host& to, bool is_cut);
  void heal_all();
  void schedule_faults();
  [[nodiscard]] bool chance(int per_mille) { return timeline->random.chance(per_mille); }
  [[nodiscard]] Stack* find(const Name& name) override;
  [[nodiscard]] HostState* host_of(const Name& name) const;
  [[nodiscard]] bool is_linked(const Stack& from, const Stack& to) override;
  [[nodiscard]] nanoseconds transit(const Stack& from, const Stack& to, std::size_t bytes) override;
  void datagram_transits(const Stack& from, const Stack& to, std::size_t bytes, std::vector<nanoseconds>& out) override;
  void note(Fate fate, Packet packet, const Stack& at, const Name& from, const Name& to, std::size_t bytes,
            std::span<const std::byte> data) override;

  std::vector<std::unique_ptr<Host>> hosts;

 private:
  struct Script {
    nanoseconds time;
    std::uint64_t order;
    std::function<void()> action;
    bool keeps_busy;
    friend bool operator<(const Script& a, const Script& b) noexcept {
      return std::pair(a.time, a.order) < std::pair(b.time, b.order);
    }
  };

  void begin(HostState& host, const HostState::Program& program);
  void kill(HostState& host);
  void make_runnable(Fiber& fiber);
  void run(Fiber& fiber);
  [[nodiscard]] Fiber& next_fiber();
  void forget(Fiber& fiber);
  bool run_scripts();
  void wake_sleepers();
  [[nodiscard]] std::optional<nanoseconds> next_time(bool counts_idle_scripts) const;
  void fault_later(int per_hour, const std::function<void()>& fault);
  [[nodiscard]] nanoseconds draw(const Span& span) { return timeline->random.between(span.low, span.high); }
  [[nodiscard]] nanoseconds latency(const Stack& from, const Stack& to, std::size_t bytes);

  WorldState* outer_;
  std::unordered_map<std::string, HostState*> by_ip_;
  std::vector<std::vector<std::unique_ptr<Way>>> ways_;  // by the sender, then by the receiver
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::deque<Fiber*> runnable_;
  std::set<std::pair<nanoseconds, Fiber*>,
           bool (*)(const std::pair<nanoseconds, Fiber*>&, const std::pair<nanoseconds, Fiber*>&)>
      sleepers_;
  std::set<Script> scripts_;
  std::uint64_t last_script_ = 0;
  std::uint32_t last_fiber_ = 0;
  Fiber* running_ = nullptr;
  std::string spinning_;
  bool is_ending_ = false;
};

}  // namespace reactor::sim
