// SPDX-License-Identifier: MIT
//
// What a program does with sockets, and the truth about them. sim_wire.cpp is what happens in between.
#include <reactor/sim/sim_net.hpp>

#include <algorithm>

namespace reactor::sim {

using namespace reactor::nt;
using reactor::failure;
using Kind = Endpoint::Segment::Kind;

SimNet::EndpointPtr SimNet::make(SocketState state) {
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->id = ++last_id_;
  endpoint->state = state;
  return endpoint;
}

SocketNumber SimNet::open(const EndpointPtr& endpoint) {
  endpoint->handles++;
  return core_.handles.open(endpoint);
}

SimNet::EndpointPtr SimNet::find(SocketNumber socket) {
  const Object& object = core_.handles.at(socket);
  if (const auto* layered = std::get_if<Layered>(&object)) return core_.handles.find<Endpoint>(layered->base);
  return core_.handles.find<Endpoint>(socket);
}

void SimNet::note(const char* what, SocketNumber socket, std::size_t value) {
  if (core_.is_traced()) core_.trace("net " + hex(socket) + " " + what + " " + std::to_string(value));
}

SocketNumber SimNet::tcp() {
  return locked([&] { return open(make(SocketState::fresh)); });
}

SocketNumber SimNet::udp() {
  return locked([&] {
    const auto endpoint = make(SocketState::datagram);
    endpoint->port = bind(endpoint);
    return open(endpoint);
  });
}

SocketNumber SimNet::listener(std::size_t backlog) {
  return locked([&] {
    const auto endpoint = make(SocketState::listening);
    endpoint->backlog_max = backlog;
    endpoint->port = bind(endpoint);
    return open(endpoint);
  });
}

std::pair<SocketNumber, SocketNumber> SimNet::tcp_pair() {
  return locked([&] {
    const auto a = make(SocketState::connected), b = make(SocketState::connected);
    a->peer = b;
    b->peer = a;
    const SocketNumber first = open(a);
    return std::pair(first, open(b));
  });
}

SocketNumber SimNet::duplicate(SocketNumber socket) {
  return locked([&]() -> SocketNumber {
    const auto endpoint = find(socket);
    return endpoint == nullptr ? 0 : open(endpoint);
  });
}

SocketNumber SimNet::layered(SocketNumber base) {
  return locked([&] { return core_.handles.open(Layered{base}); });
}

SocketNumber SimNet::hidden() { return layered(0); }

SocketNumber SimNet::not_afd() {
  return locked([&] { return open(make(SocketState::not_afd)); });
}

std::uint16_t SimNet::port_of(SocketNumber socket) {
  return locked([&]() -> std::uint16_t {
    const auto endpoint = find(socket);
    return endpoint == nullptr ? std::uint16_t{0} : endpoint->port;
  });
}

SimNet::Result<> SimNet::connect(SocketNumber socket, std::uint16_t port) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state == SocketState::connected) return failure(std::errc::already_connected);
    if (endpoint->state != SocketState::fresh && endpoint->state != SocketState::failed) {
      return failure(std::errc::invalid_argument);
    }
    note("connect to port", socket, port);
    endpoint->state = SocketState::connecting;
    if (port == unanswered_port) return {};
    core_.after(core_.draw(core_.options.flight), [this, endpoint, port] { syn_arrives(endpoint, port); });
    return {};
  });
}

SimNet::Result<SocketNumber> SimNet::accept(SocketNumber socket) {
  return locked([&]() -> Result<SocketNumber> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::listening) return failure(std::errc::invalid_argument);
    if (endpoint->backlog.empty()) return failure(std::errc::operation_would_block);
    const auto accepted = endpoint->backlog.front();
    endpoint->backlog.pop_front();
    const SocketNumber number = open(accepted);
    note("accept", socket, number);
    return number;
  });
}

SimNet::Result<std::size_t> SimNet::send(SocketNumber socket, std::size_t bytes) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::connected) return failure(std::errc::not_connected);
    if (endpoint->reset) return failure(std::errc::connection_reset);
    if (endpoint->shut) return failure(std::errc::broken_pipe);
    const std::size_t space = core_.options.send_capacity - std::min(endpoint->unsent, core_.options.send_capacity);
    if (space == 0) return failure(std::errc::operation_would_block);
    const std::size_t taken = std::min(space, bytes);
    note("send", socket, taken);
    if (taken > 0) queue(endpoint, Kind::data, taken);
    return taken;
  });
}

SimNet::Result<std::size_t> SimNet::send_to(SocketNumber socket, std::uint16_t port, std::size_t bytes) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::datagram) return failure(std::errc::invalid_argument);
    note("send to port", socket, port);
    core_.after(core_.draw(core_.options.flight), [this, endpoint, port, bytes] {
      const auto target = bound(port);
      if (target != nullptr && target->state == SocketState::datagram) {
        target->datagrams.push_back(bytes);
        watcher_.socket_changed(*target);
        return;
      }
      core_.after(core_.draw(core_.options.flight), [this, endpoint] {
        endpoint->unreachable = true;
        watcher_.socket_changed(*endpoint);
      });
    });
    return bytes;
  });
}

