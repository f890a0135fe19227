// SPDX-License-Identifier: MIT
#include <reactor/loop/io.hpp>

#include <reactor/assert.hpp>
#include <reactor/loop/core.hpp>
#include <reactor/loop/socket_state.hpp>

namespace reactor::detail {

namespace {

// epoll reports each arrival, so drained would only cost a call and a lock for each wait.
#ifdef REACTOR_LOOP_ON_EPOLL
constexpr bool needs_drained = false;
#else
constexpr bool needs_drained = true;
#endif

constexpr Readiness endings = Readiness::read_closed | Readiness::hung_up | Readiness::failed;

constexpr Interest interest_of(Direction direction) noexcept {
  return direction == Direction::read ? Interest::readable : Interest::writable;
}

}  // namespace

void SocketStateDeleter::operator()(SocketState* state) const noexcept { state->close(); }

Result<Registration> SocketState::add_to(Poller& poller) { return poller.add(native, token(), interest, Mode::edge); }

Result<> SocketState::join(Core& by) {
  auto added = add_to(by.poller());
  if (!added) return failure(added.error());
  registration = std::move(*added);
  core = &by;
  return {};
}

Result<> SocketState::arm(Core& by, Direction direction) {
  if (core == nullptr) return join(by);
  require(core == &by, "a socket that belongs to one loop was used on another");
  Side& own = side(direction);
  if (!own.is_disarmed) return {};
  own.is_disarmed = false;
  if (!needs_drained) return {};
  return registration.drained(interest_of(direction));
}

void SocketState::on_event(const Event& event) {
  bool can_read = event.readable();
  bool can_write = event.writable();
  if ((event.readiness() & endings) != Readiness::none) [[unlikely]] {
    has_ended = true;
    has_failed = has_failed || event.failed();
    can_read = true;
    can_write = can_write || event.hung_up() || event.failed();
  }
  Side& read = side(Direction::read);
  Side& write = side(Direction::write);
  if (can_read) read = {read.waiting, false, true};
  if (can_write) write = {write.waiting, false, true};
  if (can_read && read.waiting != nullptr) deliver(read, event);
  // The task that was resumed may have closed the socket.
  if (can_write && !is_retired && write.waiting != nullptr) deliver(write, event);
}

void SocketState::deliver(Side& side, const Event& event) {
  side.waiting->on_event(event);
  side.waiting->try_again();
}

void SocketState::close() noexcept {
  for (Side& side : sides) {
    if (side.waiting != nullptr) side.waiting->cancel();
  }
  registration = {};  // before the socket is closed
  close_socket();
  if (core == nullptr) {
    delete this;
    return;
  }
  core->retire(*this);
}

void IoOperation::leave() noexcept {
  is_hooked_ = false;
  state_->side(direction_).waiting = nullptr;
}

void IoOperation::cancel() noexcept {
  if (!is_pending()) return;
  unhook();
  error_ = failure(std::errc::operation_canceled).error();
  context().complete_soon();
}

bool IoOperation::attempt_now() {
  const Tried tried = attempt();
  if (tried == Tried::would_block) state_->side(direction_).is_blocked = true;
  return tried == Tried::completed;
}

bool IoOperation::await_ready() {
  if (is_stopped()) {
    fail(failure(std::errc::operation_canceled).error());
    return true;
  }
  if (state_ == nullptr) {
    fail(failure(std::errc::bad_file_descriptor).error());
    return true;
  }
  require(state_->side(direction_).waiting == nullptr, "two operations in one direction of one socket");
  if (state_->side(direction_).is_blocked || !attempt_now()) return false;
  // A task whose operations all complete at once lets others run now and then.
  is_complete_ = !context().core().take_budget();
  return !is_complete_;
}

bool IoOperation::await_suspend(std::coroutine_handle<>) {
  if (is_complete_) {
    wait();
    context().complete_soon();
    return true;
  }
  if (const auto armed = arm(); !armed) {
    fail(armed.error());
    return false;
  }
  state_->side(direction_).waiting = this;
  is_hooked_ = true;
  wait();
  return true;
}

Result<> IoOperation::arm() { return state_->arm(context().core(), direction_); }

void IoOperation::try_again() {
  if (!attempt_now()) {
    const auto armed = arm();
    if (armed) return;
    fail(armed.error());
  }
  unhook();
  context().complete();
}

}  // namespace reactor::detail
