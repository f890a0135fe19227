// SPDX-License-Identifier: MIT
//
// What a program does with sockets, whatever their numbers. sim_wire.cpp is what happens between two of them.
#include <reactor/sim/sim_stack.hpp>

#include <algorithm>

namespace reactor::sim {

bool Stack::has_address(const Name& at) const noexcept {
  return at.is_loopback() || std::ranges::any_of(addresses, [&](const Name& own) { return own.has_ip_of(at); });
}

EndpointPtr Stack::make(SocketState state) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->id = ++last_id_;
  endpoint->state = state;
  endpoint->stack = this;
  endpoint->send_capacity = core_.options.send_capacity;
  endpoint->receive_capacity = core_.options.receive_capacity;
  if (network_ == nullptr) return endpoint;
  if (made_.size() >= made_at_last_sweep_) {
    std::erase_if(made_, [](const auto& one) { return one.expired(); });
    made_at_last_sweep_ = 2 * made_.size() + 64;
  }
  made_.push_back(endpoint);
  return endpoint;
}

// Whether another socket has what `at` names.
bool Stack::conflicts(const Endpoint& endpoint, const Name& at) const {
  const bool is_stream = endpoint.state != SocketState::datagram;
  const auto found = ports_.find(port_key(is_stream, at.port));
  if (found == ports_.end()) return false;
  return std::ranges::any_of(found->second, [&](const auto& weak) {
    const auto other = weak.lock();
    if (other == nullptr || other->closed || (other->shares_port && endpoint.shares_port)) return false;
    if (other->local.kind != at.kind && !other->is_dual && !endpoint.is_dual) return false;
    return other->local.is_any() || at.is_any() || other->local.has_ip_of(at);
  });
}

std::uint16_t Stack::free_port(const Endpoint& endpoint, const Name& at) {
  constexpr std::uint16_t first = 32768, last = 60999;
  Name tried = at;
  do {
    last_port_ = last_port_ < first || last_port_ >= last ? first : static_cast<std::uint16_t>(last_port_ + 1);
    tried.port = last_port_;
  } while (conflicts(endpoint, tried));
  return last_port_;
}

void Stack::enter(const EndpointPtr& endpoint) {
  auto& there = ports_[port_key(endpoint->state != SocketState::datagram, endpoint->local.port)];
  std::erase_if(there, [](const auto& weak) { return weak.expired() || weak.lock()->closed; });
  there.push_back(endpoint);
  endpoint->port = endpoint->local.port;
}

Result<> Stack::bind(const EndpointPtr& endpoint, const Name& at) {
  if (endpoint->local.kind != Name::Kind::none) return failure(std::errc::invalid_argument);
  if (at.kind == Name::Kind::path) {
    const auto found = paths_.find(at.path);
    const auto other = found == paths_.end() ? nullptr : found->second.lock();
    if (other != nullptr && !other->closed) return failure(std::errc::address_in_use);
    endpoint->local = at;
    paths_[at.path] = endpoint;
    return {};
  }
  if (!at.is_any() && !has_address(at)) return failure(std::errc::address_not_available);
  Name wanted = at;
  if (at.port == 0) {
    wanted.port = free_port(*endpoint, at);
  } else if (conflicts(*endpoint, at)) {
    return failure(std::errc::address_in_use);
  }
  endpoint->local = wanted;
  enter(endpoint);
  return {};
}

std::uint16_t Stack::bind_somewhere(const EndpointPtr& endpoint) {
  endpoint->local.kind = Name::Kind::ipv4;
  endpoint->local.port = ++last_port_;
  enter(endpoint);
  return last_port_;
}

Result<> Stack::listen(const EndpointPtr& endpoint, int backlog) {
  if (endpoint->state != SocketState::fresh) return failure(std::errc::invalid_argument);
  if (endpoint->local.kind == Name::Kind::none) return failure(std::errc::invalid_argument);
  endpoint->state = SocketState::listening;
  // Linux takes one more.
  endpoint->backlog_max = static_cast<std::size_t>(std::max(backlog, 1)) + (core_.is_windows() ? 0 : 1);
  return {};
}

