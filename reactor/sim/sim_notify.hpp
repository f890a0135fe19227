// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include <reactor/nt/types.hpp>
#include <reactor/sim/sim_faults.hpp>

// Inside the simulator.

namespace reactor::sim {

struct Endpoint;
struct Port;

/// A registration for socket notifications.
struct SocketNotice {
  std::weak_ptr<Endpoint> endpoint;
  std::shared_ptr<Port> port;
  void* key = nullptr;
  std::uint16_t filter = 0;
  bool is_oneshot = false, is_edge = false;
  bool is_enabled = false;
  bool is_removed = false;  // its notification is queued
  bool is_gone = false;     // its socket was closed
  bool is_queued = false;   // a packet is on its way, or in the port
  nt::ULONG mask = 0;       // of that packet
  nt::ULONG held = 0;       // the events that held when an edge was last looked for
};

[[nodiscard]] NoticeReadings readings_of(const Options& options);

}  // namespace reactor::sim
