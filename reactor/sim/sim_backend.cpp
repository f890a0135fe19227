// SPDX-License-Identifier: MIT
//
// What a Poller is in a simulation: a backend of Windows over the host's simulated kernel, or a simulated epoll; and
// Clock.
#include <utility>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/clock.hpp>
#include <reactor/notify/notify_backend.hpp>
#include <reactor/sim/world_state.hpp>

namespace reactor {

namespace sim {
namespace {

/// A host's own backend, with what only a simulation does: a program that spins is noticed, one whose host has crashed
/// ends.
class SimBackend final : public Backend {
 public:
  SimBackend(WorldState& world, std::shared_ptr<Backend> inner) noexcept : world_(world), inner_(std::move(inner)) {}
  ~SimBackend() override = default;

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override {
    if (is_elsewhere()) return failure(std::errc::network_down);
    world_.count_call("Poller::add");
    return inner_->add(socket, token, interest, mode);
  }
  [[nodiscard]] Result<> modify(RegistrationId id, std::optional<Interest> interest,
                                std::optional<Mode> mode) override {
    if (is_elsewhere()) return failure(std::errc::network_down);
    world_.count_call("Registration::modify");
    return inner_->modify(id, interest, mode);
  }
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override {
    return inner_->drained(id, direction);
  }
  [[nodiscard]] Result<> remove(RegistrationId id) override { return inner_->remove(id); }
  [[nodiscard]] Result<RegistrationId> add_handle(NativeHandle handle, Token token) override {
    if (is_elsewhere()) return failure(std::errc::network_down);
    return inner_->add_handle(handle, token);
  }
  [[nodiscard]] Result<bool> withdraw(RegistrationId id) override { return inner_->withdraw(id); }
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> buffer,
                                        std::optional<std::chrono::nanoseconds> timeout) override {
    if (is_elsewhere()) return failure(std::errc::network_down);
    end_if_killed();
    world_.count_call("Poller::wait", true);
    auto waited = inner_->wait(buffer, timeout);
    end_if_killed();
    if (world_.running() != nullptr) world_.charge_wait();
    // A program that only asks lets others go on meanwhile.
    const bool is_nothing = waited && waited->events == 0 && !waited->woken;
    if (is_nothing && timeout == std::chrono::nanoseconds::zero() && world_.running() != nullptr) {
      world_.yield();
      end_if_killed();
    }
    return waited;
  }
  void wake() noexcept override { inner_->wake(); }
  [[nodiscard]] Stats stats() const noexcept override { return inner_->stats(); }
  void close() noexcept override { inner_->close(); }

 private:
  /// On another thread of the system, which must not switch the stacks of this one.
  [[nodiscard]] bool is_elsewhere() const noexcept { return WorldState::current() != &world_; }
  void end_if_killed() const {
    const Fiber* const fiber = world_.running();
    if (fiber != nullptr && fiber->is_killed) throw ProgramKilled();
  }

  WorldState& world_;
  std::shared_ptr<Backend> inner_;
};

Result<std::shared_ptr<Backend>> windows_backend(const HostState& host, const PollerOptions& options) {
  const BackendKind kind = options.backend == BackendKind::automatic ? host.automatic : options.backend;
  if (kind == BackendKind::notifications) return notify::NotifyBackend::create(*host.kernel, options);
  return afd::AfdBackend::create(*host.kernel, options);
}

}  // namespace
}  // namespace sim

Result<std::shared_ptr<Backend>> create_backend(const PollerOptions& options) {
  auto* const world = sim::WorldState::current();
  sim::HostState* const host = world == nullptr ? nullptr : world->here();
  if (host == nullptr) return failure(std::errc::network_down);
  std::shared_ptr<Backend> inner;
  if (host->is_windows()) {
    auto made = sim::windows_backend(*host, options);
    if (!made) return failure(made.error());
    inner = std::move(*made);
  } else {
    inner = std::make_shared<sim::SimEpoll>(*host->linux_host);
  }
  auto backend = std::make_shared<sim::SimBackend>(*world, std::move(inner));
  std::erase_if(host->pollers, [](const auto& one) { return one.expired(); });
  host->pollers.emplace_back(backend);
  return backend;
}

Clock::time_point Clock::now() noexcept {
  const auto* const world = sim::WorldState::current();
  if (world != nullptr) return time_point(world->timeline->now());
  return time_point(std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace reactor
