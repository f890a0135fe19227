// SPDX-License-Identifier: MIT
//
// What happens between the two ends of a connection. sim_endpoint.cpp is what AFD and epoll see of it.
#include <algorithm>
#include <utility>

#include <reactor/sim/sim_stack.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using namespace std::chrono_literals;

namespace {

// Retransmission: after 1, 2, 4 ... s of a SYN, 0.2, 0.4 ... s of data. Linux gives up after 6 SYNs (127 s) and 15
// sendings of data (15 minutes), Windows after 2 (21 s, with 3 s at first) and 5.
constexpr std::chrono::nanoseconds syn_timeout_linux = 1s, syn_timeout_windows = 3s, data_timeout = 200ms,
                                   data_timeout_max = 120s;

std::chrono::nanoseconds doubled(std::chrono::nanoseconds first, int times) {
  return first * (1LL << std::min(times, 20));
}

}  // namespace

std::chrono::nanoseconds Stack::transit(const Stack& to, std::size_t bytes) {
  if (network_ == nullptr) return core_.draw(core_.options.flight);
  return network_->transit(*this, to, bytes);
}

bool Stack::is_linked(const Stack& to) const {
  if (network_ == nullptr) return true;
  return is_up && to.is_up && (this == &to || network_->is_linked(*this, to));
}

void Stack::note(Fate fate, Packet packet, const Name& from, const Name& to, std::size_t bytes,
                 std::span<const std::byte> data) const {
  if (network_ != nullptr) network_->note(fate, packet, *this, from, to, bytes, data);
}

void Stack::send_syn(const EndpointPtr& client, const Name& to) {
  note(Fate::sent, Packet::syn, client->local, to);
  if (network_ == nullptr && to.port == unanswered_port) return;
  Stack* const there = route(to);
  if (network_ != nullptr && (there == nullptr || !is_linked(*there) || to.port == unanswered_port)) {
    return retry_syn(client, to);
  }
  client->peer_stack = there;
  core_.after(transit(*there, 0), [there, client, to] { there->syn_arrives(client, to); });
}

// A host that is alone never tries again: a test plays its peers.
void Stack::retry_syn(const EndpointPtr& client, const Name& to) {
  if (network_ == nullptr) return;
  const bool windows = core_.is_windows();
  const int retries_max = windows ? 2 : 6;
  const auto wait = doubled(windows ? syn_timeout_windows : syn_timeout_linux, client->retries);
  const bool is_last = client->retries++ >= retries_max;
  core_.after(wait, [this, client, to, is_last] {
    if (client->closed || client->state != SocketState::connecting) return;
    if (is_last) return fail_connect(*client, std::errc::timed_out);
    send_syn(client, to);
  });
}

void Stack::syn_arrives(const EndpointPtr& client, const Name& to) {
  if (client->closed || client->state != SocketState::connecting || client->peer.lock() != nullptr) return;
  // What arrives at a host that is off, or whose answers do not arrive.
  if (!client->stack->is_linked(*this) || !is_linked(*client->stack)) return client->stack->retry_syn(client, to);
  const auto target = bound(true, to, client->local);
  if (target == nullptr) return refuse(client);
  note(Fate::delivered, Packet::syn, client->local, to);
  if (target->backlog.size() >= target->backlog_max) {
    if (core_.is_windows()) return refuse(client);
    return client->stack->retry_syn(client, to);  // the two TCP stacks: Linux, and so Wine, sends nothing
  }
  const auto server = make(SocketState::connected);
  server->local = to;
  server->remote = client->local;
  server->is_ipv6 = target->is_ipv6;
  server->is_dual = target->is_dual;
  join(client, server);
  queue_connection(*target, server);
  const auto time = transit(*client->stack, 0);
  server->last_due = core_.now() + time;  // what the server sends does not overtake it
  core_.after(time, [client] {
    if (client->closed) return;
    client->stack->note(Fate::delivered, Packet::syn_ack, client->remote, client->local);
    client->stack->establish(*client);
  });
}

