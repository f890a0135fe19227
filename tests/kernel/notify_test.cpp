// SPDX-License-Identifier: MIT
//
// Socket notifications: what reactor/notify relies on, where the system has them. Each test is named after its row of
// docs/kernel-facts.md; the gate stage4_notify asks more.
#include <string>
#include <vector>

#include "kernel/bench.hpp"

using namespace conformance;

namespace {

struct Notified {
  ULONG error = 0;
  std::vector<ULONG> results;
  std::vector<FILE_IO_COMPLETION_INFORMATION> packets;

  /// The events of all packets under that key.
  [[nodiscard]] ULONG events(std::uintptr_t key) const {
    ULONG all = 0;
    for (const auto& packet : packets) {
      if (packet.KeyContext == reinterpret_cast<void*>(key))
        all |= static_cast<ULONG>(packet.IoStatusBlock.Information);
    }
    return all;
  }
  /// Results, then keys and masks: as the gate writes them.
  [[nodiscard]] std::string text() const {
    std::string line = text_of(error);
    for (const ULONG result : results) line += " " + text_of(result);
    for (const auto& packet : packets) {
      line += ", key " + std::to_string(reinterpret_cast<std::uintptr_t>(packet.KeyContext)) + " mask " +
              text_of(packet.IoStatusBlock.Information);
    }
    return packets.empty() ? line + ", nothing" : line;
  }
};

SOCK_NOTIFY_REGISTRATION change(Socket socket, std::uintptr_t key, std::uint16_t filter,
                                std::uint8_t operation = SocketNotify::enable) {
  return {socket, reinterpret_cast<void*>(key), filter, operation, SocketNotify::level | SocketNotify::oneshot, 0xAAAA};
}

template <class SomeBench>
Notified call(SomeBench& b, HANDLE port, std::vector<SOCK_NOTIFY_REGISTRATION> changes, std::size_t buffer_size,
              std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) {
  Notified result;
  result.packets.resize(buffer_size);
  ULONG removed = 0;
  result.error = b.kernel.notify(port, changes, result.packets, removed, static_cast<std::uint32_t>(timeout.count()));
  for (const auto& one : changes) result.results.push_back(one.registrationResult);
  result.packets.resize(result.error == 0 && buffer_size > 0 ? removed : 0);
  return result;
}
template <class SomeBench>
Notified call(SomeBench& b, const std::vector<SOCK_NOTIFY_REGISTRATION>& changes,
              std::chrono::milliseconds timeout = std::chrono::duration_cast<std::chrono::milliseconds>(deadline)) {
  return call(b, b.port, changes, 8, timeout);
}

/// Enables it again and again until it has reported all of `events`.
template <class SomeBench>
ULONG report(SomeBench& b, Socket socket, std::uint16_t filter, ULONG events) {
  ULONG reported = 0;
  for (int i = 0; i < 50 && (reported & events) != events; i++) {
    reported |= call(b, {change(socket, 8, filter)}, 200ms).events(8);
  }
  return reported;
}

constexpr std::uint16_t in = SocketNotify::in, out = SocketNotify::out, hangup = SocketNotify::hangup;

}  // namespace

// Wine and older systems have no notifications: there these tests pass without any check.
TEST_CASE_TEMPLATE("notices.call: changes without a buffer for packets, then the packets", System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  const Notified changed = call(b, b.port, {change(x, 4, in | hangup)}, 0);
  b.fact("notices.call", "ENABLE in a call without a buffer", changed.text());
  CHECK(changed.error == 0);
  CHECK(changed.results == std::vector<ULONG>{0});
  REQUIRE(b.system.send(y, 1) == 1);
  const Notified result = call(b, {});
  CHECK(result.events(4) == in);
  CHECK(call(b, {}, 50ms).error == static_cast<ULONG>(STATUS_TIMEOUT));
  CHECK(call(b, {change(x, 4, in | hangup)}).events(4) == in);
  CHECK(call(b, {change(x, 4, 0, SocketNotify::remove)}).events(4) == SocketNotify::removed);
}

