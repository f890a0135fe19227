// SPDX-License-Identifier: MIT
// Which of many addresses accept a connection: loop_ports FIRST_ADDRESS COUNT [--at-once NUMBER] [--timeout-ms TIME]
// tries COUNT ports from that of FIRST_ADDRESS on, so many at once, with a line of progress.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>

#include "loop_support.hpp"

namespace {

using namespace reactor;

struct Ports {
  std::vector<Address> left;
  std::size_t checked = 0, open = 0, refused = 0, timed_out = 0, failed = 0;
  std::chrono::milliseconds timeout{1000};
};

Task<> check(Ports& ports) {
  while (!ports.left.empty()) {
    const Address address = ports.left.back();
    ports.left.pop_back();
    const auto connected = co_await with_timeout(ports.timeout, connect(address));
    ++ports.checked;
    if (connected) {
      ++ports.open;
      std::printf("%s is open\n", address.text().c_str());
    } else if (connected.error() == std::errc::connection_refused) {
      ++ports.refused;
    } else if (connected.error() == std::errc::timed_out) {
      ++ports.timed_out;
    } else {
      ++ports.failed;
    }
  }
}

Task<> show_progress(const Ports& ports, std::size_t count) {
  for (;;) {
    if (const auto slept = co_await sleep_for(std::chrono::milliseconds(200)); !slept) co_return;
    std::fprintf(stderr, "\r%zu of %zu", ports.checked, count);
  }
}

Task<> run(Ports& ports, std::size_t at_once) {
  TaskGroup progress(co_await this_task());
  progress.spawn(show_progress(ports, ports.left.size()));
  TaskGroup checks(co_await this_task());
  for (std::size_t i = 0; i != at_once; ++i) checks.spawn(check(ports));
  static_cast<void>(co_await checks.join());
}

}  // namespace

int main(int argc, char** argv) {
  Ports ports;
  std::size_t at_once = 100;
  if (argc < 3)
    return std::fprintf(stderr, "usage: loop_ports FIRST_ADDRESS COUNT [--at-once N] [--timeout-ms T]\n"), 2;
  const auto first = example::value_or_exit(Address::parse(argv[1]), "address");
  const std::string text = first.text();
  const std::string host = text.substr(0, text.rfind(':') + 1);
  for (unsigned i = static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)); i != 0; --i) {
    const auto address = Address::parse(host + std::to_string(first.port() + i - 1));
    if (address) ports.left.push_back(*address);
  }
  for (int i = 3; i + 1 < argc; i += 2) {
    const unsigned long value = std::strtoul(argv[i + 1], nullptr, 10);
    if (std::string_view(argv[i]) == "--at-once") at_once = value;
    if (std::string_view(argv[i]) == "--timeout-ms") ports.timeout = std::chrono::milliseconds(value);
  }
  auto loop = example::value_or_exit(Loop::create(), "loop");
  const auto done = loop.run(run(ports, at_once));
  std::printf("%zu checked: %zu open, %zu refused, %zu timed out, %zu failed\n", ports.checked, ports.open,
              ports.refused, ports.timed_out, ports.failed);
  return done ? 0 : 1;
}
