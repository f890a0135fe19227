// SPDX-License-Identifier: MIT
//
// The sockets of the current program's host, in a simulation. sim/sim_stack.cpp is what they do.
#include <reactor/net/system.hpp>

#include <algorithm>
#include <array>
#include <new>

#include <reactor/net/errors.hpp>
#include <reactor/nt/status.hpp>
#include <reactor/sim/sockaddr.hpp>
#include <reactor/sim/world_state.hpp>

namespace reactor::sys {

namespace {

using sim::Endpoint;
using sim::EndpointPtr;
using sim::HostState;
using sim::Name;
using sim::SocketState;
using sim::Stack;
using sim::WorldState;

/// The error as the host's system says it.
std::unexpected<std::error_code> fail(const HostState& host, std::error_code why) noexcept {
  if (!host.is_windows()) {
    return failure(std::error_code(why.default_error_condition().value(), error_category()));
  }
  const auto found = std::ranges::find_if(net::winsock_errors, [&](const auto& one) { return why == one.meaning; });
  if (found == net::winsock_errors.end()) return failure(why);
  return failure(nt::make_win32_error(static_cast<nt::ULONG>(found->number)));
}

/// One call of the current program: where it is, and what is due before and after it.
class Here {
 public:
  explicit Here(const char* call) noexcept : world_(WorldState::current()) {
    host_ = world_ == nullptr ? nullptr : world_->here();
    if (host_ == nullptr) return;
    world_->count_call(call);
    world_->timeline->run_due();
  }
  Here(const Here&) = delete;
  Here& operator=(const Here&) = delete;
  ~Here() {
    if (host_ != nullptr) world_->timeline->run_due();
  }

  /// Outside of a program, or of one whose host has crashed, nothing is there.
  [[nodiscard]] bool is_nowhere() const noexcept { return host_ == nullptr || world_->running()->is_killed; }
  [[nodiscard]] HostState& host() const noexcept { return *host_; }
  [[nodiscard]] Stack& stack() const noexcept { return host_->stack(); }
  [[nodiscard]] WorldState& world() const noexcept { return *world_; }
  [[nodiscard]] std::unexpected<std::error_code> fails(std::errc why) const noexcept {
    return fail(*host_, std::make_error_code(why));
  }
  template <class T>
  [[nodiscard]] Result<T> checked(Result<T> result) const noexcept {
    if (!result) return fail(*host_, result.error());
    return result;
  }
  [[nodiscard]] bool lacks_memory() const noexcept { return world_->chance(world_->options.faults.refused_memory); }

