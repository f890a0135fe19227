// SPDX-License-Identifier: MIT
//
// Socket notifications, by their documentation; what it leaves open is NoticeReadings.
#include <reactor/sim/sim_notify.hpp>

#include <algorithm>
#include <utility>

#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using namespace std::chrono_literals;

namespace {

constexpr ULONG ERROR_NOT_FOUND = 1168, ERROR_INVALID_HANDLE = 6, ERROR_INVALID_PARAMETER = 87;
constexpr ULONG WSAENOTSOCK = 10038, WSAEINVAL = 10022, WSAENOBUFS = 10055, WSAEOPNOTSUPP = 10045;

// The same as an NTSTATUS.
ULONG as_status(ULONG error) {
  switch (error) {
    case ERROR_NOT_FOUND: return static_cast<ULONG>(STATUS_NOT_FOUND);
    case ERROR_INVALID_HANDLE: return static_cast<ULONG>(STATUS_INVALID_HANDLE);
    case WSAENOTSOCK: return static_cast<ULONG>(STATUS_OBJECT_TYPE_MISMATCH);
    case ERROR_INVALID_PARAMETER: return 0xC000000D;  // STATUS_INVALID_PARAMETER
    case WSAENOBUFS: return static_cast<ULONG>(STATUS_INSUFFICIENT_RESOURCES);
    case WSAEOPNOTSUPP: return static_cast<ULONG>(STATUS_NOT_SUPPORTED);
    default: return error;
  }
}

bool is_one_of(std::uint8_t flags, std::uint8_t a, std::uint8_t b) { return ((flags & a) != 0) != ((flags & b) != 0); }

}  // namespace

NoticeReadings readings_of(const Options& options) {
  if (options.notices) return *options.notices;
  Random random(options.seed ^ 0x6E6F74696365);
  NoticeReadings drawn;
  for (bool* reading : {&drawn.fin_is_in, &drawn.reset_is_hangup, &drawn.unreachable_is_in, &drawn.keeps_queued,
                        &drawn.ntstatus, &drawn.refusal_ends_call, &drawn.removing_refuses, &drawn.remove_checks_key}) {
    *reading = random.chance(500);
  }
  return drawn;
}

ULONG SimKernel::notify(HANDLE port, std::span<SOCK_NOTIFY_REGISTRATION> changes, std::span<Packet> packets,
                        ULONG& removed, std::uint32_t timeout_ms) {
  Core::Lock lock(core_.mutex);
  removed = 0;
  dequeuing_notifies_ += packets.empty() ? 0 : 1;
  const NTSTATUS refused = begin(Call::notify, 0);
  if (refused != STATUS_SUCCESS) return static_cast<ULONG>(refused);
  if (core_.random.chance(core_.options.faults.notify_refused)) {
    return core_.random.below(2) == 0 ? WSAENOBUFS : WSAEINVAL;
  }
  const auto found = core_.handles.find<Port>(number(port));
  if (found == nullptr) {
    core_.violate("notify: there is no port " + hex(number(port)));
    return ERROR_INVALID_HANDLE;
  }
  if (packets.empty() && (timeout_ms != 0 || changes.empty())) {
    core_.violate("notify: there is nothing to do, or a time-out without a buffer for packets");
    return WSAEINVAL;
  }
  bool is_refused = false;
  for (SOCK_NOTIFY_REGISTRATION& one : changes) {
    const ULONG error = change(found, one);
    one.registrationResult = notice_readings_.ntstatus ? as_status(error) : error;
    is_refused = is_refused || error != 0;
    if (core_.is_traced()) {
      core_.trace("notify " + hex(one.socket) + (one.operation == SocketNotify::enable ? " enable " : " remove ") +
                  hex(one.eventFilter) + " key " + hex(number(one.completionKey)) + " -> " +
                  hex(one.registrationResult));
    }
  }
  core_.run_due();
  if (packets.empty()) return 0;
  if (is_refused && notice_readings_.refusal_ends_call) timeout_ms = 0;
  return static_cast<ULONG>(await(lock, found, packets, removed, std::chrono::milliseconds(timeout_ms)));
}

