// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <reactor/backend.hpp>
#include <reactor/sim/sim_net.hpp>
#include <reactor/sim/sim_objects.hpp>

namespace reactor::sim {

class SimEpoll;

/// The sockets of a host that has no AFD.
class LinuxHost final : public Watcher {
 public:
  LinuxHost(std::shared_ptr<Timeline> timeline, Options options, Network* network)
      : core(std::move(timeline), std::move(options)), net(core, *this, network) {
    core.handles.number_as_linux();
  }

  Core core;
  SimNet net;

  void socket_changed(Endpoint& endpoint) override { socket_woken(endpoint, Wake::everything); }
  void socket_woken(Endpoint& endpoint, Wake wake) override;
  void socket_closed(Endpoint& endpoint) override;

  // What is no socket: a descriptor that is readable while it is set.
  void set(Waitable& signal, bool is_set);
  void close_signal(std::uintptr_t number);
};

/// A registration. What it is of knows it until one of the two ends.
class EpollItem {
 public:
  SimEpoll* owner = nullptr;
  std::shared_ptr<Endpoint> endpoint{};
  std::shared_ptr<Waitable> signal{};  // or this
  std::uint64_t generation = 0;        // 0: none
  Token token{};
  Interest interest = Interest::none;
  Mode mode = Mode::level;
  bool is_handle = false;  // of add_handle
  bool is_disarmed = false;
  bool is_queued = false;
};

/// epoll as Linux has it, over simulated sockets: what Poller is on a simulated Linux. docs/semantics.md has the rows
/// that it is tested against.
class SimEpoll final : public Backend {
 public:
  explicit SimEpoll(LinuxHost& host) noexcept : host_(host) {}
  ~SimEpoll() override { close(); }

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override;
  [[nodiscard]] Result<> modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) override;
  [[nodiscard]] Result<RegistrationId> add_handle(NativeHandle handle, Token token) override;
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override;
  [[nodiscard]] Result<> remove(RegistrationId id) override;
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> buffer,
                                        std::optional<std::chrono::nanoseconds> timeout) override;
  void wake() noexcept override;
  [[nodiscard]] Stats stats() const noexcept override;
  void close() noexcept override;

  void socket_woken(EpollItem& item, Wake wake);
  void socket_closed(EpollItem& item);

 private:
  [[nodiscard]] Result<RegistrationId> add(std::uintptr_t number, const EpollItem& wanted);
  [[nodiscard]] EpollItem* find(RegistrationId id) noexcept;
  [[nodiscard]] bool is_open(const EpollItem& item, std::uintptr_t number) const;
  void erase(EpollItem& item) noexcept;
  void detach(EpollItem& item) noexcept;
  void queue(EpollItem& item);
  void queue_if_ready(EpollItem& item);
  [[nodiscard]] static Readiness readiness(const EpollItem& item);
  [[nodiscard]] std::size_t take(std::span<Event> buffer);

  LinuxHost& host_;
  std::vector<std::unique_ptr<EpollItem>> table_;  // by number
  std::deque<EpollItem*> ready_;
  WaitQueue sleepers_;
  Stats counted_;
  std::uint64_t generations_ = 0;
  std::size_t live_ = 0;
  bool is_woken_ = false;
  bool is_closed_ = false;
};

}  // namespace reactor::sim