TEST_CASE_TEMPLATE("notices.mixed: a poll's packet comes from the same call, with its status", System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  const auto [polled, peer] = b.system.tcp_pair();
  Request& request = b.request({{polled, AFD_POLL_RECEIVE}});
  REQUIRE(b.submit(request) == STATUS_PENDING);
  REQUIRE(b.kernel.cancel(b.helper, &request.iosb) == STATUS_SUCCESS);
  REQUIRE(b.system.send(y, 1) == 1);
  std::vector<FILE_IO_COMPLETION_INFORMATION> polls;
  ULONG events = 0;
  for (int i = 0; i < 10 && (polls.empty() || events == 0); i++) {
    const Notified result = call(b, {change(x, 4, in | hangup)}, 200ms);
    events |= result.events(4);
    for (const auto& packet : result.packets) {
      if (packet.ApcContext == &request) polls.push_back(packet);
    }
  }
  b.brings_no_packet();  // it was taken above
  CHECK(events == in);
  REQUIRE(polls.size() == 1);
  b.fact("notices.mixed", "a cancelled poll's packet from that call: its status", code(polls[0].IoStatusBlock.Status));
  CHECK(polls[0].IoStatusBlock.Status == STATUS_CANCELLED);
}

TEST_CASE_TEMPLATE("notices.wider: enabled for more while enabled", System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  CHECK(call(b, {change(x, 4, in | hangup)}, 20ms).packets.empty());
  const Notified result = call(b, {change(x, 4, in | out | hangup)});
  b.fact("notices.wider", "enabled for IN, then for IN and OUT", result.text());
  CHECK(result.events(4) == out);
}

TEST_CASE_TEMPLATE("notices.fin, notices.reset, notices.refused: HANGUP or ERR", System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  b.system.shutdown(y, Shutdown::write);
  const ULONG fin = report(b, x, in | out | hangup, hangup);
  b.fact("notices.fin", "the peer's FIN, IN, OUT and HANGUP asked", code(fin));
  CHECK((fin & (hangup | SocketNotify::err)) == hangup);
  const auto [z, w] = b.system.tcp_pair();
  b.system.reset(w);
  b.await(z, AFD_POLL_ABORT);
  const ULONG reset = call(b, {change(z, 8, in | hangup)}).events(8);
  b.fact("notices.reset", "a reset, IN and HANGUP asked", code(reset));
  CHECK((reset & (hangup | SocketNotify::err)) != 0);
  const Socket refused = b.system.tcp();
  b.system.connect_to_closed_port(refused);
  const ULONG failed = call(b, {change(refused, 9, out | hangup)}).events(9);
  b.fact("notices.refused", "a refused connect, OUT and HANGUP asked", code(failed));
  CHECK((failed & (hangup | SocketNotify::err)) != 0);
}

TEST_CASE_TEMPLATE("notices.unregistered: REMOVE of what is not registered changes nothing", System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const Notified result = call(b, b.port, {change(b.system.udp(), 4, 0, SocketNotify::remove)}, 0);
  b.fact("notices.unregistered", "REMOVE of what is not registered", result.text());
  CHECK(result.error == 0);
  CHECK(result.results[0] != 0);
}

TEST_CASE_TEMPLATE(
    "notices.second_port, notices.second_port_remove, notices.second_port_data: the first port keeps its registration",
    System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  CHECK(call(b, {change(x, 4, in | hangup)}, 20ms).results == std::vector<ULONG>{0});
  const Notified enabled = call(b, b.side_port, {change(x, 5, in | hangup)}, 0);
  b.fact("notices.second_port", "ENABLE at a second port", enabled.text());
  const Notified removed = call(b, b.side_port, {change(x, 5, 0, SocketNotify::remove)}, 0);
  b.fact("notices.second_port_remove", "REMOVE at a second port", removed.text());
  REQUIRE(b.system.send(y, 1) == 1);
  const Notified result = call(b, {}, 500ms);
  b.fact("notices.second_port_data", "then data: the first port", result.text());
  if (b.system.is_unknown()) return;
  CHECK(enabled.results[0] != 0);
  CHECK(removed.results[0] != 0);
  CHECK(result.events(4) == in);
}

TEST_CASE_TEMPLATE(
    "notices.closed: a closed number is refused, and can be registered again under another key when it is reused",
    System, ALL_KERNELS) {
  Bench<System> b;
  if (!b.kernel.has_notifications()) return;
  const auto [x, y] = b.system.tcp_pair();
  CHECK(call(b, {change(x, 4, in | hangup)}, 20ms).packets.empty());
  b.system.close(x);
  const Notified closed = call(b, b.port, {change(x, 4, in | hangup)}, 0);
  b.fact("notices.closed", "ENABLE of a number that was closed", closed.text());
  CHECK((closed.error != 0 || closed.results[0] != 0));
  const auto [z, w] = b.system.tcp_pair();
  REQUIRE(b.system.send(w, 1) == 1);
  CHECK(call(b, {change(z, 5, in | hangup)}).events(5) == in);
}
