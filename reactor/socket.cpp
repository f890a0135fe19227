// SPDX-License-Identifier: MIT
#include <reactor/socket.hpp>

#include <algorithm>

#include <reactor/net/system.hpp>

namespace reactor {

namespace {

/// Room for the address that a system writes.
struct Sockaddr {
  alignas(8) std::array<std::byte, sizeof(sys::SockaddrUn)> bytes{};

  [[nodiscard]] std::span<const std::byte> first(std::size_t size) const noexcept {
    return std::span(bytes).first(std::min(size, bytes.size()));
  }
};

Result<Address> name(NativeSocket socket, sys::End end) {
  Sockaddr room;
  const auto size = sys::name(socket, end, room.bytes);
  if (!size) return failure(size.error());
  return Address::from_native(room.first(*size));
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
Result<> Socket::set_abortive_close() const { return sys::set(native(), sys::Option::abortive_close, 1); }

Result<TcpStream> TcpStream::connect(const Address& to) {
  const auto opened = sys::open(to.family(), sys::Kind::stream);
  if (!opened) return failure(opened.error());
  TcpStream stream(*opened);
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

Result<> TcpStream::shutdown(Shutdown which) const { return sys::shutdown(native(), which); }

Result<> TcpStream::set_no_delay(bool on) const { return sys::set(native(), sys::Option::no_delay, on ? 1 : 0); }

Result<TcpListener> TcpListener::bind(const Address& at, int backlog) {
  const auto opened = sys::open(at.family(), sys::Kind::stream);
  if (!opened) return failure(opened.error());
  TcpListener listener(*opened);
  if (at.family() != Address::Family::unix_path) {
    if (const auto set = sys::set(*opened, sys::Option::claim_address, 1); !set) return failure(set.error());
  }
  if (const auto bound = sys::bind(*opened, at.native()); !bound) return failure(bound.error());
  if (const auto listening = sys::listen(*opened, backlog); !listening) return failure(listening.error());
  return listener;
}

Result<TcpStream> TcpListener::accept() const {
  auto accepted = sys::accept(native());
  if (!accepted && was_reset(accepted.error())) accepted = sys::accept(native());
  if (!accepted) return failure(accepted.error());
  return TcpStream(*accepted);
}

Result<UdpSocket> UdpSocket::bind(const Address& at) {
  const auto opened = sys::open(at.family(), sys::Kind::datagram);
  if (!opened) return failure(opened.error());
  UdpSocket socket(*opened);
  if (const auto bound = sys::bind(*opened, at.native()); !bound) return failure(bound.error());
  return socket;
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
  // (SIO_UDP_CONNRESET, left as the system has it). The socket is as good as before; Linux tells that to a connected
  // socket only, as connection_refused.
  Sockaddr room;
  const auto received = sys::receive_from(native(), into, room.bytes);
  if (!received) return failure(received.error());
  Datagram datagram{.size = received->size, .from = {}};
  if (received->address_size == 0) return datagram;
  const auto from = Address::from_native(room.first(received->address_size));
  if (!from) return failure(from.error());
  datagram.from = *from;
  return datagram;
}

}  // namespace reactor
