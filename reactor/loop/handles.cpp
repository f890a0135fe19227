// SPDX-License-Identifier: MIT
#include <reactor/loop/handles.hpp>

#include <memory>
#include <optional>
#include <utility>

#include <reactor/loop/core.hpp>
#include <reactor/loop/socket_state.hpp>
#include <reactor/net/process.hpp>

namespace reactor {

namespace detail {

/// Its one direction is blocked until an event has come that no operation has returned. So an event that comes while
/// nothing waits is kept.
struct HandleState final : SocketState {
  explicit HandleState(NativeHandle watched) noexcept
      : SocketState(invalid_socket, Interest::readable), handle(watched) {
    side(Direction::read).is_blocked = true;
  }
  [[nodiscard]] Result<Registration> add_to(Poller& poller) override { return poller.add_handle(handle, token()); }
  void close_socket() noexcept override {
    if (is_owned) sys::close_process(handle);
  }

  NativeHandle handle;
  std::optional<int> exit_code;  // of a process that has ended
  bool is_owned = false;
};

HandleState& HandleOperation::handle_state() const noexcept { return static_cast<HandleState&>(*state()); }

Result<> HandleOperation::arm() {
  SocketState::Side& side = state()->side(Direction::read);
  if (state()->core != &core() || !side.is_disarmed) return IoOperation::arm();
  auto armed = state()->registration.rearm();
  if (armed) side.is_disarmed = false;
  return armed;
}

IoOperation::Tried SignalledOperation::attempt() {
  state()->side(Direction::read).is_blocked = true;
  return complete();
}

IoOperation::Tried EndedOperation::attempt() {
  HandleState& process = handle_state();
  if (!process.exit_code) {
    const auto taken = sys::take_exit_code(process.handle);
    if (!taken) return fail(taken.error());
    if (!*taken) return Tried::would_block;
    process.exit_code = *taken;
  }
  exit_code_ = process.exit_code.value_or(0);
  return complete();
}

}  // namespace detail

HandleWatch::HandleWatch(NativeHandle handle) : state_(new detail::HandleState(handle)) {}

bool HandleWatch::withdraw() noexcept {
  if (!state_) return false;
  bool is_unreturned = !state_->side(detail::Direction::read).is_blocked;
  if (state_->core != nullptr) {
    is_unreturned = is_unreturned || state_->core->is_reported(*state_);
    is_unreturned = state_->registration.withdraw().value_or(false) || is_unreturned;
  }
  state_.reset();
  return is_unreturned;
}

ChildWatch::ChildWatch(detail::SocketStateOwner state) noexcept : state_(std::move(state)) {}

Result<ChildWatch> ChildWatch::create(NativeProcess process) {
  auto* const state = new detail::HandleState({});
  detail::SocketStateOwner owner(state);
  const auto opened = sys::open_process(process);
  if (!opened) return failure(opened.error());
  state->handle = *opened;
  state->is_owned = true;
  return ChildWatch(std::move(owner));
}

}  // namespace reactor
