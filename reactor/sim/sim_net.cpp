// SPDX-License-Identifier: MIT
//
// Sockets by their numbers, with bytes that are only counted. sim_stack.cpp is what is done with them.
#include <reactor/sim/sim_net.hpp>

#include <algorithm>

namespace reactor::sim {

using namespace reactor::nt;
using reactor::failure;

SocketNumber SimNet::open(const EndpointPtr& endpoint) {
  endpoint->handles++;
  return core_.handles.open(endpoint);
}

EndpointPtr SimNet::find(SocketNumber socket) {
  const Object& object = core_.handles.at(socket);
  if (const auto* layered = std::get_if<Layered>(&object)) return core_.handles.find<Endpoint>(layered->base);
  return core_.handles.find<Endpoint>(socket);
}

void SimNet::note(const char* what, SocketNumber socket, std::size_t value) {
  if (core_.is_traced()) core_.trace("net " + hex(socket) + " " + what + " " + std::to_string(value));
}

SocketNumber SimNet::tcp() {
  return locked([&] { return open(stack_.make(SocketState::fresh)); });
}

SocketNumber SimNet::udp() {
  return locked([&] {
    const auto endpoint = stack_.make(SocketState::datagram);
    static_cast<void>(stack_.bind_somewhere(endpoint));
    return open(endpoint);
  });
}

SocketNumber SimNet::listener(std::size_t backlog) {
  return locked([&] {
    const auto endpoint = stack_.make(SocketState::listening);
    endpoint->backlog_max = backlog;
    static_cast<void>(stack_.bind_somewhere(endpoint));
    return open(endpoint);
  });
}

std::pair<SocketNumber, SocketNumber> SimNet::tcp_pair() {
  return locked([&] {
    const auto a = stack_.make(SocketState::connected), b = stack_.make(SocketState::connected);
    Stack::join(a, b);
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
  return locked([&] { return open(stack_.make(SocketState::not_afd)); });
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
    stack_.connect_to_port(endpoint, port);
    return {};
  });
}

SimNet::Result<SocketNumber> SimNet::accept(SocketNumber socket) {
  return locked([&]() -> Result<SocketNumber> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    const auto accepted = stack_.accept(*endpoint);
    if (!accepted) return failure(accepted.error());
    const SocketNumber number = open(*accepted);
    note("accept", socket, number);
    return number;
  });
}

SimNet::Result<std::size_t> SimNet::send(SocketNumber socket, std::size_t bytes) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    const auto taken = stack_.send(endpoint, {}, bytes);
    if (taken) note("send", socket, *taken);
    return taken;
  });
}

SimNet::Result<std::size_t> SimNet::send_to(SocketNumber socket, std::uint16_t port, std::size_t bytes) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state != SocketState::datagram) return failure(std::errc::invalid_argument);
    note("send to port", socket, port);
    Name to;
    to.kind = Name::Kind::ipv4;
    to.port = port;
    return stack_.send_to(endpoint, to, {}, bytes);
  });
}

SimNet::Result<std::size_t> SimNet::recv(SocketNumber socket, std::size_t max) {
  return locked([&]() -> Result<std::size_t> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    if (endpoint->state == SocketState::datagram) {
      const auto received = stack_.receive_from(*endpoint);
      if (!received) return failure(received.error());
      return std::min(received->datagram.size, max);
    }
    const auto bytes = stack_.receive(*endpoint, {}, max);
    if (bytes) note("recv", socket, *bytes);
    return bytes;
  });
}

SimNet::Result<> SimNet::send_urgent(SocketNumber socket) {
  return locked([&]() -> Result<> {
    const auto endpoint = find(socket);
    if (endpoint == nullptr) return failure(std::errc::bad_file_descriptor);
    note("send urgent", socket, 1);
    return stack_.send_urgent(endpoint, {});
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

SimNet::Result<> SimNet::set_urgent_inline(SocketNumber socket) {
  return with(socket, [&](const EndpointPtr& endpoint) -> Result<> {
    endpoint->urgent_inline = true;
    return {};
  });
}

SimNet::Result<> SimNet::shutdown(SocketNumber socket, Shutdown which) {
  return with(socket, [&](const EndpointPtr& endpoint) -> Result<> {
    if (endpoint->state != SocketState::connected || endpoint->reset) return failure(std::errc::not_connected);
    note("shutdown", socket, std::to_underlying(which));
    return stack_.shutdown(endpoint, which);
  });
}

SimNet::Result<std::error_code> SimNet::take_error(SocketNumber socket) {
  return with(socket, [&](const EndpointPtr& endpoint) { return stack_.take_error(*endpoint); });
}

SimNet::Result<> SimNet::begin_receive(SocketNumber socket) {
  return with(socket, [&](const EndpointPtr& endpoint) -> Result<> {
    if (endpoint->state != SocketState::connected || endpoint->unread > 0) return failure(std::errc::invalid_argument);
    endpoint->pending_receives++;
    return {};
  });
}

SimNet::Result<> SimNet::begin_accept(SocketNumber socket) {
  return with(socket, [&](const EndpointPtr& endpoint) -> Result<> {
    const bool can_wait = endpoint->state == SocketState::listening && endpoint->backlog.empty();
    if (!can_wait) return failure(std::errc::invalid_argument);
    endpoint->pending_accepts++;
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
    stack_.drop_handle(endpoint, abortive);
    return {};
  });
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
    for (const auto& endpoint : std::exchange(inherited_, {})) stack_.drop_handle(endpoint, false);
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
