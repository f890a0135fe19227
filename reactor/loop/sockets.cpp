// SPDX-License-Identifier: MIT
#include <reactor/loop/sockets.hpp>

#include <array>
#include <chrono>
#include <utility>

#include <reactor/loop/core.hpp>
#include <reactor/loop/socket_state.hpp>

namespace reactor {

namespace detail {

namespace {

constexpr std::chrono::milliseconds accept_pause{50};

template <class SocketType>
SocketStateOwner own(SocketType socket, Interest interest) {
  return SocketStateOwner(new StateOf<SocketType>(std::move(socket), interest));
}

constexpr Interest both = Interest::readable | Interest::writable;

bool is_shortage(std::error_code error) noexcept {
  return error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
         error == std::errc::no_buffer_space || error == std::errc::not_enough_memory;
}

// Of the listener, not of one connection.
bool is_lasting(std::error_code error) noexcept {
  return error == std::errc::bad_file_descriptor || error == std::errc::not_a_socket ||
         error == std::errc::invalid_argument || error == std::errc::operation_not_supported;
}

}  // namespace

IoOperation::Tried ReceiveOperation::attempt() {
  const auto size = receive_into(state(), into_);
  if (!size) return fail_or_wait(size.error());
  size_ = *size;
  if (size_ != 0 && size_ < into_.size()) static_cast<void>(was_emptied(*state()));
  return complete();
}

IoOperation::Tried ReceiveExactlyOperation::attempt() {
  while (!left_.empty()) {
    const auto size = receive_into(state(), left_);
    if (!size) return fail_or_wait(size.error());
    if (*size == 0) return fail(failure(std::errc::connection_aborted).error());
    left_ = left_.subspan(*size);
  }
  return complete();
}

IoOperation::Tried SendSomeOperation::attempt() {
  const auto size = socket_of<TcpStream>(state()).send(from_);
  if (!size) return fail_or_wait(size.error());
  size_ = *size;
  return complete();
}

IoOperation::Tried SendOperation::attempt() {
  while (!left_.empty()) {
    const auto size = socket_of<TcpStream>(state()).send(left_);
    if (!size) return fail_or_wait(size.error());
    left_ = left_.subspan(*size);
  }
  return complete();
}

IoOperation::Tried AcceptOperation::attempt() {
  timer_.disarm();
  must_pause_ = false;
  for (;;) {
    auto accepted = socket_of<TcpListener>(state()).accept_from();
    if (accepted) {
      accepted_ = std::move(*accepted);
      return complete();
    }
    must_pause_ = is_shortage(accepted.error());
    if (must_pause_) return Tried::must_pause;
    if (accepted.error() == std::errc::operation_would_block || is_lasting(accepted.error())) {
      return fail_or_wait(accepted.error());
    }
  }
}

// The readiness that was reported is still to come, so during a pause nothing else has to be armed.
Result<> AcceptOperation::arm() {
  if (!must_pause_) return IoOperation::arm();
  timer_.arm(core(), after(accept_pause), *this);
  return {};
}

void AcceptOperation::on_timer() noexcept {
  timer_.expired();
  try_again();
}

Result<Accepted> AcceptOperation::await_resume() {
  if (error()) return failure(error());
  return Accepted{On<TcpStream>(std::move(accepted_.stream)), accepted_.peer};
}

IoOperation::Tried ReceiveFromOperation::attempt() {
  const auto datagram = socket_of<UdpSocket>(state()).receive_from(into_);
  if (!datagram) return fail_or_wait(datagram.error());
  datagram_ = *datagram;
  return complete();
}

IoOperation::Tried SendToOperation::attempt() {
  const auto size = socket_of<UdpSocket>(state()).send_to(from_, to_);
  if (!size) return fail_or_wait(size.error());
  return complete();
}

bool ConnectOperation::await_ready() {
  if (is_stopped()) return IoOperation::await_ready();
  auto started = TcpStream::connect(to_);
  if (!started) {
    fail(started.error());
    return true;
  }
  owner_ = own(std::move(*started), both);
  use(owner_.get());
  return false;
}

void ConnectOperation::on_event(const Event& event) noexcept {
  if (event.failed()) reported_ = event.error();
}

IoOperation::Tried ConnectOperation::attempt() {
  const auto error = socket_of<TcpStream>(owner_.get()).take_error();
  if (reported_) return fail(reported_);
  if (!error) return fail(error.error());
  return *error ? fail(*error) : complete();
}

Result<On<TcpStream>> ConnectOperation::await_resume() {
  if (error()) return failure(error());
  return On<TcpStream>(std::move(owner_));
}

}  // namespace detail

using detail::socket_of;

On<TcpStream>::On(TcpStream stream) : state_(detail::own(std::move(stream), detail::both)) {}

TcpStream& On<TcpStream>::socket() const noexcept { return socket_of<TcpStream>(state_.get()); }

Result<> On<TcpStream>::shutdown(Shutdown which) { return socket().shutdown(which); }

TcpStream On<TcpStream>::release() {
  TcpStream stream = std::move(socket());
  state_.reset();
  return stream;
}

On<TcpListener>::On(TcpListener listener) : state_(detail::own(std::move(listener), Interest::readable)) {}

TcpListener& On<TcpListener>::socket() const noexcept { return socket_of<TcpListener>(state_.get()); }

On<UdpSocket>::On(UdpSocket socket) : state_(detail::own(std::move(socket), detail::both)) {}

UdpSocket& On<UdpSocket>::socket() const noexcept { return socket_of<UdpSocket>(state_.get()); }

}  // namespace reactor
