// SPDX-License-Identifier: MIT
#include <reactor/socket.hpp>

#include <reactor/net/system.hpp>

namespace reactor {

namespace {

Result<Address> name(NativeSocket socket, sys::End end) {
  sys::Sockaddr buffer{};
  const auto size = sys::name(socket, end, buffer.bytes);
  if (!size) return failure(size.error());
  return buffer.address(*size);
}

/// An address of no family would reach the system as one of no length, of which each says something else.
Result<> check_peer(const Socket& socket, const Address& to) noexcept {
  if (!socket.is_open()) return failure(std::errc::bad_file_descriptor);
  if (to.family() == Address::Family::none) return failure(std::errc::address_family_not_supported);
  return {};
}

/// Linux says the first, Windows the second, of a connection that was reset before it could be accepted.
bool was_reset(std::error_code error) noexcept {
  return error == std::errc::connection_aborted || error == std::errc::connection_reset;
}

Result<> set(const Socket& socket, sys::Option option, bool on) {
  return sys::set(socket.native(), option, on ? 1 : 0);
}

bool is_ipv6(Address::Family family) noexcept {
  return family == Address::Family::ipv6 || family == Address::Family::any;
}

/// What is set before a socket is bound to an address of `family`.
Result<> prepare(const Socket& socket, Address::Family family, const BindOptions& options, sys::Kind kind) {
  if (family == Address::Family::unix_path) return {};
  // A datagram socket has no TIME_WAIT, and with SO_REUSEADDR two of Linux's would share a port.
  if (kind == sys::Kind::stream) {
    if (const auto done = set(socket, sys::Option::claim_address, true); !done) return done;
  }
  if (is_ipv6(family) && !options.v6_only) {
    if (const auto done = set(socket, sys::Option::v6_only, false); !done) return done;
  }
  if (options.reuse_port) return set(socket, sys::Option::reuse_port, true);
  return {};
}

/// A socket of this class, bound.
template <class Made>
Result<Made> bound(const Address& at, const BindOptions& options, sys::Kind kind) {
  const auto opened = sys::open(at.family(), kind);
  if (!opened) {
    const bool has_no_ipv6 = opened.error() == std::errc::address_family_not_supported;
    if (at.family() != Address::Family::any || !has_no_ipv6) return failure(opened.error());
    return bound<Made>(Address::any_ipv4(at.port()), options, kind);
  }
  Made socket(*opened);
  if (const auto done = prepare(socket, at.family(), options, kind); !done) return failure(done.error());
  if (const auto done = sys::bind(*opened, at.native()); !done) return failure(done.error());
  return socket;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    native_ = other.release();
  }
  return *this;
}

void Socket::close() noexcept {
  if (is_open()) sys::close(release());
}

Result<Address> Socket::local_address() const { return name(native(), sys::End::local); }
Result<Address> Socket::peer_address() const { return name(native(), sys::End::peer); }
Result<std::error_code> Socket::take_error() const { return sys::take_error(native()); }

Result<> Socket::set_send_buffer(int size_bytes) const {
  return sys::set(native(), sys::Option::send_buffer, size_bytes);
}
Result<> Socket::set_receive_buffer(int size_bytes) const {
  return sys::set(native(), sys::Option::receive_buffer, size_bytes);
}
Result<> Socket::set_linger(std::optional<std::chrono::seconds> time) const { return sys::set_linger(native(), time); }
Result<> Socket::set_abortive_close() const { return set_linger(std::chrono::seconds(0)); }

Result<TcpStream> TcpStream::connect(const Address& to) {
  const auto opened = sys::open(to.family(), sys::Kind::stream);
  if (!opened) return failure(opened.error());
  TcpStream stream(*opened);
  if (const auto begun = sys::connect(*opened, to.native()); !begun) return failure(begun.error());
  return stream;
}

Result<TcpStream> TcpStream::connect(const Address& to, const Address& from) {
  const auto opened = sys::open(from.family(), sys::Kind::stream);
  if (!opened) return failure(opened.error());
  TcpStream stream(*opened);
  if (const auto checked = check_peer(stream, to); !checked) return failure(checked.error());
  // A port that bind chooses cannot have another connection, to whatever peer; one that connect chooses can.
  if (from.port() == 0 && from.family() != Address::Family::unix_path) {
    if (const auto set = sys::set(*opened, sys::Option::late_port, 1); !set) return failure(set.error());
  }
  if (const auto bound = sys::bind(*opened, from.native()); !bound) return failure(bound.error());
  if (const auto begun = sys::connect(*opened, to.native()); !begun) return failure(begun.error());
  return stream;
}

Result<std::size_t> TcpStream::receive(std::span<std::byte> into) const { return sys::receive(native(), into); }

Result<std::size_t> TcpStream::send(std::span<const std::byte> from) const {
  return sys::send(native(), from, sys::Urgent::no);
}

Result<> TcpStream::send_urgent(std::byte value) const {
  const auto sent = sys::send(native(), std::span(&value, 1), sys::Urgent::yes);
  if (!sent) return failure(sent.error());
  return {};
}

Result<std::size_t> TcpStream::receive_parts(PartsToFill into) const { return sys::receive_parts(native(), into); }
Result<std::size_t> TcpStream::send_parts(PartsToSend from) const { return sys::send_parts(native(), from); }

Result<> TcpStream::shutdown(Shutdown which) const { return sys::shutdown(native(), which); }

Result<> TcpStream::set_no_delay(bool on) const { return set(*this, sys::Option::no_delay, on); }
Result<> TcpStream::set_urgent_inline(bool on) const { return set(*this, sys::Option::urgent_inline, on); }
Result<> TcpStream::set_keepalive(bool on) const { return set(*this, sys::Option::keepalive, on); }

Result<> TcpStream::set_keepalive(std::chrono::seconds idle, std::chrono::seconds interval) const {
  if (const auto set = sys::set_keepalive_times(native(), idle, interval); !set) return set;
  return set_keepalive(true);
}

Result<TcpListener> TcpListener::bind(const Address& at, int backlog) { return bind(at, BindOptions(), backlog); }

Result<TcpListener> TcpListener::bind(const Address& at, const BindOptions& options, int backlog) {
  auto listener = bound<TcpListener>(at, options, sys::Kind::stream);
  if (!listener) return listener;
  if (const auto listening = sys::listen(listener->native(), backlog); !listening) return failure(listening.error());
  return listener;
}

Result<TcpStream> TcpListener::accept() const {
  auto accepted = accept_from();
  if (!accepted) return failure(accepted.error());
  return std::move(accepted->stream);
}

Result<TcpListener::Accepted> TcpListener::accept_from() const {
  sys::Sockaddr buffer{};
  auto accepted = sys::accept(native(), buffer.bytes);
  if (!accepted && was_reset(accepted.error())) accepted = sys::accept(native(), buffer.bytes);
  if (!accepted) return failure(accepted.error());
  Accepted result{.stream = TcpStream(accepted->socket), .peer = {}};
  const auto peer = buffer.address(accepted->address_size);
  if (!peer) return failure(peer.error());
  result.peer = *peer;
  return result;
}

Result<UdpSocket> UdpSocket::bind(const Address& at, const BindOptions& options) {
  return bound<UdpSocket>(at, options, sys::Kind::datagram);
}

Result<> UdpSocket::connect(const Address& to) const {
  if (const auto checked = check_peer(*this, to); !checked) return checked;
  return sys::connect(native(), to.native());
}

Result<std::size_t> UdpSocket::send_to(std::span<const std::byte> from, const Address& to) const {
  if (const auto checked = check_peer(*this, to); !checked) return failure(checked.error());
  return sys::send_to(native(), from, to.native());
}

Result<std::size_t> UdpSocket::send(std::span<const std::byte> from) const {
  return sys::send(native(), from, sys::Urgent::no);
}

Result<UdpSocket::Datagram> UdpSocket::receive_from(std::span<std::byte> into) const {
  // On Windows this fails with connection_reset after a datagram that was sent from here met a closed port
  // (SIO_UDP_CONNRESET, left as the system has it). The socket is as good as before; Linux reports that to a connected
  // socket only, as connection_refused.
  sys::Sockaddr buffer{};
  const auto received = sys::receive_from(native(), into, buffer.bytes);
  if (!received) return failure(received.error());
  const auto from = buffer.address(received->address_size);
  if (!from) return failure(from.error());
  return Datagram{.size = received->size, .from = *from};
}

Result<std::size_t> UdpSocket::send_batch(std::span<const DatagramToSend> datagrams) const {
  if (!is_open()) return failure(std::errc::bad_file_descriptor);
  return sys::send_batch(native(), datagrams);
}

Result<std::size_t> UdpSocket::receive_batch(std::span<DatagramToFill> datagrams) const {
  if (!is_open()) return failure(std::errc::bad_file_descriptor);
  return sys::receive_batch(native(), datagrams);
}

Result<> UdpSocket::shutdown(Shutdown which) const { return sys::shutdown(native(), which); }

}  // namespace reactor
