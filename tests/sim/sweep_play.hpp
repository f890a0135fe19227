// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/afd/afd_backend.hpp>

#include "kernel/system.hpp"
#include "sim/failing_new.hpp"
#include "sim/faulty_kernel.hpp"

namespace sweep {

using Socket = conformance::Socket;
using reactor::Interest;
using reactor::Mode;

/// That a shortage is never an event, and adding a number never fails because of an old registration: not met by the
/// backend yet.
inline constexpr bool rules_are_met = true;

/// What a scenario uses: a System and a Poller over it. A scenario repeats a call that fails if it needs the result, as
/// a program would.
class Play {
 public:
  Play(conformance::System& the_system, reactor::sim::FaultyKernel& faulty);
  ~Play();
  Play(const Play&) = delete;
  Play& operator=(const Play&) = delete;

  conformance::System& system;

  /// Registers it, and repeats that while it fails.
  void add(Socket socket, Interest interest = Interest::readable, Mode mode = Mode::level);
  void modify(Socket socket, Interest interest);
  void drained(Socket socket);
  void remove(Socket socket);
  /// The same of an object that can be waited for. Its number is its token.
  void add_object(reactor::nt::HANDLE object);
  void rearm(reactor::nt::HANDLE object);
  void expect_object(reactor::nt::HANDLE object) { expect({number_of(object)}); }
  void remove_object(reactor::nt::HANDLE object) { remove(number_of(object)); }
  void wake();

  /// A wait, whose events are recorded. A wait that fails counts as one without events.
  std::size_t wait(std::chrono::nanoseconds timeout, std::size_t buffer = 16);
  /// Waits until each has been reported. No readiness may be lost; only a registration that the fault has retired, or
  /// disarmed for good, is added again.
  void expect(const std::vector<Socket>& sockets, std::size_t buffer = 16);
  /// Waits until a wake has ended a wait.
  void expect_wake();

  [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }
  [[nodiscard]] reactor::Stats stats() const { return poller_->stats(); }

 private:
  struct Watched {
    reactor::Registration registration;
    Interest interest;
    Mode mode;
  };
  [[nodiscard]] static Socket number_of(reactor::nt::HANDLE object) { return reinterpret_cast<Socket>(object); }
  [[nodiscard]] bool try_add(Socket socket, Interest interest, Mode mode);
  void add_again(Socket socket);
  void note(const reactor::Event& event);

  reactor::sim::FaultyKernel& faulty_;
  std::unique_ptr<reactor::nt::Kernel> kernel_;  // outlives the Poller
  std::optional<reactor::Poller> poller_;
  std::map<Socket, Watched> watched_;
  std::vector<Socket> reported_;
  std::string complaint_;
};

struct Scenario {
  std::string_view name;
  void (*run)(Play& play);
  bool is_for_real_kernels = true;  ///< short enough for a kernel whose calls cost
};

[[nodiscard]] std::span<const Scenario> scenarios();

}  // namespace sweep
