// SPDX-License-Identifier: MIT
//
// Cancelling and closing. Each test is named after its row of docs/kernel-facts.md.
#include <array>
#include <set>

#include "kernel/bench.hpp"

using namespace conformance;

TEST_CASE_TEMPLATE("cancel.before: a poll that was not submitted is NOT_FOUND, and can be submitted later", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE}});
  CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_NOT_FOUND);
  REQUIRE(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
}

TEST_CASE_TEMPLATE("cancel.pending: one packet with STATUS_CANCELLED follows, and the buffer has no result", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_SUCCESS);
  CHECK(b.answer(request) == Answer{STATUS_CANCELLED, {}});
  CHECK(request.iosb.Information == 0);
  // The request is unchanged: its NumberOfHandles is not a result.
  CHECK(request.completed() == std::vector<Entry>{{x, AFD_POLL_RECEIVE}});
  REQUIRE(b.system.send(y, 1) == 1);
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE("cancel.after: after the event and before its packet is dequeued, NOT_FOUND, and the event comes",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  // Its packet is queued when the packet of a later poll is.
  b.system.send_to(b.system.udp(), b.system.udp(), 1);
  Request& later = b.request({{b.system.udp(), AFD_POLL_SEND}});
  REQUIRE(b.submit(later) == STATUS_SUCCESS);
  const NTSTATUS status = b.kernel.cancel(b.helper, &request.iosb);
  std::set<void*> seen;
  for (int i = 0; i < 2; i++) {
    const auto packet = b.take();
    REQUIRE(packet.has_value());
    seen.insert(packet->ApcContext);
  }
  CHECK(seen == std::set<void*>{&request, &later});
  // With real sockets the byte may still be on its way.
  if (status == STATUS_SUCCESS && !b.system.is_simulated()) {
    CHECK(request.iosb.Status == STATUS_CANCELLED);
    b.await(x, AFD_POLL_RECEIVE);
  } else {
    CHECK(status == STATUS_NOT_FOUND);
    CHECK(b.answer_in_memory(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
  }
}

TEST_CASE_TEMPLATE("cancel.other_thread: a poll can be cancelled by a thread that did not submit it", System,
                   ALL_KERNELS) {
  Bench<System> b;
  Request& request = b.request({{b.system.listener(), AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.meanwhile([&] { CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_SUCCESS); });
  const Answer answer = b.answer(request);
  b.fact("cancel.other_thread", "cancelled by another thread than the one that submitted", text(answer));
  CHECK(answer == Answer{STATUS_CANCELLED, {}});
  b.system.join();
  CHECK(b.is_quiet());
}

// Documented for requests whose handle belongs to a port. In simulated time one thread plays all threads.
TEST_CASE_TEMPLATE("thread.exit: a poll stays pending after its thread has ended, and another thread can cancel it",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener();
  Request& request = b.request({{listener, AFD_POLL_ACCEPT}});
  Request& cancelled = b.request({{b.system.listener(), AFD_POLL_ACCEPT}});
  b.system.meanwhile([&] {
    CHECK(b.submit(request) == STATUS_PENDING);
    CHECK(b.submit(cancelled) == STATUS_PENDING);
  });
  b.system.join();
  CHECK(b.is_quiet());
  b.system.connect(b.system.tcp(), listener);
  const Answer answer = b.answer(request);
  CHECK(answer == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
  CHECK(b.kernel.cancel(b.helper, &cancelled.iosb) == STATUS_SUCCESS);
  const Answer second = b.answer(cancelled);
  b.fact("thread.exit", "two polls whose thread has exited: an event; cancelled by another thread",
         text(answer) + "; " + text(second));
  CHECK(second == Answer{STATUS_CANCELLED, {}});
}

TEST_CASE_TEMPLATE("cancel.twice: the second cancel is NOT_FOUND, and one packet comes", System, ALL_KERNELS) {
  Bench<System> b;
  Request& request = b.request({{b.system.listener(), AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_SUCCESS);
  CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_NOT_FOUND);
  CHECK(b.answer(request) == Answer{STATUS_CANCELLED, {}});
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE("cancel.closed: after closesocket it is NOT_FOUND, and the close is reported", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener();
  Request& request = b.request({{listener, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.close(listener);
  CHECK(b.kernel.cancel(b.helper, &request.iosb) == STATUS_NOT_FOUND);
  CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_LOCAL_CLOSE}}});
}

TEST_CASE_TEMPLATE("cancel.one: another request on the same helper stays pending", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket x = b.system.listener(), y = b.system.listener();
  Request& first = b.request({{x, AFD_POLL_ACCEPT}});
  Request& second = b.request({{y, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(first) == STATUS_PENDING);
  REQUIRE(b.submit(second) == STATUS_PENDING);
  CHECK(b.kernel.cancel(b.helper, &first.iosb) == STATUS_SUCCESS);
  CHECK(b.answer(first).status == STATUS_CANCELLED);
  const bool quiet = b.is_quiet();
  b.fact("cancel.one", "one of two polls on a helper is cancelled: the other stays pending", yes_no(quiet));
  CHECK(quiet);
  b.system.connect(b.system.tcp(), y);
  CHECK(b.answer(second) == Answer{STATUS_SUCCESS, {{y, AFD_POLL_ACCEPT}}});
}

TEST_CASE_TEMPLATE("cancel.all: cancels all requests on one helper, and none on another", System, ALL_KERNELS) {
  Bench<System> b;
  const HANDLE other = b.open_helper(2);
  std::set<void*> cancelled, seen;
  for (int i = 0; i < 20; i++) {
    Request& request = b.request({{b.system.listener(), AFD_POLL_ACCEPT}});
    REQUIRE(b.submit(request) == STATUS_PENDING);
    cancelled.insert(&request);
  }
  const Socket listener = b.system.listener();
  Request& stays = b.request({{listener, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(stays, other) == STATUS_PENDING);
  CHECK(b.kernel.cancel(b.helper, nullptr) == STATUS_SUCCESS);
  for (int i = 0; i < 20; i++) {
    const auto packet = b.take();
    REQUIRE(packet.has_value());
    CHECK(packet->IoStatusBlock.Status == STATUS_CANCELLED);
    seen.insert(packet->ApcContext);
  }
  CHECK(seen == cancelled);
  const bool quiet = b.is_quiet();
  CHECK(quiet);
  // Without any request: Windows documents ERROR_NOT_FOUND for CancelIoEx, and Wine 10 returns it; Wine 8 returns
  // success.
  const NTSTATUS again = b.kernel.cancel(b.helper, nullptr);
  b.fact("cancel.all", "without a status block: cancelled of 20; one on another helper stays; again",
         std::to_string(seen.size()) + "; " + yes_no(quiet) + "; " + code(again));
  CHECK(again == (b.expects_wine_8() ? STATUS_SUCCESS : STATUS_NOT_FOUND));
  b.system.connect(b.system.tcp(), listener);
  CHECK(b.answer(stays) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
}

TEST_CASE_TEMPLATE("cancel.other_helper: a request is found only through its own helper", System, ALL_KERNELS) {
  Bench<System> b;
  const HANDLE other = b.open_helper(2);
  Request& request = b.request({{b.system.listener(), AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  const NTSTATUS status = b.kernel.cancel(other, &request.iosb);
  b.fact("cancel.other_helper", "cancelled through another helper handle", code(status));
  CHECK(status == STATUS_NOT_FOUND);
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE("close.pending: reports LOCAL_CLOSE, whatever the mask", System, ALL_KERNELS) {
  for (const ULONG mask : {AFD_POLL_RECEIVE, AFD_POLL_ABORT | AFD_POLL_LOCAL_CLOSE}) {
    Bench<System> b;
    const auto [x, y] = b.system.tcp_pair();
    Request& request = b.request({{x, mask}});
    REQUIRE(b.submit(request) == STATUS_PENDING);
    b.system.close(x);
    CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_LOCAL_CLOSE}}});
    b.await(y, AFD_POLL_DISCONNECT);
  }
}

TEST_CASE_TEMPLATE("close.duplicate: reported at the last close only, and events until then", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  const Socket twin = b.system.duplicate(x);
  Request& request = b.request({{x, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.close(x);
  const bool quiet = b.is_quiet();
  CHECK(quiet);
  REQUIRE(b.system.send(y, 1) == 1);
  const Answer data = b.answer(request);
  CHECK(data == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});  // the number that was polled, although closed
  CHECK_FALSE(NT_SUCCESS(b.submit(b.request({{x, AFD_POLL_RECEIVE}}))));
  CHECK(b.system.recv(twin, 100) == 1u);
  Request& again = b.request({{twin, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(again) == STATUS_PENDING);
  b.system.close(twin);
  const Answer last = b.answer(again);
  b.fact("close.duplicate", "a duplicated socket, one handle closed; then data; then the last close",
         (quiet ? "nothing; " : "a packet; ") + text(data) + "; " + text(last));
  CHECK(last == Answer{STATUS_SUCCESS, {{twin, AFD_POLL_LOCAL_CLOSE}}});
}

TEST_CASE_TEMPLATE("close.reused: the packet of a closed socket, dequeued when its number means another socket", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const Socket first = b.system.udp();
  Request& old = b.request({{first, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(old) == STATUS_PENDING);
  b.system.close(first);
  const Socket second = b.system.udp();
  if (b.system.is_simulated()) {
    CHECK(second == first);
  } else if (second != first) {
    MESSAGE("the number was not used again at once");
  }
  Request& fresh = b.request({{second, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(fresh) == STATUS_PENDING);
  const Answer closed = b.answer(old);
  b.fact("close.reused", "closed while polled, its number used again: the packet of the old poll", text(closed));
  CHECK(closed == Answer{STATUS_SUCCESS, {{first, AFD_POLL_LOCAL_CLOSE}}});
  CHECK(b.is_quiet());
  b.system.send_to(b.system.udp(), second, 1);
  CHECK(b.answer(fresh) == Answer{STATUS_SUCCESS, {{second, AFD_POLL_RECEIVE}}});
}

TEST_CASE_TEMPLATE("stress.once, stress.quiet: random polls, events, cancels and closes have one packet for each poll",
                   System, ALL_KERNELS) {
  Bench<System> b;
  constexpr std::uint64_t seed = 7;
  CAPTURE(seed);
  reactor::sim::Random random(seed);
  std::set<void*> out, seen;
  for (int round = 0; round < 200; round++) {
    const auto [x, y] = b.system.tcp_pair();
    Request& request = b.request({{x, AFD_POLL_RECEIVE | AFD_POLL_ABORT}});
    REQUIRE(b.submit(request) == STATUS_PENDING);
    out.insert(&request);
    const std::size_t what = random.below(4);
    if (what == 0) REQUIRE(b.system.send(y, 1) == 1);
    if (what == 1) b.system.reset(y);
    if (what == 2) b.kernel.cancel(b.helper, &request.iosb);
    b.system.close(x);
    if (what != 1) b.system.close(y);
  }
  for (std::size_t i = 0; i < out.size(); i++) {
    const auto packet = b.take();
    REQUIRE(packet.has_value());
    seen.insert(packet->ApcContext);
  }
  CHECK(seen == out);
  CHECK(b.is_quiet());
}
