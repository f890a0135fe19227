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
  constexpr auto STATUS_HANDLES_CLOSED = static_cast<NTSTATUS>(0x8000000A);
  CHECK(answer == Answer{b.expects_wine() ? STATUS_HANDLES_CLOSED : STATUS_TIMEOUT, {}});
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

TEST_CASE_TEMPLATE("shutdown.own, shutdown.reading, shutdown.both: our own shutdown is reported as nothing", System,
                   ALL_KERNELS) {
  Bench<System> b;
  constexpr ULONG open = AFD_POLL_SEND | AFD_POLL_CONNECT;
  const auto [x, y] = b.system.tcp_pair();
  b.system.shutdown(x, Shutdown::write);
  const ULONG sending = b.now(x);
  b.fact("shutdown.own", "our own shutdown of sending, polled for everything", code(sending));
  b.system.shutdown(x, Shutdown::read);
  const ULONG sending_first = b.now(x);
  const auto [other, its_peer] = b.system.tcp_pair();
  b.system.shutdown(other, Shutdown::read);
  const ULONG reading = b.now(other);
  b.fact("shutdown.reading", "our own shutdown of receiving, polled for everything", code(reading));
  b.system.shutdown(other, Shutdown::write);
  const ULONG reading_first = b.now(other);
  b.fact("shutdown.both", "of both: sending first; receiving first", code(sending_first) + "; " + code(reading_first));
  for (const ULONG events : {sending, sending_first, reading, reading_first}) CHECK(events == open);
}

TEST_CASE_TEMPLATE("reset.so_error: SO_ERROR says nothing of a reset that a poll has reported", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  b.system.reset(y);
  b.await(x, AFD_POLL_ABORT);
  const int error = b.system.so_error(x);
  b.fact("reset.so_error", "the peer reset, and a poll has reported it: SO_ERROR", std::to_string(error));
  CHECK(error == 0);
}

TEST_CASE_TEMPLATE("urgent.inline: with SO_OOBINLINE an urgent byte is RECEIVE", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  b.system.set_urgent_inline(x);
  Request& request = b.request({{x, AFD_POLL_RECEIVE | AFD_POLL_RECEIVE_EXPEDITED}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  b.system.send_urgent(y);
  const Answer answer = b.answer(request);
  const ULONG events = b.now(x);
  b.fact("urgent.inline", "SO_OOBINLINE, an urgent byte: RECEIVE|RECEIVE_EXPEDITED; everything",
         text(answer) + "; " + code(events));
  CHECK(answer == Answer{STATUS_SUCCESS, {{x, AFD_POLL_RECEIVE}}});
  CHECK(events == (AFD_POLL_RECEIVE | AFD_POLL_SEND | AFD_POLL_CONNECT));
}

namespace {

/// What a poll that waits for `events` says after `first`, and, if that is nothing, after `then`.
template <class System>
std::string after_each(Bench<System>& b, Socket socket, ULONG events, auto first, auto then) {
  Request& request = b.request({{socket, events}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  first();
  if (b.take(quiet_time).has_value()) return text(b.answer_in_memory(request));
  then();
  return "nothing; " + text(b.answer(request));
}

}  // namespace

TEST_CASE_TEMPLATE("swallowed.recv, swallowed.accept: an operation that waits takes what comes, and no poll reports it",
                   System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  const auto sends = [&, peer = y] { REQUIRE(b.system.send(peer, 1) == 1); };
  b.system.begin_receive(x);
  const std::string received = after_each(b, x, AFD_POLL_RECEIVE, sends, sends);
  b.fact("swallowed.recv", "a WSARecv waits, data comes, and again: a poll for RECEIVE", received);
  CHECK(received == "nothing; 0x00000000, mask 0x00000001");

  const Socket listener = b.system.listener();
  const auto connects = [&] { b.system.connect(b.system.tcp(), listener); };
  b.system.begin_accept(listener);
  const std::string accepted = after_each(b, listener, AFD_POLL_ACCEPT, connects, connects);
  b.fact("swallowed.accept", "an AcceptEx waits, two connect one after the other: ACCEPT", accepted);
  CHECK(accepted == "nothing; 0x00000000, mask 0x00000080");
}

// Windows 8.1 and later. Not simulated, as the library does not use it.
TEST_CASE_TEMPLATE("port.replaced: a handle gets another port", System, ALL_KERNELS) {
  Bench<System> b;
  const auto [x, y] = b.system.tcp_pair();
  const HANDLE carrier = b.open_helper(1);
  const auto status = b.system.replace_port(carrier, b.side_port, 77);
  if (!status) return;
  std::string found = code(*status);
  if (*status == STATUS_SUCCESS) {
    Request asks({{x, AFD_POLL_SEND}});
    REQUIRE(NT_SUCCESS(b.kernel.poll(carrier, asks.iosb, asks.info(), asks.size_bytes(), &asks)));
    std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
    ULONG removed = 0;
    CHECK(b.kernel.dequeue(b.side_port, packet, removed, deadline) == STATUS_SUCCESS);
    found += ", key " + std::to_string(reinterpret_cast<ULONG_PTR>(packet[0].KeyContext));
    CHECK(packet[0].ApcContext == &asks);
  }
  b.fact("port.replaced", "FileReplaceCompletionInformation, then a poll: the second port", found);
  // Wine has it not: STATUS_NOT_IMPLEMENTED, or STATUS_INVALID_INFO_CLASS for a 32-bit program.
  if (b.expects_wine()) CHECK((found == "0xC0000002" || found == "0xC0000003"));
  if (!b.expects_wine()) CHECK(found == "0x00000000, key 77");
}