void Stack::queue_connection(Endpoint& listener, const EndpointPtr& server) {
  if (listener.pending_accepts > 0) {
    listener.pending_accepts--;
    listener.swallowed.push_back(server);
    return;
  }
  listener.backlog.push_back(server);
  woken(listener, Wake::input);
}

void Stack::refuse(const EndpointPtr& client) {
  const auto flight = transit(*client->stack, 0);
  const auto refusal = core_.draw(core_.options.refusal);
  core_.after(flight + refusal, [client] { client->stack->fail_connect(*client, std::errc::connection_refused); });
}

void Stack::fail_connect(Endpoint& client, std::errc why) {
  if (client.closed || client.state != SocketState::connecting) return;
  note(Fate::delivered, Packet::reset, client.remote, client.local);
  client.state = SocketState::failed;
  client.error = why;
  woken(client, Wake::everything);
}

void Stack::establish(Endpoint& client) {
  if (client.closed || client.state != SocketState::connecting) return;
  client.state = SocketState::connected;
  client.received_at = core_.now();
  client.retries = 0;
  woken(client, Wake::everything);
}

// In order: nothing overtakes what was sent before it.
void Stack::queue(const EndpointPtr& from, Kind kind, std::size_t bytes) {
  const auto time = network_ == nullptr || from->peer_stack == nullptr ? core_.draw(core_.options.flight)
                                                                       : transit(*from->peer_stack, bytes);
  from->last_due = std::max(from->last_due, core_.now() + time);
  from->under_way.push_back({kind, bytes, from->last_due});
  from->unsent += bytes;
  core_.after(from->last_due - core_.now(), [this, from] { pump(from); });
}

// What is not acknowledged is sent again later. False: it has been given up.
bool Stack::retry(const EndpointPtr& from) {
  const int retries_max = core_.is_windows() ? 5 : 15;
  if (from->retries++ >= retries_max) {
    break_off(*from, std::errc::timed_out);
    return false;
  }
  const auto wait = std::min<nanoseconds>(doubled(data_timeout, from->retries - 1), data_timeout_max);
  from->last_due = std::max(from->last_due, core_.now() + wait);
  for (auto& segment : from->under_way.items()) segment.due = std::max(segment.due, core_.now() + wait);
  note(Fate::lost, Packet::data, from->local, from->remote, from->under_way.front().bytes);
  core_.after(wait, [this, from] { pump(from); });
  return true;
}

// Lets arrive what is due, as far as the other end has space.
void Stack::pump(const EndpointPtr& from) {
  std::uint8_t arrived = 0;
  const auto to = from->peer.lock();
  while (!from->under_way.empty() && from->under_way.front().due <= core_.now()) {
    Endpoint::Segment& segment = from->under_way.front();
    if (from->peer_stack != nullptr && !is_linked(*from->peer_stack)) {
      static_cast<void>(retry(from));
      break;
    }
    from->retries = 0;
    if (to == nullptr || to->closed || to->reset) {
      // To a socket that is closed: the answer is RST, except for a FIN, which needs none.
      const bool is_missed = segment.kind != Kind::fin || network_ != nullptr;
      from->under_way.clear();
      from->unsent = from->unconfirmed = 0;
      if (is_missed) send_reset(from, core_.now());
      break;
    }
    to->stack->establish(*to);  // the first thing that came from a server may be this
    to->received_at = core_.now();
    if (segment.kind == Kind::data) {
      const std::size_t space = to->receive_capacity - std::min(to->unread, to->receive_capacity);
      const std::size_t bytes = std::min(space, segment.bytes);
      arrive(*from, *to, segment, bytes);
      if (bytes > 0) arrived |= std::to_underlying(Wake::input);
      if (segment.bytes > 0) break;  // it goes on when the other end has read
    } else {
      arrive(*from, *to, segment, 0);
      arrived |= std::to_underlying(segment.kind == Kind::fin ? Wake::everything : Wake::urgent);
    }
    from->under_way.pop_front();
  }
  if (from->closed && from->under_way.empty()) lingering_.erase(from);
  if (from->unconfirmed > 0 && from->unconfirmed_times == 0) retry_unconfirmed(from);
  if (arrived == 0) return;
  to->stack->woken(*to, static_cast<Wake>(arrived));
  const bool is_wanted = from->wants_space && is_writable(*from);
  if (is_wanted) from->wants_space = false;
  woken(*from, is_wanted ? Wake::output : static_cast<Wake>(0));
}