SimNet::Result<std::size_t> SimNet::recv(SocketNumber socket, std::size_t max) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    Endpoint& from = *endpoint;
    if (from.state == SocketState::datagram) {
      if (std::exchange(from.unreachable, false) && core_.is_windows()) return failure(std::errc::connection_reset);
      if (from.datagrams.empty()) return failure(std::errc::operation_would_block);
      const std::size_t bytes = from.datagrams.front();
      from.datagrams.pop_front();
      return std::min(bytes, max);
    }
    if (from.state != SocketState::connected) return failure(std::errc::not_connected);
    if (from.unread > 0) {
      const std::size_t bytes = std::min(from.unread, max);
      from.unread -= bytes;
      note("recv", socket, bytes);
      if (const auto peer = from.peer.lock()) pump(peer);
      watcher_.socket_changed(from);  // under Wine a FIN shows now
      return bytes;
    }
    if (from.reset) {
      // Fact reset.recv: Wine's own poll has taken the error.
      if (!core_.is_windows() && from.reset_is_reported) return std::size_t{0};
      return failure(std::errc::connection_reset);
    }
    if (from.fin) return std::size_t{0};
    return failure(std::errc::operation_would_block);
  });
}

SimNet::Result<> SimNet::send_urgent(SocketNumber socket) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::connected || endpoint->shut || endpoint->reset) {
      return failure(std::errc::not_connected);
    }
    note("send urgent", socket, 1);
    queue(endpoint, Kind::urgent, 0);
    return {};
  });
}

SimNet::Result<> SimNet::recv_urgent(SocketNumber socket) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->urgent == 0) return failure(std::errc::operation_would_block);
    endpoint->urgent--;
    return {};
  });
}

SimNet::Result<> SimNet::shutdown(SocketNumber socket) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::connected || endpoint->reset) return failure(std::errc::not_connected);
    note("shutdown", socket, 0);
    if (!std::exchange(endpoint->shut, true)) queue(endpoint, Kind::fin, 0);
    return {};
  });
}

SimNet::Result<> SimNet::reset(SocketNumber socket) { return close_number(socket, true); }
SimNet::Result<> SimNet::close(SocketNumber socket) { return close_number(socket, false); }

SimNet::Result<> SimNet::close_number(SocketNumber socket, bool abortive) {
  return locked([&]() -> Result<> {
    SocketNumber number = socket;
    if (const auto* layered = std::get_if<Layered>(&core_.handles.at(socket))) {
      number = layered->base;
      core_.handles.close(socket);
      if (number == 0) return {};
    }
    const auto endpoint = core_.handles.find<Endpoint>(number);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    note(abortive ? "reset; handles left" : "close; handles left", socket,
         static_cast<std::size_t>(endpoint->handles - 1));
    core_.handles.close(number);
    drop_handle(endpoint, abortive);
    return {};
  });
}

void SimNet::drop_handle(const EndpointPtr& endpoint, bool abortive) {
  if (--endpoint->handles == 0) end(endpoint, abortive);
}

SimNet::Result<> SimNet::inherit(SocketNumber socket) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    endpoint->handles++;
    inherited_.push_back(endpoint);
    note("inherit; handles now", socket, static_cast<std::size_t>(endpoint->handles));
    return {};
  });
}

void SimNet::end_child() {
  locked([&] {
    if (core_.is_traced()) core_.trace("net the child ends");
    for (const auto& endpoint : std::exchange(inherited_, {})) drop_handle(endpoint, false);
    return true;
  });
}

std::size_t SimNet::inherited() {
  return locked([&] { return inherited_.size(); });
}

bool SimNet::is_open(SocketNumber socket) {
  return locked([&] { return find(socket) != nullptr; });
}

bool SimNet::readable(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return false;
    switch (endpoint->state) {
      case SocketState::listening: return !endpoint->backlog.empty();
      case SocketState::datagram: return !endpoint->datagrams.empty() || (endpoint->unreachable && core_.is_windows());
      case SocketState::connected: return endpoint->unread > 0 || endpoint->fin || endpoint->reset;
      default: return endpoint->state == SocketState::failed;
    }
  });
}

bool SimNet::writable(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return false;
    switch (endpoint->state) {
      case SocketState::datagram:
      case SocketState::failed: return true;
      case SocketState::connected: return endpoint->reset || endpoint->unsent < core_.options.send_capacity;
      default: return false;
    }
  });
}

bool SimNet::priority(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    return endpoint != nullptr && endpoint->urgent > 0;
  });
}

bool SimNet::failed(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    return endpoint != nullptr && (endpoint->reset || endpoint->state == SocketState::failed);
  });
}

ULONG SimNet::events(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    return endpoint == nullptr ? ULONG{0} : events_of(*endpoint);
  });
}

std::uint64_t SimNet::identity(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    return endpoint == nullptr ? std::uint64_t{0} : endpoint->id;
  });
}

SocketNumber SimNet::base_of(SocketNumber socket) {
  return locked([&] {
    const auto* layered = std::get_if<Layered>(&core_.handles.at(socket));
    return layered == nullptr ? socket : layered->base;
  });
}

std::size_t SimNet::in_flight(SocketNumber socket) {
  return locked([&] {
    const auto endpoint = find(socket);
    return endpoint == nullptr ? std::size_t{0} : endpoint->unsent;
  });
}

std::size_t SimNet::open_sockets() {
  return locked([&] {
    std::size_t count = 0;
    core_.handles.for_each([&](const Object& object) { count += std::holds_alternative<EndpointPtr>(object) ? 1 : 0; });
    return count;
  });
}

}  // namespace reactor::sim
