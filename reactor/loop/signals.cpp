// SPDX-License-Identifier: MIT
#include <reactor/loop/signals.hpp>

#include <utility>
#include <vector>

#include <reactor/loop/core.hpp>
#include <reactor/loop/socket_state.hpp>
#include <reactor/net/signals.hpp>

namespace reactor {

namespace detail {

namespace {

class Unowned {
 public:
  explicit Unowned(NativeSocket native) noexcept : native_(native) {}
  [[nodiscard]] NativeSocket native() const noexcept { return native_; }
  void close() noexcept {}

 private:
  NativeSocket native_;
};

}  // namespace

IoOperation::Tried SignalOperation::attempt() {
  const auto signal = sys::take_signal(state()->native);
  if (!signal) return fail_or_wait(signal.error());
  signal_ = *signal;
  return complete();
}

IoOperation::Tried WatchOperation::attempt() { return is_ready_ ? Tried::completed : Tried::would_block; }

void WatchOperation::on_event(const Event&) noexcept { is_ready_ = true; }

// Others do the I/O, so whether it is ready has to be asked each time.
Result<> WatchOperation::arm() {
  if (state()->core == nullptr) return IoOperation::arm();
  return state()->registration.modify(state()->interest);
}

}  // namespace detail

Result<Signals> Signals::create(std::initializer_list<int> signals) {
  auto opened = sys::open_signals({signals.begin(), signals.size()});
  if (!opened) return failure(opened.error());
  return Signals(detail::SocketStateOwner(new detail::StateOf<Socket>(std::move(*opened), Interest::readable)));
}

Signals::Signals(detail::SocketStateOwner state) noexcept : state_(std::move(state)) {}

Signals::~Signals() {
  if (state_) sys::forget_signals(state_->native);
}

Watch::Watch(NativeSocket socket)
    : state_(new detail::StateOf<detail::Unowned>(detail::Unowned(socket), Interest::readable | Interest::writable)) {}

}  // namespace reactor