ULONG SimKernel::change(const PortPtr& port, const SOCK_NOTIFY_REGISTRATION& change) {
  if (core_.random.chance(core_.options.faults.change_refused)) return WSAENOBUFS;
  const Object& object = core_.handles.at(change.socket);
  if (std::holds_alternative<std::monostate>(object)) return ERROR_INVALID_HANDLE;
  const auto endpoint = core_.handles.find<Endpoint>(change.socket);
  if (endpoint == nullptr) return WSAENOTSOCK;
  if (endpoint->state == SocketState::not_afd) return WSAEOPNOTSUPP;
  if (endpoint->notice != nullptr && !endpoint->notice->port->is_open) endpoint->notice = nullptr;
  if (change.operation == SocketNotify::remove) return remove(port, *endpoint, change);
  const bool is_whole = is_one_of(change.triggerFlags, SocketNotify::oneshot, SocketNotify::persistent) &&
                        is_one_of(change.triggerFlags, SocketNotify::level, SocketNotify::edge);
  if (change.operation != SocketNotify::enable || !is_whole) return ERROR_INVALID_PARAMETER;
  return enable(port, *endpoint, change);
}

ULONG SimKernel::enable(const PortPtr& port, Endpoint& endpoint, const SOCK_NOTIFY_REGISTRATION& change) {
  auto& notice = endpoint.notice;
  if (notice != nullptr && notice->port != port) {
    if (!notice_readings_.second_port_takes_over) return ERROR_INVALID_PARAMETER;
    notice->is_enabled = false;
    notice = nullptr;
  }
  if (notice != nullptr && notice->is_removed) {
    if (notice_readings_.removing_refuses) return ERROR_INVALID_PARAMETER;
    notice = nullptr;
  }
  if (notice != nullptr && notice->key != change.completionKey && !notice_readings_.keeps_key) {
    return ERROR_INVALID_PARAMETER;
  }
  if (notice != nullptr && core_.random.chance(core_.options.faults.change_invalid)) return ERROR_INVALID_HANDLE;
  if (notice == nullptr) {
    notice = std::make_shared<SocketNotice>();
    notice->endpoint = core_.handles.find<Endpoint>(change.socket);
    notice->port = port;
    notice->key = change.completionKey;
  }
  notice->filter = change.eventFilter;
  notice->is_oneshot = (change.triggerFlags & SocketNotify::oneshot) != 0;
  notice->is_edge = (change.triggerFlags & SocketNotify::edge) != 0;
  notice->is_enabled = true;
  notice->held = notice->is_edge ? notice_events(endpoint, notice->filter) : 0;
  notice_changed(endpoint);
  return 0;
}

ULONG SimKernel::remove(const PortPtr& port, Endpoint& endpoint, const SOCK_NOTIFY_REGISTRATION& change) {
  const auto notice = endpoint.notice;
  if (notice == nullptr || notice->port != port) return ERROR_NOT_FOUND;
  if (notice_readings_.remove_checks_key && notice->key != change.completionKey) return ERROR_NOT_FOUND;
  if (notice->is_removed && !notice_readings_.removing_refuses) return ERROR_NOT_FOUND;
  // Under another number of the socket: no notification comes for the key that the caller has in mind.
  if (notice->key != change.completionKey) vanished_removals_++;
  if (notice->is_removed) return 0;
  notice->is_enabled = false;
  notice->is_removed = true;
  if (notice->is_queued) {
    notice->mask |= SocketNotify::removed;
  } else {
    queue_notice(notice, SocketNotify::removed);
  }
  return 0;
}

// What a registration with that filter would report now.
ULONG SimKernel::notice_events(const Endpoint& endpoint, std::uint16_t filter) const {
  const ULONG events = net_.events_of(endpoint);
  const auto is = [events](ULONG bits) { return (events & bits) != 0; };
  ULONG result = 0;
  if (is(AFD_POLL_RECEIVE | AFD_POLL_ACCEPT)) result |= SocketNotify::in;
  if (is(AFD_POLL_SEND)) result |= SocketNotify::out;
  if (is(AFD_POLL_DISCONNECT)) result |= SocketNotify::hangup | (notice_readings_.fin_is_in ? SocketNotify::in : 0);
  if (is(AFD_POLL_ABORT)) {
    const ULONG more = SocketNotify::hangup | SocketNotify::in | SocketNotify::out;
    result = SocketNotify::err | (notice_readings_.reset_is_hangup ? more : 0);
  }
  if (is(AFD_POLL_CONNECT_FAIL)) result |= SocketNotify::err;
  const bool is_unreachable = endpoint.state == SocketState::datagram && endpoint.unreachable && core_.is_windows();
  if (is_unreachable && !notice_readings_.unreachable_is_in) {
    result |= SocketNotify::err;
    if (endpoint.datagrams.empty()) result &= ~ULONG{SocketNotify::in};
  }
  return result & (filter | SocketNotify::err);
}