EndpointPtr Stack::bound(bool is_stream, const Name& to, const Name& from) {
  const auto found = ports_.find(port_key(is_stream, to.port));
  if (found == ports_.end()) return nullptr;
  std::vector<EndpointPtr> best;
  int best_rank = -1;
  for (const auto& weak : found->second) {
    const auto endpoint = weak.lock();
    if (endpoint == nullptr || endpoint->closed) continue;
    if (is_stream && endpoint->state != SocketState::listening) continue;
    const Name& at = endpoint->local;
    if (at.kind != to.kind && !(endpoint->is_dual && at.is_any())) continue;
    if (!at.is_any() && !at.has_ip_of(to)) continue;
    const bool is_connected = !is_stream && endpoint->remote.kind != Name::Kind::none;
    if (is_connected && endpoint->remote != from) continue;
    const int rank = (is_connected ? 2 : 0) + (at.is_any() ? 0 : 1);
    if (rank > best_rank) best.clear();
    if (rank >= best_rank) best.push_back(endpoint);
    best_rank = std::max(best_rank, rank);
  }
  if (best.empty()) return nullptr;
  return best.size() == 1 ? best.front() : best[core_.random.below(best.size())];
}

Stack* Stack::route(const Name& to) {
  if (network_ == nullptr || has_address(to)) return this;
  return network_->find(to);
}

// Where a socket that is not bound sends from.
Result<Name> Stack::source_for(const Endpoint& endpoint, const Name& to) const {
  Name source = endpoint.local;
  const std::uint16_t port = source.port;
  if (source.kind == Name::Kind::none || source.is_any()) {
    const auto own = std::ranges::find(addresses, to.kind, &Name::kind);
    if (to.is_loopback() || network_ == nullptr) {
      source = to;
    } else if (own != addresses.end()) {
      source = *own;
    } else {
      return failure(std::errc::network_unreachable);
    }
    source.port = port;
  }
  return source;
}

Result<> Stack::connect(const EndpointPtr& endpoint, const Name& to) {
  if (endpoint->state == SocketState::datagram) {
    if (endpoint->local.kind == Name::Kind::none || endpoint->local.is_any()) {
      const auto source = source_for(*endpoint, to);
      if (!source) return failure(source.error());
      const bool is_bound = endpoint->local.kind != Name::Kind::none;
      endpoint->local = *source;
      if (!is_bound) endpoint->local.port = free_port(*endpoint, *source);
      if (!is_bound) enter(endpoint);
    }
    endpoint->remote = to;
    return {};
  }
  if (endpoint->state == SocketState::connected) return failure(std::errc::already_connected);
  if (endpoint->state == SocketState::connecting) return failure(std::errc::connection_already_in_progress);
  if (endpoint->state == SocketState::listening) return failure(std::errc::invalid_argument);
  if (to.kind == Name::Kind::path) {
    const auto found = paths_.find(to.path);
    if (found == paths_.end()) {
      return failure(core_.is_epoll() ? std::errc::no_such_file_or_directory : std::errc::network_down);
    }
    const auto listener = found->second.lock();
    if (listener == nullptr || listener->state != SocketState::listening || listener->closed) {
      return failure(std::errc::connection_refused);
    }
    if (listener->backlog.size() >= listener->backlog_max) return failure(std::errc::operation_would_block);
    const auto server = make(SocketState::connected);
    endpoint->state = SocketState::connected;
    endpoint->remote = server->local = listener->local;
    server->is_unix = true;
    server->remote = endpoint->local;
    server->remote.kind = Name::Kind::path;  // of a client without a name an empty one
    join(endpoint, server);
    queue_connection(*listener, server);
    return {};
  }
  Name target = to;
  if (target.is_any()) {  // as both systems have it: this host
    if (target.kind == Name::Kind::ipv4) target.ip = {127, 0, 0, 1};
    if (target.kind == Name::Kind::ipv6) target.ip[15] = 1;
  }
  auto source = source_for(*endpoint, target);
  if (!source) return failure(source.error());
  if (source->port == 0) source->port = free_port(*endpoint, *source);
  endpoint->local = *source;
  endpoint->port = source->port;
  endpoint->remote = target;
  endpoint->state = SocketState::connecting;
  endpoint->error = {};
  endpoint->retries = 0;
  send_syn(endpoint, target);
  return {};
}

void Stack::connect_to_port(const EndpointPtr& endpoint, std::uint16_t port) {
  Name to;
  to.kind = Name::Kind::ipv4;
  to.port = port;
  endpoint->state = SocketState::connecting;
  send_syn(endpoint, to);
}

void Stack::join(const EndpointPtr& a, const EndpointPtr& b) {
  a->peer = b;
  b->peer = a;
  a->peer_stack = b->stack;
  b->peer_stack = a->stack;
}