// The acknowledgement of all that has arrived, if the way back is open.
bool Stack::confirm(Endpoint& from) {
  if (from.peer_stack != nullptr && !from.peer_stack->is_linked(*this)) return false;
  from.unsent -= from.unconfirmed;
  from.unconfirmed = 0;
  from.unconfirmed_times = 0;
  return true;
}

// As retry, of data that has arrived.
void Stack::retry_unconfirmed(const EndpointPtr& from) {
  const auto wait = std::min<nanoseconds>(doubled(data_timeout, from->unconfirmed_times), data_timeout_max);
  from->unconfirmed_times++;
  core_.after(wait, [this, from] {
    if (from->unconfirmed == 0 || from->reset) return;
    if (is_linked(*from->peer_stack) && confirm(*from)) {
      if (is_writable(*from)) woken(*from, Wake::output);
    } else if (from->unconfirmed_times > (core_.is_windows() ? 5 : 15)) {
      break_off(*from, std::errc::timed_out);
    } else {
      retry_unconfirmed(from);
    }
  });
}

void Stack::arrive(Endpoint& from, Endpoint& to, Endpoint::Segment& segment, std::size_t bytes) {
  switch (segment.kind) {
    case Kind::data:
      to.unread += bytes;
      from.unconfirmed += bytes;
      segment.bytes -= bytes;
      confirm(from);
      if (bytes > 0) to.stack->note(Fate::delivered, Packet::data, from.local, from.remote, bytes);
      if (bytes > 0 && to.pending_receives > 0) {
        to.pending_receives--;
        to.incoming.drop(std::exchange(to.unread, 0));
      }
      break;
    case Kind::fin:
      to.fin = true;
      to.stack->note(Fate::delivered, Packet::fin, from.local, from.remote);
      break;
    case Kind::urgent:
      to.urgent++;
      // A byte of the stream, which is not among the others unless the program wants that.
      if (to.urgent_inline) {
        to.unread++;
      } else {
        to.incoming.erase(to.unread);
      }
      break;
  }
}

void Stack::send_reset(const EndpointPtr& to, nanoseconds not_before) {
  Stack& there = *to->stack;
  const auto time = network_ == nullptr || to->peer_stack == nullptr ? core_.draw(core_.options.flight)
                                                                     : to->peer_stack->transit(there, 0);
  const auto due = std::max(not_before, core_.now() + time);
  core_.after(due - core_.now(), [to] {
    if (to->closed || to->reset) return;
    // Of a RST that is lost the peer learns when it sends something.
    if (to->peer_stack != nullptr && to->stack->network_ != nullptr && to->peer_stack->is_up &&
        !to->peer_stack->is_linked(*to->stack)) {
      return;
    }
    if (to->state == SocketState::connecting) return to->stack->refuse(to);
    to->stack->note(Fate::delivered, Packet::reset, to->remote, to->local);
    to->stack->break_off(*to, std::errc::connection_reset);
  });
}

// The connection has ended, and this is why.
void Stack::break_off(Endpoint& socket, std::errc why) {
  if (socket.closed || socket.reset) return;
  socket.reset = true;
  socket.error = why;
  socket.under_way.clear();
  socket.unsent = socket.unconfirmed = 0;
  // Fact reset.behind_data: Windows throws away what is unread, Wine keeps it.
  if (core_.is_windows()) socket.unread = 0;
  socket.incoming.keep_first(socket.unread);
  // A poll that was pending has been seen to get ABORT alone on Windows when it asked for neither SEND nor CONNECT;
  // what one gets that asked for them is not known.
  if (!core_.is_windows() || core_.random.below(2) == 0) socket.reset_adds = AFD_POLL_SEND | AFD_POLL_CONNECT;
  woken(socket, Wake::everything);
}

