// SPDX-License-Identifier: MIT
//
// The log over the real network of this machine: three servers in threads, a hundred entries, everything as expected.
// It passes with the mistake too: nothing goes wrong on a loopback.
//   ordinary_test [--mistake]
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "log.hpp"

int main(int argc, char** argv) {
  using namespace replicated_log;
  const auto mistake = argc > 1 && std::strcmp(argv[1], "--mistake") == 0 ? Mistake::appends_again : Mistake::none;
  std::array<Log, 3> logs;
  std::vector<std::unique_ptr<Server>> servers;
  std::vector<reactor::Address> addresses;
  std::vector<std::thread> threads;
  for (Log& log : logs) {
    servers.push_back(std::make_unique<Server>(reactor::Address::loopback_ipv4(), log, mistake));
    addresses.push_back(servers.back()->address());
    threads.emplace_back([server = servers.back().get()] { server->run(); });
  }
  bool is_right = true;
  for (std::uint64_t i = 1; i <= 100; i++) {
    is_right = append(addresses, {i, "entry " + std::to_string(i)}, 10, std::chrono::seconds(10)) && is_right;
  }
  for (const auto& server : servers) server->waker().wake();
  for (std::thread& thread : threads) thread.join();
  for (const Log& log : logs) {
    for (std::size_t i = 1; i < log.size(); i++) is_right = is_right && log[i - 1].number < log[i].number;
  }
  std::puts(is_right ? "PASS: every entry once" : "FAIL");
  return is_right ? 0 : 1;
}
