// SPDX-License-Identifier: MIT
// The servers of the benchmark, all in one program: bench_server --kind KIND [...]. Prints the ports for messages and
// for control, and serves until it is sent `exit` on the control port.
#include <algorithm>
#include <array>
#include <string>

#include "../common/arguments.hpp"
#include "../common/files.hpp"
#include "service.hpp"

namespace {

struct Kind {
  std::string_view name;
  void (*serve)(bench::Service&);
};

constexpr std::array kinds{
    Kind{"ours", bench::serve_poller},
    Kind{"loop", bench::serve_loop},
    Kind{"asio-coroutines", bench::serve_asio_coroutines},
    Kind{"blocking", bench::serve_blocking},
    Kind{"asio", bench::serve_asio},
    Kind{"asio-eager", bench::serve_asio},
    Kind{"poll", bench::serve_poll},
    Kind{"http-loop", bench::serve_http_loop},
    Kind{"http-poller", bench::serve_http_poller},
    Kind{"http-epoll", bench::serve_http_epoll},
    Kind{"http-asio", bench::serve_http_asio},
    Kind{"http-asio-coroutines", bench::serve_http_asio_coroutines},
#ifdef _WIN32
    Kind{"ours-ungrouped", bench::serve_poller},
    Kind{"select", bench::serve_select},
    Kind{"afd-1-packet", bench::serve_afd},
    Kind{"afd-256-packets", bench::serve_afd},
    Kind{"afd-synchronous", bench::serve_afd},
#else
    Kind{"libevent", bench::serve_libevent},
#endif
#ifdef BENCH_HAS_UV
    Kind{"uv", bench::serve_uv},
    Kind{"http-uv", bench::serve_http_uv},
#endif
#ifdef BENCH_HAS_WEPOLL
    Kind{"wepoll", bench::serve_wepoll},
#endif
    Kind{"epoll", bench::serve_epoll},
};

void (*find(const std::string& name))(bench::Service&) {
  const auto* kind = std::ranges::find(kinds, name, &Kind::name);
  if (kind != kinds.end()) return kind->serve;
  std::string known;
  for (const Kind& each : kinds) known.append(known.empty() ? "" : ", ").append(each.name);
  bench::fail("no server '" + name + "' in this build: " + known);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Arguments arguments(argc, argv);
  bench::Settings settings;
  settings.kind = arguments.text("--kind", "ours");
  settings.event_buffer_size = arguments.count("--event-buffer", 256, 1, 65536);
  settings.threads = arguments.count("--threads", 1, 1, 64);
  settings.connections = arguments.count("--connections", 1, 1, 100'000);
  settings.active = arguments.count("--active", settings.connections, 1, settings.connections);
  settings.short_lived = arguments.flag("--short-lived");
  settings.send_buffer_bytes = static_cast<int>(arguments.number("--send-buffer", 0, 0, 1 << 24));
  settings.oneshot = arguments.flag("--oneshot");
  settings.toggles = arguments.flag("--toggles");
  settings.toggles_other = arguments.flag("--toggles-other");
  settings.leaves_closed = arguments.flag("--leaves-closed");
  settings.wakes = arguments.flag("--wakes");
  settings.counts_calls = arguments.flag("--count-calls");
  arguments.finish();
  const auto serve = find(settings.kind);
  bench::allow_many_files();
  bench::Service service(std::move(settings));
  serve(service);
}