Result<EndpointPtr> Stack::accept(Endpoint& listener) {
  if (listener.state != SocketState::listening) return failure(std::errc::invalid_argument);
  if (listener.backlog.empty()) return failure(std::errc::operation_would_block);
  auto accepted = listener.backlog.front();
  listener.backlog.pop_front();
  return accepted;
}

Result<std::size_t> Stack::send(const EndpointPtr& endpoint, std::span<const std::byte> from, std::size_t bytes) {
  Endpoint& socket = *endpoint;
  if (socket.error != std::errc{} && core_.is_epoll()) return failure(std::exchange(socket.error, {}));
  if (socket.reset) {
    return failure(core_.is_epoll()                                             ? std::errc::broken_pipe
                   : core_.is_windows() && socket.error == std::errc::timed_out ? std::errc::timed_out
                                                                                : std::errc::connection_reset);
  }
  if (socket.shut) return failure(std::errc::broken_pipe);
  if (socket.state == SocketState::connecting && core_.is_epoll()) return failure(std::errc::operation_would_block);
  if (socket.state != SocketState::connected) {
    return failure(core_.is_epoll() ? std::errc::broken_pipe : std::errc::not_connected);
  }
  const std::size_t space = socket.send_capacity - std::min(socket.unsent, socket.send_capacity);
  const std::size_t taken = std::min(space, bytes);
  socket.wants_space = socket.wants_space || taken < bytes;
  if (space == 0) return failure(std::errc::operation_would_block);
  if (taken == 0) return std::size_t{0};
  if (const auto peer = socket.peer.lock(); peer != nullptr && !peer->closed && !from.empty()) {
    peer->incoming.append(from.first(taken));
  }
  if (network_ != nullptr) note(Fate::sent, Packet::data, socket.local, socket.remote, taken, from.first(taken));
  queue(endpoint, Endpoint::Segment::Kind::data, taken);
  return taken;
}

Result<> Stack::send_urgent(const EndpointPtr& endpoint, std::span<const std::byte> value) {
  if (endpoint->state != SocketState::connected || endpoint->shut || endpoint->reset) {
    return failure(std::errc::not_connected);
  }
  if (const auto peer = endpoint->peer.lock(); peer != nullptr && !peer->closed) peer->incoming.append(value);
  queue(endpoint, Endpoint::Segment::Kind::urgent, 0);
  return {};
}

Result<std::size_t> Stack::receive(Endpoint& from, std::span<std::byte> into, std::size_t bytes_max) {
  if (from.shut_read && core_.is_windows()) return failure(std::errc::broken_pipe);
  if (from.unread > 0) {
    const std::size_t bytes = std::min(from.unread, bytes_max);
    from.incoming.copy(into.first(std::min(bytes, into.size())));
    from.incoming.drop(bytes);
    from.unread -= bytes;
    if (from.urgent_inline) from.urgent = 0;
    if (const auto peer = from.peer.lock()) peer->stack->pump(peer);
    woken(from, static_cast<Wake>(0));  // under Wine a FIN shows now
    return bytes;
  }
  if (from.error != std::errc{} && core_.is_epoll()) return failure(std::exchange(from.error, {}));
  if (from.reset) {
    if (core_.is_epoll()) return std::size_t{0};
    // Fact reset.recv: Wine's own poll has taken the error.
    if (!core_.is_windows() && from.reset_is_reported) return std::size_t{0};
    return failure(from.error == std::errc::timed_out ? std::errc::timed_out : std::errc::connection_reset);
  }
  if (from.state == SocketState::connecting && core_.is_epoll()) return failure(std::errc::operation_would_block);
  if (from.state != SocketState::connected) return failure(std::errc::not_connected);
  if (from.fin || from.shut_read) return std::size_t{0};
  return failure(std::errc::operation_would_block);
}