 private:
  WorldState* world_;
  HostState* host_ = nullptr;
};

std::unexpected<std::error_code> nowhere() noexcept { return failure(std::errc::network_down); }

/// Calls `function` with the place and the socket. Nothing is allocated for the caller to free, but memory may run out.
template <class T, class Function>
Result<T> with(const char* call, NativeSocket socket, Function function) noexcept try {
  const Here here(call);
  if (here.is_nowhere()) return nowhere();
  if (socket == invalid_socket) return failure(std::errc::bad_file_descriptor);
  const auto number = static_cast<std::uintptr_t>(socket);
  const EndpointPtr endpoint = here.host().find(number);
  if (endpoint == nullptr) {
    const bool is_open = !std::holds_alternative<std::monostate>(here.host().core().handles.at(number));
    return here.fails(is_open || here.host().is_windows() ? std::errc::not_a_socket : std::errc::bad_file_descriptor);
  }
  return here.checked<T>(function(here, endpoint));
} catch (const std::bad_alloc&) {
  return failure(std::errc::not_enough_memory);
}

bool can_open(const Here& here) {
  return here.host().open_sockets < here.host().descriptors_max &&
         !here.world().chance(here.world().options.faults.refused_descriptors);
}

NativeSocket open_number(const Here& here, const EndpointPtr& endpoint) {
  endpoint->handles++;
  here.host().open_sockets++;
  return static_cast<NativeSocket>(here.host().core().handles.open(endpoint));
}

std::size_t shortened(const Here& here, std::size_t size, int per_mille) {
  if (size < 2 || !here.world().chance(per_mille)) return size;
  return 1 + here.world().timeline->random.below(size - 1);
}

}  // namespace

Result<> start() noexcept { return {}; }

Result<NativeSocket> open(Address::Family family, Kind kind) noexcept try {
  const Here here("socket");
  if (here.is_nowhere()) return nowhere();
  if (family == Address::Family::none) return failure(std::errc::address_family_not_supported);
  const bool is_unix = family == Address::Family::unix_path;
  if (is_unix && kind == Kind::datagram) return net::failure(net::Missing::unix_datagrams);
  if (!can_open(here)) return here.fails(std::errc::too_many_files_open);
  if (here.lacks_memory()) return here.fails(std::errc::no_buffer_space);
  const auto endpoint = here.stack().make(kind == Kind::stream ? SocketState::fresh : SocketState::datagram);
  endpoint->is_ipv6 = family == Address::Family::ipv6 || family == Address::Family::any;
  endpoint->is_dual = family == Address::Family::any;
  endpoint->is_unix = is_unix;
  return open_number(here, endpoint);
} catch (const std::bad_alloc&) {
  return failure(std::errc::not_enough_memory);
}

void close(NativeSocket socket) noexcept {
  static_cast<void>(with<void>("close", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<> {
    here.host().core().handles.close(static_cast<std::uintptr_t>(socket));
    here.host().open_sockets--;
    here.stack().drop_handle(endpoint, false);
    return {};
  }));
}

Result<> connect(NativeSocket socket, std::span<const std::byte> to) noexcept {
  return with<void>("connect", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<> {
    const Name name = sim::name_from(to);
    if (name.kind == Name::Kind::none) return failure(std::errc::address_family_not_supported);
    const bool fits = endpoint->is_unix   ? name.kind == Name::Kind::path
                      : endpoint->is_dual ? name.kind != Name::Kind::path
                      : endpoint->is_ipv6 ? name.kind == Name::Kind::ipv6
                                          : name.kind == Name::Kind::ipv4;
    if (!fits) return failure(std::errc::address_family_not_supported);
    return here.stack().connect(endpoint, name);
  });
}

Result<> bind(NativeSocket socket, std::span<const std::byte> at) noexcept {
  return with<void>("bind", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<> {
    const Name name = sim::name_from(at);
    if (name.kind == Name::Kind::none) return failure(std::errc::address_family_not_supported);
    return here.stack().bind(endpoint, name);
  });
}

Result<> listen(NativeSocket socket, int backlog) noexcept {
  return with<void>("listen", socket, [&](const Here& here, const EndpointPtr& endpoint) {
    return here.stack().listen(endpoint, backlog);
  });
}

Result<Accepted> accept(NativeSocket socket, std::span<std::byte> address) noexcept {
  return with<Accepted>("accept", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<Accepted> {
    if (endpoint->state == SocketState::listening && endpoint->backlog.empty()) {
      return failure(std::errc::operation_would_block);
    }
    if (!can_open(here)) return failure(std::errc::too_many_files_open);
    if (here.lacks_memory()) return failure(std::errc::no_buffer_space);
    const auto accepted = here.stack().accept(*endpoint);
    if (!accepted) return failure(accepted.error());
    const Endpoint& stream = **accepted;
    const std::size_t size = sim::write_sockaddr(stream.remote, stream.is_ipv6 || stream.is_dual, address);
    return Accepted{.socket = open_number(here, *accepted), .address_size = size};
  });
}

Result<std::size_t> receive(NativeSocket socket, std::span<std::byte> into) noexcept {
  return with<std::size_t>(
      "receive", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<std::size_t> {
        if (endpoint->state == SocketState::datagram) {
          auto received = here.stack().receive_from(*endpoint);
          if (!received) return failure(received.error());
          const auto& bytes = received->datagram.bytes;
          if (bytes.size() > into.size()) return failure(std::errc::message_size);
          std::ranges::copy(bytes, into.begin());
          return bytes.size();
        }
        if (into.empty()) return std::size_t{0};
        const auto part = into.first(shortened(here, into.size(), here.world().options.faults.short_reads));
        return here.stack().receive(*endpoint, part, part.size());
      });
}

Result<std::size_t> send(NativeSocket socket, std::span<const std::byte> from, Urgent urgent) noexcept {
  return with<std::size_t>("send", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<std::size_t> {
    if (endpoint->state == SocketState::datagram) return here.stack().send_to(endpoint, {}, from, from.size());
    if (here.lacks_memory()) return failure(std::errc::no_buffer_space);
    if (urgent == Urgent::yes) {
      const auto sent = here.stack().send_urgent(endpoint, from.first(std::min<std::size_t>(from.size(), 1)));
      if (!sent) return failure(sent.error());
      return from.size();
    }
    const auto part = from.first(shortened(here, from.size(), here.world().options.faults.short_writes));
    return here.stack().send(endpoint, part, part.size());
  });
}

// One part after the other, as long as each is filled or taken whole.
Result<std::size_t> receive_parts(NativeSocket socket, TcpStream::PartsToFill into) noexcept {
  std::size_t total = 0;
  for (const auto part : into.first(std::min(into.size(), TcpStream::parts_max))) {
    if (part.empty()) continue;
    const auto received = receive(socket, part);
    if (!received && total == 0) return received;
    if (!received) break;
    total += *received;
    if (*received < part.size()) break;
  }
  return total;
}

Result<std::size_t> send_parts(NativeSocket socket, TcpStream::PartsToSend from) noexcept {
  std::size_t total = 0;
  for (const auto part : from.first(std::min(from.size(), TcpStream::parts_max))) {
    if (part.empty()) continue;
    const auto sent = send(socket, part, Urgent::no);
    if (!sent && total == 0) return sent;
    if (!sent) break;
    total += *sent;
    if (*sent < part.size()) break;
  }
  return total;
}

Result<std::size_t> send_to(NativeSocket socket, std::span<const std::byte> from,
                            std::span<const std::byte> to) noexcept {
  return with<std::size_t>("send_to", socket,
                           [&](const Here& here, const EndpointPtr& endpoint) -> Result<std::size_t> {
                             if (endpoint->state != SocketState::datagram)
                               return here.stack().send(endpoint, from, from.size());
                             if (here.lacks_memory()) return failure(std::errc::no_buffer_space);
                             return here.stack().send_to(endpoint, sim::name_from(to), from, from.size());
                           });
}

namespace {

struct Taken {
  std::size_t size = 0, address_size = 0;
  bool is_cut = false;
};

Result<Taken> take_datagram(NativeSocket socket, std::span<std::byte> into, std::span<std::byte> address) noexcept {
  return with<Taken>("receive_from", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<Taken> {
    if (endpoint->state != SocketState::datagram) {
      const auto received = here.stack().receive(*endpoint, into, into.size());
      if (!received) return failure(received.error());
      return Taken{.size = *received};
    }
    auto received = here.stack().receive_from(*endpoint);
    if (!received) return failure(received.error());
    if (received->is_end) return Taken{};
    const auto& bytes = received->datagram.bytes;
    const std::size_t size = std::min(bytes.size(), into.size());
    std::copy_n(bytes.begin(), size, into.begin());
    const std::size_t address_size =
        sim::write_sockaddr(received->datagram.from, endpoint->is_ipv6 || endpoint->is_dual, address);
    return Taken{.size = size, .address_size = address_size, .is_cut = bytes.size() > into.size()};
  });
}

}  // namespace

Result<Received> receive_from(NativeSocket socket, std::span<std::byte> into, std::span<std::byte> address) noexcept {
  const auto taken = take_datagram(socket, into, address);
  if (!taken) return failure(taken.error());
  if (taken->is_cut) return failure(std::errc::message_size);
  return Received{.size = taken->size, .address_size = taken->address_size};
}

Result<std::size_t> send_batch(NativeSocket socket, std::span<const UdpSocket::DatagramToSend> datagrams) noexcept {
  std::size_t count = 0;
  for (const auto& [data, to] : datagrams.first(std::min(datagrams.size(), UdpSocket::batch_max))) {
    const auto sent = to.native().empty() ? send(socket, data, Urgent::no) : send_to(socket, data, to.native());
    if (!sent && count == 0) return sent;
    if (!sent) break;
    count++;
  }
  return count;
}

Result<std::size_t> receive_batch(NativeSocket socket, std::span<UdpSocket::DatagramToFill> datagrams) noexcept {
  std::size_t count = 0;
  for (auto& datagram : datagrams.first(std::min(datagrams.size(), UdpSocket::batch_max))) {
    Sockaddr address;
    const auto taken = take_datagram(socket, datagram.buffer, address.bytes);
    if (!taken && count == 0) return failure(taken.error());
    if (!taken) break;
    datagram.size = taken->size;
    datagram.is_cut = taken->is_cut;
    datagram.from = address.address(taken->address_size).value_or(Address());
    count++;
  }
  return count;
}

Result<> shutdown(NativeSocket socket, Shutdown which) noexcept {
  return with<void>("shutdown", socket, [&](const Here& here, const EndpointPtr& endpoint) {
    return here.stack().shutdown(endpoint, which);
  });
}

Result<std::size_t> name(NativeSocket socket, End end, std::span<std::byte> address) noexcept {
  return with<std::size_t>("name", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<std::size_t> {
    const Endpoint& one = *endpoint;
    const bool is_ipv6 = one.is_ipv6 || one.is_dual;
    if (end == End::peer) {
      if (one.remote.kind == Name::Kind::none) return failure(std::errc::not_connected);
      return sim::write_sockaddr(one.remote, is_ipv6, address);
    }
    if (one.local.kind != Name::Kind::none) return sim::write_sockaddr(one.local, is_ipv6, address);
    if (here.host().is_windows()) return failure(std::errc::invalid_argument);
    Name none;
    none.kind = one.is_unix ? Name::Kind::path : is_ipv6 ? Name::Kind::ipv6 : Name::Kind::ipv4;
    return sim::write_sockaddr(none, is_ipv6, address);
  });
}

Result<> set(NativeSocket socket, Option option, int value) noexcept {
  return with<void>("set", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<> {
    switch (option) {
      case Option::send_buffer:
      case Option::receive_buffer: {
        // Linux takes twice as much as is asked for, and so little at least.
        const auto asked = static_cast<std::size_t>(std::max(value, 0));
        const std::size_t bytes = here.host().is_windows() ? asked : std::max<std::size_t>(2 * asked, 2304);
        (option == Option::send_buffer ? endpoint->send_capacity : endpoint->receive_capacity) =
            std::clamp<std::size_t>(bytes, 1, std::size_t{8} << 20);
        return {};
      }
      case Option::keepalive:
        endpoint->keepalive.on = value != 0;
        here.stack().set_keepalive(endpoint);
        return {};
      case Option::urgent_inline: endpoint->urgent_inline = value != 0; return {};
      case Option::v6_only: endpoint->is_dual = endpoint->is_ipv6 && value == 0; return {};
      case Option::reuse_port:
        if (here.host().is_windows()) return failure(std::errc::not_supported);
        endpoint->shares_port = value != 0;
        return {};
      case Option::no_delay:
      case Option::claim_address:
      case Option::late_port: return {};
    }
    return failure(std::errc::invalid_argument);
  });
}

Result<> set_linger(NativeSocket socket, std::optional<std::chrono::seconds> time) noexcept {
  return with<void>("set_linger", socket, [&](const Here&, const EndpointPtr& endpoint) -> Result<> {
    endpoint->aborts = time && time->count() <= 0;
    return {};
  });
}

Result<> set_keepalive_times(NativeSocket socket, std::chrono::seconds idle, std::chrono::seconds interval) noexcept {
  using std::chrono::seconds;
  const auto is_allowed = [](seconds time) { return time >= seconds(1) && time <= seconds(32767); };
  return with<void>("set_keepalive_times", socket, [&](const Here& here, const EndpointPtr& endpoint) -> Result<> {
    if (!is_allowed(idle) || !is_allowed(interval)) return failure(std::errc::invalid_argument);
    endpoint->keepalive.idle = idle;
    endpoint->keepalive.interval = interval;
    here.stack().set_keepalive(endpoint);
    return {};
  });
}

Result<std::error_code> take_error(NativeSocket socket) noexcept {
  return with<std::error_code>("take_error", socket,
                               [&](const Here& here, const EndpointPtr& endpoint) -> Result<std::error_code> {
                                 const auto taken = here.stack().take_error(*endpoint);
                                 if (!taken || !*taken) return taken;
                                 return fail(here.host(), *taken).error();
                               });
}

}  // namespace reactor::sys
