// SPDX-License-Identifier: MIT
//
// What happens between the two ends of a connection, and what AFD sees of it.
#include <algorithm>
#include <utility>

#include <reactor/sim/sim_net.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using Kind = Endpoint::Segment::Kind;

namespace {

constexpr auto STATUS_CONNECTION_REFUSED = static_cast<NTSTATUS>(0xC0000236);

}  // namespace

std::uint16_t SimNet::bind(const EndpointPtr& endpoint) {
  ports_[++last_port_] = endpoint;
  return last_port_;
}

SimNet::EndpointPtr SimNet::bound(std::uint16_t port) const {
  const auto found = ports_.find(port);
  const auto endpoint = found == ports_.end() ? nullptr : found->second.lock();
  return endpoint == nullptr || endpoint->closed ? nullptr : endpoint;
}

void SimNet::syn_arrives(const EndpointPtr& client, std::uint16_t port) {
  if (client->closed) return;
  const auto target = bound(port);
  if (target == nullptr || target->state != SocketState::listening) return refuse(client);
  if (target->backlog.size() >= target->backlog_max) {
    if (core_.is_windows()) return refuse(client);
    return;  // the two TCP stacks: Linux, and so Wine, sends nothing
  }
  const auto server = make(SocketState::connected);
  server->peer = client;
  client->peer = server;
  target->backlog.push_back(server);
  watcher_.socket_changed(*target);
  core_.after(core_.draw(core_.options.flight), [this, client] { establish(*client); });
}

void SimNet::refuse(const EndpointPtr& client) {
  const auto flight = core_.draw(core_.options.flight);
  const auto refusal = core_.draw(core_.options.refusal);
  core_.after(flight + refusal, [this, client] {
    if (client->closed) return;
    client->state = SocketState::failed;
    watcher_.socket_changed(*client);
  });
}

void SimNet::establish(Endpoint& client) {
  if (client.closed || client.state != SocketState::connecting) return;
  client.state = SocketState::connected;
  watcher_.socket_changed(client);
}

// In order: nothing overtakes what was sent before it.
void SimNet::queue(const EndpointPtr& from, Kind kind, std::size_t bytes) {
  from->last_due = std::max(from->last_due, core_.now() + core_.draw(core_.options.flight));
  from->under_way.push_back({kind, bytes, from->last_due});
  from->unsent += bytes;
  core_.after(from->last_due - core_.now(), [this, from] { pump(from); });
}

// Lets arrive what is due, as far as the other end has space.
void SimNet::pump(const EndpointPtr& from) {
  bool has_arrived = false;
  const auto to = from->peer.lock();
  while (!from->under_way.empty() && from->under_way.front().due <= core_.now()) {
    Endpoint::Segment& segment = from->under_way.front();
    if (to == nullptr || to->closed || to->reset) {
      // To a socket that is closed: the answer is RST, except for a FIN, which needs none.
      const bool is_missed = segment.kind != Kind::fin;
      from->under_way.clear();
      from->unsent = 0;
      if (is_missed) send_reset(from, core_.now());
      break;
    }
    establish(*to);  // the first thing that came from a server may be this
    if (segment.kind == Kind::data) {
      const std::size_t space = core_.options.receive_capacity - std::min(to->unread, core_.options.receive_capacity);
      const std::size_t bytes = std::min(space, segment.bytes);
      to->unread += bytes;
      from->unsent -= bytes;
      segment.bytes -= bytes;
      has_arrived = has_arrived || bytes > 0;
      if (segment.bytes > 0) break;  // it goes on when the other end has read
    } else {
      if (segment.kind == Kind::fin) to->fin = true;
      if (segment.kind == Kind::urgent) to->urgent++;
      has_arrived = true;
    }
    from->under_way.pop_front();
  }
  if (from->closed && from->under_way.empty()) std::erase(lingering_, from);
  if (has_arrived) {
    watcher_.socket_changed(*to);
    watcher_.socket_changed(*from);
  }
}

void SimNet::send_reset(const EndpointPtr& to, std::chrono::nanoseconds not_before) {
  const auto due = std::max(not_before, core_.now() + core_.draw(core_.options.flight));
  core_.after(due - core_.now(), [this, to] {
    if (to->closed || to->reset) return;
    if (to->state == SocketState::connecting) return refuse(to);
    to->reset = true;
    to->under_way.clear();
    to->unsent = 0;
    // Fact reset.behind_data: Windows throws away what is unread, Wine keeps it.
    if (core_.is_windows()) to->unread = 0;
    // A poll that was pending has been seen to get ABORT alone on Windows when it asked for neither SEND nor CONNECT;
    // what one gets that asked for them is not known.
    if (!core_.is_windows() || core_.random.below(2) == 0) to->reset_adds = AFD_POLL_SEND | AFD_POLL_CONNECT;
    watcher_.socket_changed(*to);
  });
}

// The last handle was closed.
void SimNet::end(const EndpointPtr& endpoint, bool abortive) {
  endpoint->closed = true;
  watcher_.socket_closed(*endpoint);
  if (endpoint->port != 0) ports_.erase(endpoint->port);
  for (const auto& waiting : std::exchange(endpoint->backlog, {})) end(waiting, true);
  if (endpoint->state != SocketState::connected || endpoint->reset) {
    endpoint->under_way.clear();
    if (const auto peer = endpoint->peer.lock(); peer != nullptr && !endpoint->reset) send_reset(peer, core_.now());
    return;
  }
  if (abortive || endpoint->unread > 0) {
    endpoint->under_way.clear();
    if (const auto peer = endpoint->peer.lock()) send_reset(peer, endpoint->last_due);
    return;
  }
  lingering_.push_back(endpoint);
  if (!std::exchange(endpoint->shut, true)) queue(endpoint, Kind::fin, 0);
  pump(endpoint);
}

ULONG SimNet::events_of(const Endpoint& endpoint) const {
  const bool windows = core_.is_windows();
  switch (endpoint.state) {
    case SocketState::not_afd:
    case SocketState::fresh:
    case SocketState::connecting: return 0;  // fact never_connected.mask
    case SocketState::failed: return AFD_POLL_CONNECT_FAIL;
    case SocketState::listening: return endpoint.backlog.empty() ? 0 : AFD_POLL_ACCEPT;
    case SocketState::datagram: {
      const bool has_news = !endpoint.datagrams.empty() || (windows && endpoint.unreachable);
      return AFD_POLL_SEND | (has_news ? AFD_POLL_RECEIVE : 0);
    }
    case SocketState::connected: break;
  }
  if (endpoint.reset) return AFD_POLL_ABORT | AFD_POLL_SEND | AFD_POLL_CONNECT;  // fact reset.mask
  ULONG events = AFD_POLL_CONNECT;  // fact connected.again: it never goes away
  if (endpoint.unread > 0) events |= AFD_POLL_RECEIVE;
  if (endpoint.urgent > 0) events |= AFD_POLL_RECEIVE_EXPEDITED;
  if (endpoint.unsent < core_.options.send_capacity) events |= AFD_POLL_SEND;
  // Facts fin.data and fin.behind_data: under Wine when nothing is left to read.
  if (endpoint.fin && (windows || endpoint.unread == 0)) events |= AFD_POLL_DISCONNECT;
  return events;
}

NTSTATUS SimNet::status_of(const Endpoint& endpoint, ULONG events) {
  const bool has_failed = endpoint.state == SocketState::failed && (events & AFD_POLL_CONNECT_FAIL) != 0;
  return has_failed ? STATUS_CONNECTION_REFUSED : STATUS_SUCCESS;
}

}  // namespace reactor::sim
