// SPDX-License-Identifier: MIT
// The HTTP example itself, not a copy of it.
#include "service.hpp"

int loop_http_main(int argc, char** argv);
#define main loop_http_main
#include "../../examples/loop_http.cpp"
#undef main

namespace bench {

void serve_http_loop(Service& service) {
  auto loop = value_or_fail(reactor::Loop::create(), "Loop::create");
  // Borrowed: this function never returns.
  reactor::On<reactor::TcpListener> listener{reactor::TcpListener(service.listener().native())};
  service.open([](Json&) {});
  Server server{::Settings{}};
  value_or_fail(loop.run(server.run(std::move(listener))), "run");
  fail("the server ended");
}

}  // namespace bench
