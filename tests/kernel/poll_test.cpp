// SPDX-License-Identifier: MIT
//
// A poll and its packet. Each test is named after its row of docs/kernel-facts.md.
#include <optional>

#include "kernel/bench.hpp"

using namespace conformance;

TEST_CASE_TEMPLATE("accept.*: a poll is pending, then one packet has its context, status, mask and size", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener(), client = b.system.tcp();
  Request& request = b.request({{listener, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  CHECK(b.is_quiet());
  b.system.connect(client, listener);
  const auto packet = b.take();
  REQUIRE(packet.has_value());
  CHECK(packet->KeyContext == reinterpret_cast<void*>(Bench<System>::key));
  CHECK(packet->ApcContext == &request);
  CHECK(packet->IoStatusBlock.Status == STATUS_SUCCESS);
  CHECK(packet->IoStatusBlock.Information == poll_size_bytes(1));
  CHECK(b.answer_in_memory(request) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE("oneshot.quiet: a completed poll reports nothing more", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener(), first = b.system.tcp(), second = b.system.tcp();
  Request& waits = b.request({{listener, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(waits) == STATUS_PENDING);
  b.system.connect(first, listener);
  CHECK(b.answer(waits) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
  Request& at_once = b.request({{listener, AFD_POLL_ACCEPT}});
  REQUIRE(b.submit(at_once) == STATUS_SUCCESS);
  CHECK(b.answer(at_once) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
  REQUIRE(b.system.accept(listener).has_value());
  b.system.connect(second, listener);
  b.await(listener, AFD_POLL_ACCEPT);  // through the other port: the new connection has arrived
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE(
    "oneshot.rearm, oneshot.packet: a poll of a ready socket completes synchronously, and has a packet too", System,
    ALL_KERNELS) {
  Bench<System> b;
  const Socket listener = b.system.listener(), client = b.system.tcp();
  b.system.connect(client, listener);
  b.await(listener, AFD_POLL_ACCEPT);
  for (int i = 0; i < 2; i++) {  // a level, not an edge
    Request& request = b.request({{listener, AFD_POLL_ACCEPT}});
    CHECK(b.submit(request) == STATUS_SUCCESS);
    CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{listener, AFD_POLL_ACCEPT}}});
  }
  REQUIRE(b.system.accept(listener).has_value());
  CHECK(b.now(listener) == 0);
  CHECK_FALSE(b.system.accept(listener).has_value());
}

TEST_CASE_TEMPLATE("oneshot.packet: the packet of a synchronous completion is queued when the call returns", System,
                   ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.udp();
  Request& request = b.request({{socket, AFD_POLL_SEND}});
  REQUIRE(b.submit(request) == STATUS_SUCCESS);
  CHECK(b.take(0s).has_value());
}

TEST_CASE_TEMPLATE("accept.null_context, accept.null_context_packet: completes synchronously and without a packet",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.udp();
  Request& request = b.request({{socket, AFD_POLL_SEND}});
  const NTSTATUS status = b.kernel.poll(b.helper, request.iosb, request.info(), request.size_bytes(), nullptr);
  b.fact("accept.null_context", "a poll with a null context, already ready: the call returns", code(status));
  CHECK(status == STATUS_SUCCESS);
  CHECK(b.answer_in_memory(request) == Answer{STATUS_SUCCESS, {{socket, AFD_POLL_SEND}}});
  const bool has_packet = b.take(quiet_time).has_value();
  b.fact("accept.null_context_packet", "a packet is queued for it", yes_no(has_packet));
  CHECK_FALSE(has_packet);
}

// Documented for handles in general. For these, it is known for Wine and not for Windows, so the backend probes it. The
// simulator can be without it (reactor::sim::Options::skips), which sim_test tries.
TEST_CASE_TEMPLATE("skip.set, skip.inline, skip.pending: a synchronous completion has no packet, a later one has",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const HANDLE skips = b.open_helper(1);
  const bool is_set = b.kernel.skip_packet_on_success(skips);
  b.fact("skip.set", "FILE_SKIP_COMPLETION_PORT_ON_SUCCESS on a helper handle", is_set ? "accepted" : "refused");
  REQUIRE(is_set);
  const auto [x, y] = b.system.tcp_pair();
  Request& at_once = b.request({{x, AFD_POLL_SEND}});
  CHECK(b.submit(at_once, skips) == STATUS_SUCCESS);
  CHECK(b.answer_in_memory(at_once) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_SEND}}});
  const bool has_packet = b.has_packet();
  b.fact("skip.inline", "a poll that completes in the call: a packet is queued for it", yes_no(has_packet));
  if (!b.system.is_unknown()) CHECK_FALSE(has_packet);
  Request& later = b.request({{x, AFD_POLL_RECEIVE}});
  const NTSTATUS status = b.submit(later, skips);
  CHECK(status == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  const Answer answer = b.answer(later);
  b.fact("skip.pending", "a poll that had to wait: the call, then its packet",
         code(status) + ", " + code(answer.status));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
}

TEST_CASE_TEMPLATE("skip.none: the same with nothing ready and Timeout 0", System, ALL_KERNELS) {
  Bench<System> b;
  const HANDLE skips = b.open_helper(1);
  REQUIRE(b.kernel.skip_packet_on_success(skips));
  Request& request = b.request({{b.system.listener(), everything}}, 0);
  CHECK(b.submit(request, skips) == STATUS_SUCCESS);
  CHECK(b.answer_in_memory(request) == Answer{STATUS_SUCCESS, {}});
  const bool has_packet = b.has_packet();
  b.fact("skip.none", "the same with nothing ready and Timeout 0", yes_no(has_packet));
  if (!b.system.is_unknown()) CHECK_FALSE(has_packet);
}

TEST_CASE_TEMPLATE("timeout.zero: synchronous success without an entry", System, ALL_KERNELS) {
  Bench<System> b;
  Request& request = b.request({{b.system.listener(), everything}}, 0);
  CHECK(b.submit(request) == STATUS_SUCCESS);
  const Answer answer = b.answer(request);
  b.fact("timeout.zero", "Timeout 0 on an idle listener", text(answer));
  CHECK(answer == Answer{STATUS_SUCCESS, {}});
}

TEST_CASE_TEMPLATE("timeout.relative: STATUS_TIMEOUT without an entry when the time is over", System, ALL_KERNELS) {
  Bench<System> b;
  const auto before = b.kernel.now();
  Request& request = b.request({{b.system.listener(), everything}}, -500'000);  // 50 ms
  CHECK(b.submit(request) == STATUS_PENDING);
  const Answer answer = b.answer(request);
  b.fact("timeout.relative", "Timeout of 50 ms on an idle listener", text(answer));
  CHECK(answer == Answer{STATUS_TIMEOUT, {}});
  CHECK(b.kernel.now() - before >= 35ms);
}

TEST_CASE_TEMPLATE("timeout.relative: after an event there is no time-out", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& request = b.request({{x, AFD_POLL_RECEIVE}}, -500'000);
  CHECK(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  CHECK(b.answer(request) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
  CHECK_FALSE(b.take(100ms).has_value());
}

// Both simulated kernels return what Windows does. Real Wine first creates a handle for the request, which gets the
// number that was just closed, and so finds a handle of another kind. The backend treats both the same.
TEST_CASE_TEMPLATE("bad.closed, bad.quiet: a socket that was just closed is refused by the call, without a packet",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.udp();
  b.system.close(socket);
  const bool is_taken = b.expects_wine() && !b.system.is_simulated();
  const NTSTATUS expected = is_taken ? STATUS_OBJECT_TYPE_MISMATCH : STATUS_INVALID_HANDLE;
  const NTSTATUS status = b.submit(b.request({{socket, everything}}));
  b.fact("bad.closed", "AFD_POLL on a socket that was just closed", code(status));
  CHECK(status == expected);
  const bool quiet = b.is_quiet();
  b.fact("bad.quiet", "a packet is queued for a refused poll", yes_no(!quiet));
  CHECK(quiet);
}

TEST_CASE_TEMPLATE("bad.never: a number that was never a handle is refused", System, ALL_KERNELS) {
  Bench<System> b;
  const NTSTATUS status = b.submit(b.request({{0x7FFF0000, everything}}));
  b.fact("bad.never", "AFD_POLL on a number that was never a handle", code(status));
  CHECK(status == STATUS_INVALID_HANDLE);
  CHECK(b.is_quiet());
}

// Wine's result was seen. For Windows it is only known that numbers which are not open are STATUS_INVALID_HANDLE
// [Wine's conformance tests]. The simulated one returns it for an open handle of another kind too, so that the backend
// gets both.
TEST_CASE_TEMPLATE("bad.no_socket: a handle that is not a socket is refused", System, ALL_KERNELS) {
  Bench<System> b;
  const auto event = reinterpret_cast<Socket>(b.system.no_socket());
  const NTSTATUS status = b.submit(b.request({{event, everything}}));
  b.fact("bad.no_socket", "AFD_POLL on a handle that is no socket", code(status));
  if (b.system.is_unknown()) {
    MESSAGE("status " << code(status));
  } else {
    CHECK(status == (b.expects_wine() ? STATUS_OBJECT_TYPE_MISMATCH : STATUS_INVALID_HANDLE));
  }
  CHECK(b.is_quiet());
}

// SystemKernel refuses that itself, on Windows too, since the server of Wine 8 would end with an assertion.
TEST_CASE_TEMPLATE("bad.helper: a helper handle in the list is refused", System, ALL_KERNELS) {
  Bench<System> b;
  const Socket socket = b.system.udp();
  const auto helper = reinterpret_cast<Socket>(b.helper);
  const NTSTATUS status = b.submit(b.request({{socket, AFD_POLL_RECEIVE}, {helper, everything}}));
  b.fact("bad.helper", "SystemKernel, a helper handle in the list", code(status));
  CHECK(status == STATUS_OBJECT_TYPE_MISMATCH);
  CHECK(b.is_quiet());
}

// STATUS_INVALID_PARAMETER, so that a caller's mistake does not make the kernel read beyond the buffer.
TEST_CASE_TEMPLATE("bad.count: no handles, or more than the buffer has, are refused", System, ALL_KERNELS) {
  Bench<System> b;
  std::string statuses;
  for (const ULONG count : {0U, 2U}) {
    Request& request = b.request({{b.system.udp(), everything}});
    request.info().NumberOfHandles = count;
    const NTSTATUS status = b.submit(request);
    statuses += (statuses.empty() ? "" : ", ") + code(status);
    CHECK(status == static_cast<NTSTATUS>(0xC000000D));
    CHECK_FALSE(b.take(0s).has_value());
  }
  b.fact("bad.count", "NumberOfHandles 0; more than the buffer holds", statuses);
  b.system.forget_violations();
}

// The reason for "one poll per socket". Reported for Windows Server 2016: the polls swap results or never complete
// [wepoll#35, trio#1269]. Wine completes both. The simulated Windows does as reported (sim_test), so it is left out
// here.
TEST_CASE_TEMPLATE("twice.pending: two polls that are pending on one socket", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  Request& first = b.request({{x, AFD_POLL_RECEIVE}});
  Request& second = b.request({{x, AFD_POLL_RECEIVE | AFD_POLL_DISCONNECT}});
  REQUIRE(b.submit(first) == STATUS_PENDING);
  REQUIRE(b.submit(second) == STATUS_PENDING);
  REQUIRE(b.system.send(y, 1) == 1);
  if (b.expects_wine()) {
    for (int i = 0; i < 2; i++) REQUIRE(b.take().has_value());
    b.fact("twice.pending", "two polls pending on one socket, then data: polls that complete", "2");
    CHECK(b.answer_in_memory(first) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
    CHECK(b.answer_in_memory(second) == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
  } else {
    int finished = 0;
    while (b.take(quiet_time)) finished++;
    b.fact("twice.pending", "two polls pending on one socket, then data: polls that complete",
           std::to_string(finished));
    MESSAGE("finished: " << finished << " of 2");
  }
  b.system.forget_violations();
}
