// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <deque>
#include <thread>
#include <vector>

#include <reactor/net/errors.hpp>
#include <reactor/sim/sim_kernel.hpp>
#include "kernel/system.hpp"

namespace conformance {

/// The simulated kernel as a System: its two flavours, with one thread in simulated time or with many in real time.
template <reactor::sim::Flavour flavour, bool threads>
class SimSystem final : public System {
 public:
  SimSystem() : kernel_(options()) {
    if (threads) return;
    kernel_.set_when_asleep([this] {
      if (meanwhile_.empty()) return false;
      const auto what = std::move(meanwhile_.front());
      meanwhile_.pop_front();
      what();
      return true;
    });
  }
  ~SimSystem() override {
    SimSystem::join();
    for (const reactor::nt::HANDLE object : objects_) kernel_.close(object);
  }

  reactor::nt::Kernel& kernel() override { return kernel_; }
  [[nodiscard]] Expect expect() const override {
    return flavour == reactor::sim::Flavour::windows ? Expect::windows : Expect::wine_8;
  }
  [[nodiscard]] bool is_simulated() const override { return true; }

  std::pair<Socket, Socket> tcp_pair() override { return net().tcp_pair(); }
  Socket tcp() override { return net().tcp(); }
  Socket udp() override { return net().udp(); }
  Socket listener() override { return net().listener(); }
  Socket duplicate(Socket socket) override { return net().duplicate(socket); }
  void connect(Socket socket, Socket listener) override { must(net().connect(socket, net().port_of(listener))); }
  void connect_to_closed_port(Socket socket) override { must(net().connect(socket, closed_port)); }
  std::optional<Socket> accept(Socket listener) override {
    const auto accepted = net().accept(listener);
    return accepted ? std::optional(*accepted) : std::nullopt;
  }
  std::size_t send(Socket socket, std::size_t bytes) override { return net().send(socket, bytes).value_or(0); }
  reactor::Result<std::size_t> recv(Socket socket, std::size_t max) override { return net().recv(socket, max); }
  void send_to(Socket from, Socket to, std::size_t bytes) override {
    must(net().send_to(from, net().port_of(to), bytes));
  }
  void send_to_closed_port(Socket from) override { must(net().send_to(from, closed_port, 1)); }
  void send_urgent(Socket socket) override { must(net().send_urgent(socket)); }
  void recv_urgent(Socket socket) override { must(net().recv_urgent(socket)); }
  void set_urgent_inline(Socket socket) override { must(net().set_urgent_inline(socket)); }
  void shutdown(Socket socket, reactor::Shutdown which) override { must(net().shutdown(socket, which)); }
  int so_error(Socket socket) override {
    const auto taken = net().take_error(socket);
    must(taken);
    for (const auto& [number, meaning] : reactor::net::winsock_errors) {
      if (*taken == meaning) return number;
    }
    return 0;
  }
  void reset(Socket socket) override { must(net().reset(socket)); }
  void close(Socket socket) override { must(net().close(socket)); }
  void begin_receive(Socket socket) override { must(net().begin_receive(socket)); }
  void begin_accept(Socket listener) override { must(net().begin_accept(listener)); }
  std::optional<reactor::nt::NTSTATUS> replace_port(reactor::nt::HANDLE, reactor::nt::HANDLE,
                                                    reactor::nt::ULONG_PTR) override {
    return std::nullopt;
  }

  reactor::nt::HANDLE no_socket() override {
    const auto port = kernel_.create_port();
    return port ? *port : nullptr;
  }

  reactor::nt::HANDLE object(Object kind, bool is_set = false) override {
    using Kind = reactor::sim::Waitable::Kind;
    static constexpr std::array kinds{Kind::manual_reset, Kind::auto_reset, Kind::semaphore, Kind::mutex};
    objects_.push_back(kernel_.create_object(kinds.at(static_cast<std::size_t>(kind)), is_set ? 1 : 0));
    return objects_.back();
  }
  void set(reactor::nt::HANDLE object) override { kernel_.signal(object); }
  bool try_wait(reactor::nt::HANDLE object) override { return kernel_.try_wait(object); }
  void close_object(reactor::nt::HANDLE object) override {
    std::erase(objects_, object);
    kernel_.close(object);
  }

  void meanwhile(std::function<void()> what) override {
    if (threads) {
      running_.emplace_back(std::move(what));
    } else {
      meanwhile_.push_back(std::move(what));
    }
  }
  void join() override {
    for (auto& thread : running_) thread.join();
    running_.clear();
  }

  std::string complaint() override { return kernel_.complaint(); }
  void forget_violations() override { kernel_.forget_violations(); }

 private:
  static constexpr std::uint16_t closed_port = 1;

  static reactor::sim::Options options() {
    reactor::sim::Options options;
    options.flavour = flavour;
    options.real_threads = threads;
    options.has_notifications = flavour == reactor::sim::Flavour::windows;
    options.has_wait_packets = flavour == reactor::sim::Flavour::windows;
    return options;
  }
  template <class T>
  static void must(const reactor::Result<T>& result) {
    if (!result) throw std::system_error(result.error());
  }
  reactor::sim::SimNet& net() { return kernel_.net(); }

  reactor::sim::SimKernel kernel_;
  std::deque<std::function<void()>> meanwhile_;
  std::deque<std::thread> running_;
  std::vector<reactor::nt::HANDLE> objects_;
};

using SimWindows = SimSystem<reactor::sim::Flavour::windows, false>;
using SimWine = SimSystem<reactor::sim::Flavour::wine, false>;
using SimWindowsThreads = SimSystem<reactor::sim::Flavour::windows, true>;
using SimWineThreads = SimSystem<reactor::sim::Flavour::wine, true>;

}  // namespace conformance