// The last handle was closed.
void Stack::end(const EndpointPtr& endpoint, bool abortive) {
  endpoint->closed = true;
  watcher_.socket_closed(*endpoint);
  auto waiting = std::exchange(endpoint->backlog, {});
  for (const auto& one : waiting.items()) end(one, true);
  for (const auto& accepted : std::exchange(endpoint->swallowed, {})) end(accepted, true);
  const auto peer = endpoint->peer.lock();
  if (endpoint->state != SocketState::connected || endpoint->reset) {
    endpoint->under_way.clear();
    if (peer != nullptr && !endpoint->reset) send_reset(peer, core_.now());
    return;
  }
  if (abortive || endpoint->unread > 0) {
    endpoint->under_way.clear();
    note(Fate::sent, Packet::reset, endpoint->local, endpoint->remote);
    if (peer != nullptr) send_reset(peer, endpoint->last_due);
    return;
  }
  lingering_.insert(endpoint);
  if (!std::exchange(endpoint->shut, true)) {
    note(Fate::sent, Packet::fin, endpoint->local, endpoint->remote);
    queue(endpoint, Kind::fin, 0);
  }
  pump(endpoint);
}

void Stack::set_keepalive(const EndpointPtr& endpoint) {
  endpoint->keepalive.turn++;
  endpoint->keepalive.probes = 0;
  if (endpoint->keepalive.on && network_ != nullptr) probe(endpoint);
}

// One timer for each connection, which checks whether no packet of the peer has come for the keep-alive time.
void Stack::probe(const EndpointPtr& endpoint) {
  const auto& keepalive = endpoint->keepalive;
  const nanoseconds wait = keepalive.probes > 0
                               ? nanoseconds(keepalive.interval)
                               : std::max<nanoseconds>(endpoint->received_at + keepalive.idle - core_.now(), 1ms);
  core_.after(wait, [this, endpoint, turn = keepalive.turn] {
    Endpoint& socket = *endpoint;
    if (socket.keepalive.turn != turn || socket.closed || socket.reset) return;
    if (socket.state != SocketState::connected || core_.now() < socket.received_at + socket.keepalive.idle) {
      socket.keepalive.probes = 0;
      return probe(endpoint);
    }
    const auto peer = socket.peer.lock();
    const bool is_answered =
        socket.peer_stack != nullptr && is_linked(*socket.peer_stack) && socket.peer_stack->is_linked(*this);
    if (is_answered && (peer == nullptr || peer->closed || peer->reset)) return send_reset(endpoint, core_.now());
    if (is_answered) {
      socket.received_at = core_.now();
      socket.keepalive.probes = 0;
    } else if (++socket.keepalive.probes > (core_.is_windows() ? 10 : 9)) {
      return break_off(socket, std::errc::timed_out);
    }
    probe(endpoint);
  });
}

void Stack::datagram_arrives(const EndpointPtr& from, Stack& there, const Name& to, Endpoint::Datagram datagram) {
  if (!is_linked(there)) return note(Fate::lost, Packet::datagram, datagram.from, to, datagram.size);
  const auto target = there.bound(false, to, datagram.from);
  if (target != nullptr) {
    // A datagram that finds the buffer full is lost.
    constexpr std::size_t overhead = 256;
    if (network_ != nullptr && !target->datagrams.empty() &&
        target->datagram_bytes + overhead * target->datagrams.size() >= 4 * target->receive_capacity) {
      return note(Fate::lost, Packet::datagram, datagram.from, to, datagram.size);
    }
    there.note(Fate::delivered, Packet::datagram, datagram.from, to, datagram.size, datagram.bytes);
    target->datagram_bytes += datagram.size;
    target->datagrams.push_back(std::move(datagram));
    return there.woken(*target, Wake::input);
  }
  if (network_ != nullptr && !there.is_linked(*this)) return;
  core_.after(there.transit(*this, 0), [this, from, to] {
    if (from->closed) return;
    note(Fate::delivered, Packet::unreachable, to, from->local);
    from->unreachable = true;
    // Linux reports it to a connected socket only.
    if (core_.is_epoll() && from->remote.kind != Name::Kind::none) from->error = std::errc::connection_refused;
    woken(*from, Wake::everything);
  });
}

}  // namespace reactor::sim
