// SPDX-License-Identifier: MIT
#include "sweep_play.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <reactor/make_poller.hpp>
#include <reactor/notify/notify_backend.hpp>

#include "native_handle.hpp"
#include "sim/kernel_apart.hpp"

namespace sweep {

using namespace reactor;
using namespace std::chrono_literals;

namespace {

constexpr int tries_max = 20;  // of a call that fails, and of waits for what must happen
constexpr auto slice = 500ms;

template <class Function>
auto in_library(Function&& function) {
  const sim::FailsHere here;
  return function();
}

}  // namespace

Play::Play(conformance::System& the_system, sim::FaultyKernel& faulty)
    : system(the_system), faulty_(faulty), kernel_(std::make_unique<sim::KernelApart>(faulty)) {
  for (int i = 0; i < tries_max && !poller_; i++) {
    try {
      auto backend = in_library([this]() -> Result<std::shared_ptr<afd::AfdBackend>> {
        const PollerOptions options{.high_resolution = true};
        if (!kernel_->has_notifications()) return afd::AfdBackend::create(*kernel_, options);
        return notify::NotifyBackend::create(*kernel_, options);
      });
      if (backend) poller_.emplace(reactor::poller_on(std::move(*backend)));
    } catch (const std::bad_alloc&) {  // allowed at construction time
    }
  }
  if (!poller_) throw std::runtime_error("no Poller could be created");
}

Play::~Play() {
  watched_.clear();
  in_library([&] { poller_.reset(); });
  system.join();
}

bool Play::try_add(Socket socket, Interest interest, Mode mode) {
  auto added =
      in_library([&] { return poller_->add(static_cast<NativeSocket>(socket), Token{socket}, interest, mode); });
  if (added) watched_.insert_or_assign(socket, Watched{std::move(*added), interest, mode});
  return added.has_value();
}

void Play::add(Socket socket, Interest interest, Mode mode) {
  for (int i = 0; i < tries_max; i++) {
    if (try_add(socket, interest, mode)) return;
  }
  complaint_ = "a socket could not be added";
}

void Play::modify(Socket socket, Interest interest) {
  Watched& watched = watched_.at(socket);
  watched.interest = interest;
  if (!in_library([&] { return watched.registration.modify(interest); })) add_again(socket);
}

void Play::drained(Socket socket) {
  Watched& watched = watched_.at(socket);
  if (!in_library([&] { return watched.registration.drained(Interest::readable); })) add_again(socket);
}

// Its registration is retired or disarmed for good: by a poll that was refused because its socket seemed closed, and by
// nothing else.
void Play::add_again(Socket socket) {
  if (!faulty_.has_denied_socket()) complaint_ = "a registration was retired without a reason";
  const auto found = watched_.find(socket);
  if (found != watched_.end()) add(socket, found->second.interest, found->second.mode);
}

void Play::add_object(nt::HANDLE object) {
  const Socket number = number_of(object);
  for (int i = 0; i < tries_max; i++) {
    auto added = in_library([&] { return poller_->add_handle(native_of(object), Token{number}); });
    if (!added) continue;
    watched_.insert_or_assign(number, Watched{std::move(*added), Interest::readable, Mode::oneshot});
    return;
  }
  complaint_ = "an object could not be added";
}

void Play::rearm(nt::HANDLE object) {
  for (int i = 0; i < tries_max; i++) {
    if (in_library([&] { return watched_.at(number_of(object)).registration.rearm(); })) return;
  }
  complaint_ = "an object could not be armed again";
}

void Play::remove(Socket socket) {
  if (!in_library([&] { return watched_.at(socket).registration.remove(); })) complaint_ = "a remove failed";
  watched_.erase(socket);
}

void Play::wake() {
  const auto waker = poller_->waker();
  in_library([&] { waker.wake(); });
}

std::size_t Play::wait(std::chrono::nanoseconds timeout, std::size_t size) {
  std::array<Event, 64> buffer;
  const auto events = in_library([&] { return poller_->wait(std::span(buffer).first(size), timeout); });
  if (!events) return 0;
  for (const Event& event : *events) note(event);
  return events->size();
}

void Play::note(const Event& event) {
  const auto socket = static_cast<Socket>(event.token());
  const bool is_refusal = event.failed() && !event.hung_up();
  if (is_refusal && rules_are_met && faulty_.is_shortage()) complaint_ = "a shortage was reported as a failure";
  // A first poll that was refused as if its socket were closed.
  if (is_refusal && event.error() == std::errc::not_supported) return add_again(socket);
  reported_.push_back(socket);
}

void Play::expect(const std::vector<Socket>& sockets, std::size_t buffer) {
  reported_.clear();
  const auto is_reported = [&](Socket socket) { return std::ranges::find(reported_, socket) != reported_.end(); };
  for (int i = 0; i < tries_max + static_cast<int>(sockets.size()); i++) {
    wait(slice, buffer);
    if (std::ranges::all_of(sockets, is_reported)) return;
    if (!faulty_.has_denied_socket()) continue;
    for (const Socket socket : sockets) {
      // drained without a direction changes nothing, but is refused for a retired registration.
      auto& registration = watched_.at(socket).registration;
      if (!is_reported(socket) && !in_library([&] { return registration.drained(Interest::none); })) add_again(socket);
    }
  }
  complaint_ = "what is ready was not reported";
}

void Play::expect_wake() {
  const auto before = stats().wakes;
  for (int i = 0; i < tries_max && stats().wakes == before; i++) wait(slice);
  if (stats().wakes != before + 1) complaint_ = "a wake was lost or came twice";
}

}  // namespace sweep