void SimKernel::notice_changed(Endpoint& endpoint) {
  const auto notice = endpoint.notice;
  if (notice == nullptr || !notice->is_enabled || endpoint.closed) return;
  const ULONG now = notice_events(endpoint, notice->filter);
  const ULONG events = notice->is_edge ? now & ~std::exchange(notice->held, now) : now;
  if (events == 0) return;
  if (notice->is_oneshot) notice->is_enabled = false;
  if (!notice->is_queued) return queue_notice(notice, events);
  notice->mask |= events;  // documented: they are coalesced
}

void SimKernel::queue_notice(const std::shared_ptr<SocketNotice>& notice, ULONG events) {
  notice->is_queued = true;
  notice->mask = events;
  core_.after(core_.draw(core_.options.completion) + core_.draw(core_.options.packet), [this, notice] {
    if (!notice->port->is_open) return;
    if (notice->is_gone && !notice_readings_.keeps_queued) {
      notice->is_queued = false;
      vanished_removals_ += (notice->mask & SocketNotify::removed) != 0 ? 1 : 0;
      return;
    }
    auto& packets = notice->port->packets;
    auto at = packets.end();
    if (core_.random.chance(core_.options.faults.shuffled_packet)) {
      at = packets.begin() + static_cast<std::ptrdiff_t>(core_.random.below(packets.size() + 1));
    }
    packets.insert(at, {{notice->key, nullptr, {{STATUS_SUCCESS}, 0}}, nullptr, nullptr, notice});
    if (core_.options.real_threads) core_.changed.notify_all();
  });
}

// Its packet is dequeued now.
void SimKernel::take_notice(Port::Queued& queued) {
  SocketNotice& notice = *queued.notice;
  queued.info.IoStatusBlock.Information = std::exchange(notice.mask, 0);
  notice.is_queued = false;
  const auto endpoint = notice.endpoint.lock();
  if (endpoint == nullptr || endpoint->notice != queued.notice) return;
  if (notice.is_removed) {
    endpoint->notice = nullptr;
  } else if (!notice.is_oneshot && !notice.is_edge) {
    notice_changed(*endpoint);
  }
}

void SimKernel::notice_closed(Endpoint& endpoint) {
  const auto notice = std::exchange(endpoint.notice, nullptr);
  if (notice == nullptr) return;
  notice->is_gone = true;
  notice->is_enabled = false;
  if (notice_readings_.keeps_queued) return;
  const auto gone = std::erase_if(notice->port->packets, [&](const auto& queued) { return queued.notice == notice; });
  if (gone > 0 && (notice->mask & SocketNotify::removed) != 0) vanished_removals_++;
}

std::size_t SimKernel::notices() {
  const Core::Lock lock(core_.mutex);
  std::size_t count = 0;
  core_.handles.for_each([&](const Object& object) {
    const auto* endpoint = std::get_if<std::shared_ptr<Endpoint>>(&object);
    if (endpoint != nullptr && (*endpoint)->notice != nullptr && (*endpoint)->notice->port->is_open) count++;
  });
  return count;
}

bool SimKernel::is_noticed(SocketNumber socket) {
  const Core::Lock lock(core_.mutex);
  const auto endpoint = core_.handles.find<Endpoint>(socket);
  const auto notice = endpoint == nullptr ? nullptr : endpoint->notice;
  return notice != nullptr && (notice->is_enabled || notice->is_queued);
}

bool SimKernel::is_queued(SocketNumber socket) {
  const Core::Lock lock(core_.mutex);
  const auto endpoint = core_.handles.find<Endpoint>(socket);
  return endpoint != nullptr && endpoint->notice != nullptr && endpoint->notice->is_queued;
}

std::size_t SimKernel::vanished_removals() {
  const Core::Lock lock(core_.mutex);
  return vanished_removals_;
}

std::uint64_t SimKernel::dequeuing_notifies() {
  const Core::Lock lock(core_.mutex);
  return dequeuing_notifies_;
}

}  // namespace reactor::sim
