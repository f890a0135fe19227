// SPDX-License-Identifier: MIT
//
// How fast a simulation is: small messages between two hosts, and many hosts with many connections.
//   sim_speed [SCALE [linux|windows [HOSTS [ROUNDS]]]]
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/reactor.hpp>
#include <reactor/sim/world.hpp>

using namespace reactor;

namespace {

/// Of a processor, as others may use it too.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Sends back what it gets, to all its connections.
void echo_server() {
  auto poller = Poller::create().value();
  const auto listener = TcpListener::bind(Address::any_ipv4(7), 16384).value();
  const auto accepts = poller.add(listener.native(), Token{0}, Interest::readable).value();
  std::vector<TcpStream> streams;
  std::vector<Registration> registrations;
  std::array<Event, 256> buffer;
  for (;;) {
    const auto events = poller.wait(buffer).value();
    for (const Event& event : events) {
      const auto index = static_cast<std::size_t>(event.token());
      if (index == 0) {
        auto accepted = listener.accept();
        if (!accepted) continue;
        registrations.push_back(poller.add(accepted->native(), Token{streams.size() + 1}, Interest::readable).value());
        streams.push_back(std::move(*accepted));
        continue;
      }
      std::array<std::byte, 256> bytes;
      const auto size = streams[index - 1].receive(bytes);
      if (size && *size > 0) static_cast<void>(streams[index - 1].send(std::span(bytes).first(*size)));
      if (size && *size == 0) registrations[index - 1] = {};
    }
  }
}

/// Keeps `connections` busy, each with one message of 16 bytes under way, and counts the answers.
void client(const Address& server, std::size_t connections, std::uint64_t rounds, std::uint64_t& messages) {
  auto poller = Poller::create().value();
  std::vector<TcpStream> streams;
  std::vector<Registration> registrations;
  std::vector<std::uint64_t> left(connections, rounds);
  for (std::size_t i = 0; i < connections; i++) {
    streams.push_back(TcpStream::connect(server).value());
    registrations.push_back(poller.add(streams.back().native(), Token{i}, Interest::writable).value());
  }
  std::size_t busy = connections;
  std::array<Event, 256> buffer;
  while (busy > 0) {
    const auto events = poller.wait(buffer).value();
    for (const Event& event : events) {
      const auto index = static_cast<std::size_t>(event.token());
      std::array<std::byte, 16> bytes{};
      if (event.writable()) static_cast<void>(registrations[index].modify(Interest::readable));
      if (event.readable() && streams[index].receive(bytes)) messages += 2;
      if (left[index]-- == 0) {
        registrations[index] = {};
        busy--;
        continue;
      }
      static_cast<void>(streams[index].send(bytes));
    }
  }
}

void measure(const char* what, sim::Rules rules, std::size_t hosts, std::size_t connections, std::uint64_t rounds) {
  sim::WorldOptions options;
  options.rules = rules;
  const double begin = cpu_seconds();
  sim::World world(1, options);
  auto& server = world.host("server", "10.200.0.1");
  server.serve(echo_server);
  std::uint64_t messages = 0;
  for (std::size_t i = 0; i < hosts; i++) {
    world.host("client " + std::to_string(i)).run([&] { client(server.address(7), connections, rounds, messages); });
  }
  world.run_until_idle();
  const double seconds = cpu_seconds() - begin;
  std::printf("%-8s %-34s %8zu hosts %8zu connections %10llu messages in %6.2f s: %9.0f a second\n",
              rules == sim::Rules::of_linux ? "linux" : "windows", what, hosts + 1, hosts * connections,
              static_cast<unsigned long long>(messages), seconds, static_cast<double>(messages) / seconds);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto number = [&](std::size_t place, std::uint64_t otherwise) {
    return arguments.size() > place ? std::strtoull(arguments[place], nullptr, 10) : otherwise;
  };
  const std::uint64_t scale = number(1, 1);
  for (const auto rules : {sim::Rules::of_linux, sim::Rules::of_windows}) {
    const bool is_linux = rules == sim::Rules::of_linux;
    if (arguments.size() > 2 && arguments[2] != std::string_view(is_linux ? "linux" : "windows")) continue;
    if (arguments.size() > 3) {
      measure("many hosts", rules, number(3, 1), 10, number(4, 20) * scale);
      continue;
    }
    measure("small messages, 1 connection", rules, 1, 1, 100'000 * scale);
    measure("small messages, 64 connections", rules, 1, 64, 4'000 * scale);
    measure("many hosts", rules, 10, 10, 20 * scale);
    measure("many hosts", rules, 100, 10, 20 * scale);
    measure("many hosts", rules, 1000, 10, 20 * scale);
  }
  return 0;
}