Result<std::size_t> Stack::send_to(const EndpointPtr& endpoint, const Name& to, std::span<const std::byte> from,
                                   std::size_t bytes) {
  constexpr std::size_t longest = 65507;
  Endpoint& socket = *endpoint;
  if (socket.error != std::errc{} && core_.is_epoll()) return failure(std::exchange(socket.error, {}));
  if (socket.shut) return failure(std::errc::broken_pipe);
  if (bytes > longest) return failure(std::errc::message_size);
  const Name& target = to.kind == Name::Kind::none ? socket.remote : to;
  if (target.kind == Name::Kind::none) {
    return failure(core_.is_windows() ? std::errc::not_connected : std::errc::destination_address_required);
  }
  const auto source = source_for(socket, target);
  if (!source) return failure(source.error());
  if (socket.local.kind == Name::Kind::none) {
    socket.local = *source;
    std::ranges::fill(socket.local.ip, std::uint8_t{0});
    socket.local.port = free_port(socket, socket.local);
    enter(endpoint);
  }
  Name sender = *source;
  sender.port = socket.local.port;
  note(Fate::sent, Packet::datagram, sender, target, bytes, from);
  Stack* const there = route(target);
  if (there == nullptr) return bytes;
  std::vector<nanoseconds> transits;
  if (network_ == nullptr || there == this) {
    transits.push_back(transit(*there, bytes));
  } else {
    network_->datagram_transits(*this, *there, bytes, transits);
    if (transits.empty()) note(Fate::lost, Packet::datagram, sender, target, bytes, from);
  }
  for (const nanoseconds time : transits) {
    Endpoint::Datagram datagram{bytes, {from.begin(), from.end()}, sender};
    core_.after(time, [this, endpoint, there, target, datagram = std::move(datagram)] {
      datagram_arrives(endpoint, *there, target, datagram);
    });
  }
  return bytes;
}

Result<Stack::Received> Stack::receive_from(Endpoint& from) {
  if (from.shut_read && core_.is_windows()) return failure(std::errc::broken_pipe);
  if (from.error != std::errc{} && core_.is_epoll()) return failure(std::exchange(from.error, {}));
  if (std::exchange(from.unreachable, false) && core_.is_windows()) return failure(std::errc::connection_reset);
  if (from.datagrams.empty() && from.shut_read) return Received{.datagram = {}, .is_end = true};
  if (from.datagrams.empty()) return failure(std::errc::operation_would_block);
  Received received{.datagram = std::move(from.datagrams.front()), .is_end = false};
  from.datagrams.pop_front();
  from.datagram_bytes -= received.datagram.size;
  return received;
}

Result<> Stack::shutdown(const EndpointPtr& endpoint, Shutdown which) {
  Endpoint& socket = *endpoint;
  const bool reads = which != Shutdown::write, writes = which != Shutdown::read;
  if (socket.state == SocketState::datagram) {
    socket.shut_read = socket.shut_read || reads;
    socket.shut = socket.shut || writes;
    woken(socket, Wake::everything);
    if (socket.remote.kind == Name::Kind::none && !core_.is_windows()) return failure(std::errc::not_connected);
    return {};
  }
  if (socket.state == SocketState::listening && core_.is_epoll()) {
    if (!reads) return {};
    socket.state = SocketState::failed;  // no longer a listener
    auto waiting = std::exchange(socket.backlog, {});
    for (const auto& one : waiting.items()) end(one, true);
    woken(socket, Wake::everything);
    return {};
  }
  if (socket.state != SocketState::connected || socket.reset) return failure(std::errc::not_connected);
  socket.shut_read = socket.shut_read || reads;
  if (writes && !std::exchange(socket.shut, true)) {
    note(Fate::sent, Packet::fin, socket.local, socket.remote);
    queue(endpoint, Endpoint::Segment::Kind::fin, 0);
  }
  woken(socket, Wake::everything);
  return {};
}

void Stack::drop_handle(const EndpointPtr& endpoint, bool abortive) {
  if (--endpoint->handles == 0) end(endpoint, abortive || endpoint->aborts);
}

Result<std::error_code> Stack::take_error(Endpoint& endpoint) {
  // SO_ERROR has connects only; Wine's own poll has taken the error (fact reset.so_error).
  if (endpoint.reset && (core_.is_windows() || endpoint.reset_is_reported)) return std::error_code();
  const std::errc error = std::exchange(endpoint.error, {});
  if (error == std::errc{}) return std::error_code();
  return std::make_error_code(error);
}

void Stack::lose_all(bool resets) {
  for (const auto& weak : std::exchange(made_, {})) {
    const auto endpoint = weak.lock();
    if (endpoint == nullptr || endpoint->closed) continue;
    if (resets) {
      end(endpoint, true);
    } else {
      endpoint->closed = true;
      endpoint->under_way.clear();
      endpoint->backlog.clear();
      watcher_.socket_closed(*endpoint);
    }
  }
  lingering_.clear();
  ports_.clear();
  paths_.clear();
}

}  // namespace reactor::sim
