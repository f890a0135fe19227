// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "kernel/system.hpp"

namespace conformance {

/// The kernel this program runs on, with real sockets: Windows or Wine.
class RealSystem final : public System {
 public:
  RealSystem();
  ~RealSystem() override;

  reactor::nt::Kernel& kernel() override;
  [[nodiscard]] Expect expect() const override;
  [[nodiscard]] bool is_unknown() const override { return expect() == Expect::windows; }

  std::pair<Socket, Socket> tcp_pair() override;
  Socket tcp() override;
  Socket udp() override;
  Socket listener() override;
  Socket duplicate(Socket socket) override;
  void connect(Socket socket, Socket listener) override;
  void connect_to_closed_port(Socket socket) override;
  std::optional<Socket> accept(Socket listener) override;
  std::size_t send(Socket socket, std::size_t bytes) override;
  reactor::Result<std::size_t> recv(Socket socket, std::size_t max) override;
  void send_to(Socket from, Socket to, std::size_t bytes) override;
  void send_to_closed_port(Socket from) override;
  void send_urgent(Socket socket) override;
  void recv_urgent(Socket socket) override;
  void set_urgent_inline(Socket socket) override;
  void shutdown(Socket socket, reactor::Shutdown which) override;
  int so_error(Socket socket) override;
  void reset(Socket socket) override;
  void close(Socket socket) override;
  void begin_receive(Socket socket) override;
  void begin_accept(Socket listener) override;
  std::optional<reactor::nt::NTSTATUS> replace_port(reactor::nt::HANDLE handle, reactor::nt::HANDLE port,
                                                    reactor::nt::ULONG_PTR key) override;
  reactor::nt::HANDLE no_socket() override;
  reactor::nt::HANDLE object(Object kind, bool is_set = false) override;
  void set(reactor::nt::HANDLE object) override;
  bool try_wait(reactor::nt::HANDLE object) override;
  void close_object(reactor::nt::HANDLE object) override;
  void meanwhile(std::function<void()> what) override;
  void join() override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace conformance
