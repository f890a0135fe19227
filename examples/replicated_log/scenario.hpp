// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <reactor/sim/check.hpp>

#include "log.hpp"

namespace replicated_log {

/// A network on which a segment is lost now and then: TCP sends it again, 200 ms later or more.
inline reactor::sim::WorldOptions busy_network(reactor::sim::Rules rules) {
  using namespace std::chrono_literals;
  reactor::sim::WorldOptions options;
  options.rules = rules;
  options.link.latency = {1ms, 20ms};
  options.link.lost = 5;  // of 1,000
  return options;
}

/// Three servers, and a client that appends twenty entries; then every entry must be in two logs at least, and in none
/// twice.
inline void append_twenty(reactor::sim::World& world, Mistake mistake) {
  namespace sim = reactor::sim;
  const auto logs = std::make_shared<std::array<Log, 3>>();
  std::vector<reactor::Address> servers;
  for (std::size_t i = 0; i < logs->size(); i++) {
    sim::Host& host = world.host("server " + std::to_string(i + 1));
    servers.push_back(host.address(700));
    host.serve([logs, i, mistake] { Server(reactor::Address::any_ipv4(700), (*logs)[i], mistake).run(); });
  }
  world.host("client").run([servers] {
    for (std::uint64_t number = 1; number <= 20; number++) {
      sim::require(append(servers, {number, "entry"}, 100), "an entry is in no two logs");
    }
  });
  world.run_until_idle();
  std::array<int, 21> copies{};
  for (const Log& log : *logs) {
    std::array<bool, 21> has{};
    for (const Entry& entry : log) {
      sim::require(!has[entry.number], "entry " + std::to_string(entry.number) + " is in one log twice");
      has[entry.number] = true;
      copies[entry.number]++;
    }
  }
  for (std::size_t number = 1; number <= 20; number++) sim::require(copies[number] >= 2, "an entry is lost");
}

}  // namespace replicated_log
