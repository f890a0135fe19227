// SPDX-License-Identifier: MIT
// The load of the benchmark: bench_load --port P --control P [...] prints its result as JSON. Its own CPU time is not
// part of any result. bench/scenarios.py has the arguments of each scenario.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "../common/arguments.hpp"
#include "../common/files.hpp"
#include "load.hpp"

int main(int argc, char** argv) {
  bench::Arguments arguments(argc, argv);
  bench::LoadOptions options;
  options.port = static_cast<std::uint16_t>(arguments.number("--port", 0, 1, 65535));
  options.control = static_cast<std::uint16_t>(arguments.number("--control", 0, 1, 65535));
  options.connections = arguments.number("--connections", 1, 1, 100'000);
  options.active = arguments.number("--active", options.connections, 1, options.connections);
  options.size_bytes = arguments.number("--size", 64, 1, 1 << 20);
  options.http = arguments.flag("--http");
  options.depth = arguments.number("--depth", 1, 1, 1024);
  options.in_flight = arguments.number("--in-flight", 0, 0, options.active);
  options.burst = arguments.number("--burst", 0, 0, 1'000'000);
  options.in_rounds = arguments.flag("--in-rounds");
  options.rate = arguments.number("--rate", 0, 0, 10'000'000);
  options.messages_per_connection = arguments.number("--messages-per-connection", 0, 0, 1'000'000);
  options.receive_buffer_bytes = static_cast<int>(arguments.number("--receive-buffer", 0, 0, 1 << 24));
  options.warm_ms = arguments.number("--warm-ms", 200, 0, 60'000);
  options.window_ms = arguments.number("--window-ms", 1000, 1, 600'000);
  options.check_idle = arguments.flag("--check-idle");
  options.label = arguments.text("--label", "load");
  options.pids = arguments.numbers("--pids");
  options.core = arguments.number("--core", 0, 0, 4095);
  arguments.finish();
  if (options.port == 0 || options.control == 0) bench::fail("--port and --control are needed");
  if (options.messages_per_connection > 0 && (options.depth > 1 || options.in_flight > 0 || options.rate > 0)) {
    bench::fail("--messages-per-connection goes with depth 1, closed loop, and no limit in flight");
  }
  if (options.in_flight > 0 && options.rate > 0) bench::fail("--in-flight and --rate do not go together");
  if (options.burst > 0 && options.in_flight == 0) bench::fail("--burst goes with --in-flight");
  if (options.in_rounds &&
      (options.depth > 1 || options.in_flight > 0 || options.rate > 0 || options.messages_per_connection > 0)) {
    bench::fail("--in-rounds goes with depth 1, closed loop, connections that stay open, and no limit in flight");
  }

  bench::allow_many_files();
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < options.connections + 64) {
    bench::fail("this process may have " + std::to_string(files.rlim_cur) + " files open, too few for " +
                std::to_string(options.connections) + " connections");
  }
  bench::Load load(std::move(options));
  std::printf("%s\n", load.run().c_str());
}
