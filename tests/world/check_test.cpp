// SPDX-License-Identifier: MIT
// The runner, and the files of a trace.
#include "support.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace world_test;

namespace {

/// A folder that is gone afterwards.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "reactor_sim_check_test";
  Folder() { std::filesystem::create_directories(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
};

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

sim::CheckOptions quietly(const Folder& folder) {
  sim::CheckOptions options;
  options.trace_folder = folder.path.string();
  return options;
}

void echo_once(sim::World& world) {
  auto& server = world.host("server", "10.0.0.1");
  server.serve([] { echo_server(Address::any_ipv4(7)); });
  world.host("client", "10.0.0.2").run([&] {
    Waits waits;
    const TcpStream stream = connected(waits, server.address(7)).first;
    send_all(waits, stream, bytes_of("ping"));
    sim::require(receive_some(waits, stream, 4) == "ping", "no echo");
  });
}

}  // namespace

TEST_CASE("check runs all seeds") {
  const Folder folder;
  const auto outcome = sim::check({1, 50}, echo_once, quietly(folder));
  CHECK(outcome);
  CHECK(outcome.seeds_run == 50);
}

TEST_CASE("check stops at a failure, and writes its trace") {
  const Folder folder;
  const auto outcome = sim::check(
      {1, 1000},
      [](sim::World& world) {
        echo_once(world);
        world.run_until_idle();
        sim::require(world.seed() != 17, "as planned");
      },
      quietly(folder));
  CHECK_FALSE(outcome);
  CHECK(outcome.seed == 17);
  CHECK(outcome.seeds_run < 1000);
  CHECK(outcome.message.find("as planned") != std::string::npos);
  CHECK(outcome.message.find("REACTOR_SIM_SEED=17") != std::string::npos);
  CHECK(outcome.trace.find("\"ping\"") != std::string::npos);
  CHECK(content(folder.path / "sim-seed-17.txt") == outcome.trace);
  CHECK(content(folder.path / "sim-seed-17.svg").starts_with("<svg"));
  CHECK(content(folder.path / "sim-seed-17.pcapng").size() > 100);
}

TEST_CASE("what a test framework reports is a failure") {
  const Folder folder;
  auto options = quietly(folder);
  options.has_failed = [] { return true; };
  CHECK_FALSE(sim::check({1, 2}, echo_once, options));
}

TEST_CASE("a run that is not the same the second time is a failure") {
  const Folder folder;
  auto options = quietly(folder);
  options.processes = 1;
  int runs = 0;
  const auto outcome = sim::check({1, 2}, [&](sim::World& world) { world.note(std::to_string(runs++)); }, options);
  CHECK_FALSE(outcome);
  CHECK(outcome.message.find("two different runs") != std::string::npos);
}

#ifndef _WIN32
TEST_CASE("a process that ends by itself is a failure of its seed") {
  const Folder folder;
  const auto outcome = sim::check(
      {1, 100},
      [](sim::World& world) {
        if (world.seed() == 42) std::_Exit(3);
      },
      quietly(folder));
  CHECK_FALSE(outcome);
  CHECK(outcome.seed == 42);
  CHECK(outcome.message.find("ended with code 3") != std::string::npos);
}
#endif

TEST_CASE("a trace as pcapng is read by tshark") {
  const Folder folder;
  const std::string file = (folder.path / "trace.pcapng").string();
  sim::WorldOptions options;
  options.records_trace = true;
  sim::World world(1, options);
  echo_once(world);
  world.find("client").run([&] {
    const UdpSocket socket = must(UdpSocket::bind(Address::any_ipv4(0)));
    static_cast<void>(must(socket.send_to(bytes_of("datagram"), world.find("server").address(9))));
    const UdpSocket socket6 = must(UdpSocket::bind(Address::any_ipv6(0)));
    static_cast<void>(must(socket6.send_to(bytes_of("six"), world.find("server").address_ipv6(9))));
  });
  world.run_until_idle();
  REQUIRE(world.write_pcapng(file));
  CHECK(content(file).substr(0, 4) == "\x0A\x0D\x0D\x0A");
  if (std::system("command -v tshark > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: tshark is not installed");
    return;
  }
  const std::string listing = (folder.path / "listing").string();
  const std::string command =
      "tshark -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE "
      "-T fields -e _ws.col.Protocol -e tcp.flags.str -e tcp.payload -e udp.payload "
      "-e _ws.expert.message -r " +
      file + " > " + listing + " 2>/dev/null";
  REQUIRE(std::system(command.c_str()) == 0);
  const std::string text = content(listing);
  CHECK(text.find("70696e67") != std::string::npos);    // "ping"
  CHECK(text.find("6461746167") != std::string::npos);  // "datag"
  CHECK(text.find("736978") != std::string::npos);      // "six"
  CHECK(text.find("S") != std::string::npos);
  CHECK(text.find("hecksum") == std::string::npos);  // none is bad
  CHECK(text.find("alformed") == std::string::npos);
  CHECK(text.find("etransmission") == std::string::npos);
  CHECK(text.find("out-of-order") == std::string::npos);
}
