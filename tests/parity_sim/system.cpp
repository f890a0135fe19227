// SPDX-License-Identifier: MIT
// What the parity tests take from the system, in a simulation.
#include "../parity/support.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <reactor/sim/world_state.hpp>

namespace {

reactor::sim::HostState& here() { return *reactor::sim::WorldState::current()->here(); }

}  // namespace

int open_handles() { return static_cast<int>(here().core().handles.size()); }

namespace parity {

bool is_windows() noexcept { return here().is_windows(); }
bool is_wine() noexcept { return false; }
bool is_wine_8() noexcept { return false; }

TcpStream unconnected_stream() {
  auto& host = here();
  const auto endpoint = host.stack().make(reactor::sim::SocketState::fresh);
  endpoint->handles = 1;
  host.open_sockets++;
  return TcpStream{static_cast<NativeSocket>(host.core().handles.open(endpoint))};
}

TcpStream duplicate(const TcpStream& stream) {
  auto& host = here();
  const auto endpoint = host.find(static_cast<std::uintptr_t>(stream.native()));
  REQUIRE(endpoint != nullptr);
  endpoint->handles++;
  host.open_sockets++;
  return TcpStream{static_cast<NativeSocket>(host.core().handles.open(endpoint))};
}

// A test that asks again and again lets time pass.
std::size_t available(const TcpStream& stream) {
  auto& world = *reactor::sim::WorldState::current();
  reactor::sim::WaitQueue nothing_wakes_it;
  world.sleep(nothing_wakes_it, world.timeline->now() + std::chrono::microseconds(10), "bytes to arrive");
  return here().find(static_cast<std::uintptr_t>(stream.native()))->unread;
}

RegularFile::RegularFile()
    : native_(static_cast<NativeSocket>(here().core().handles.open(std::make_shared<reactor::sim::Reserve>()))) {}

Signal::Signal() {
  const auto signal = std::make_shared<reactor::sim::Signal>(*here().host);
  native_ = signal->native();
  of_system_ = signal;
}
void Signal::set() const { static_cast<reactor::sim::Signal*>(of_system_.get())->set(); }
void Signal::clear() const { static_cast<reactor::sim::Signal*>(of_system_.get())->clear(); }
void Signal::close() { static_cast<reactor::sim::Signal*>(of_system_.get())->close(); }

// A simulated host has no files: a path is free again when its socket is closed.
SocketPath::SocketPath() : path_("/run/parity.sock") {}
SocketPath::~SocketPath() = default;

RegularFile::~RegularFile() { here().core().handles.close(static_cast<std::uintptr_t>(native_)); }

// A program of the same host. It and the test wake each other by a Poller each.
struct Waiting::Impl {
  explicit Impl(Poller& waits_on) : poller(waits_on) {
    here().host->serve("a waiting thread", [this] { run(); });
  }

  void run() {
    std::array<Event, 256> buffer;
    while (!is_ending) {
      const auto events = poller.wait(buffer, time_limit);
      if (is_ending) break;
      if (events && events->empty() && !events->woken()) continue;  // the end of the time
      if (events) {
        result = reports_of(*events);
      } else {
        result = reactor::failure(events.error());
      }
      is_ready = true;
      taker.waker().wake();
      while (is_ready && !is_ending) static_cast<void>(must(thread.wait(buffer)));
    }
    has_ended = true;
    taker.waker().wake();
  }

  Poller& poller;
  Poller taker = must(Poller::create()), thread = must(Poller::create());
  bool is_ready = false, is_ending = false, has_ended = false;
  Result<Reports> result;
};

Waiting::Waiting(Poller& poller) : impl_(std::make_unique<Impl>(poller)) {}

Waiting::~Waiting() {
  std::array<Event, 1> buffer;
  impl_->is_ending = true;
  impl_->thread.waker().wake();
  impl_->poller.waker().wake();
  while (!impl_->has_ended) static_cast<void>(impl_->taker.wait(buffer));
}

Reports Waiting::take() {
  std::array<Event, 1> buffer;
  while (!impl_->is_ready) {
    const auto events = must(impl_->taker.wait(buffer, time_limit));
    if (!events.woken()) FAIL("no wait returned in time");
  }
  impl_->is_ready = false;
  impl_->thread.waker().wake();
  return must(std::move(impl_->result));
}

}  // namespace parity
