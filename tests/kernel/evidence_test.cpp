// SPDX-License-Identifier: MIT
//
// What public evidence says of Windows beyond what the library asks for. Each test is named after its row of
// docs/kernel-facts.md.
#include <array>

#include "kernel/bench.hpp"

using namespace conformance;

TEST_CASE_TEMPLATE("many.same, many.same_pending: a socket that is listed twice", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  const Answer at_once = b.ask({{x, AFD_POLL_SEND}, {x, AFD_POLL_SEND}}, 0);
  b.fact("many.same", "a socket listed twice, ready for both", text(at_once));
  CHECK(at_once.entries.size() == 2);
  Request& request = b.request({{x, AFD_POLL_RECEIVE}, {x, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  const Answer answer = b.answer(request);
  b.fact("many.same_pending", "the same, pending, then data", text(answer));
  if (!b.expects_wine()) CHECK(answer.entries.size() == 1);
  b.system.forget_violations();
}

TEST_CASE_TEMPLATE("close.helper: the handle that carries a poll is closed", System, ALL_KERNELS) {
  Bench<System> b;
  const HANDLE carrier = *b.kernel.open_helper(b.port, 9);
  Request& request = b.request({{b.system.tcp_pair().first, AFD_POLL_RECEIVE}}, -2'000'000);  // 200 ms
  REQUIRE(b.submit(request, carrier) == STATUS_PENDING);
  b.kernel.close(carrier);
  const Answer answer = b.answer(request);
  b.fact("close.helper", "its handle is closed, then its Timeout of 200 ms", text(answer));
  constexpr auto STATUS_HANDLES_CLOSED =
      static_cast<NTSTATUS>(0x8000000A);  // what Wine 8 says; the simulated one cancels
  const NTSTATUS on_wine = b.system.is_simulated() ? STATUS_CANCELLED : STATUS_HANDLES_CLOSED;
  CHECK(answer == Answer{b.expects_wine() ? on_wine : STATUS_TIMEOUT, {}});
  b.system.forget_violations();
}

TEST_CASE_TEMPLATE("refused.again, refused.anew: a failed connect is reported until the next", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.tcp(), listener = b.system.listener();
  b.system.connect_to_closed_port(socket);
  b.await(socket, AFD_POLL_CONNECT_FAIL);
  const ULONG again = b.now(socket);
  b.fact("refused.again", "after a refused connect, polled once more", code(again));
  CHECK(again == AFD_POLL_CONNECT_FAIL);
  if (b.expects_wine() && !b.system.is_simulated()) return;  // a socket that has failed cannot connect there
  b.system.connect(socket, listener);
  b.await(socket, AFD_POLL_SEND);
  const ULONG anew = b.now(socket);
  b.fact("refused.anew", "after a new connect, which succeeds", code(anew));
  CHECK(anew == (AFD_POLL_SEND | AFD_POLL_CONNECT));
}

TEST_CASE_TEMPLATE("shutdown.own: our own half-close is reported as nothing", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  b.system.shutdown(x);
  const ULONG events = b.now(x);
  b.fact("shutdown.own", "our own shutdown of sending, polled for everything", code(events));
  CHECK(events == (AFD_POLL_SEND | AFD_POLL_CONNECT));
}
