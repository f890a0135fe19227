// SPDX-License-Identifier: MIT
#include "sweep_play.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <reactor/make_poller.hpp>

#include "sim/kernel_apart.hpp"

namespace sweep {

using namespace reactor;
using namespace std::chrono_literals;

namespace {

constexpr int patience = 20;  // tries of a call that fails, and waits for what must come
constexpr auto slice = 500ms;

template <class Function>
auto in_library(Function&& function) {
  const sim::FailsHere here;
  return function();
}

}  // namespace

Play::Play(conformance::World& the_world, sim::FaultyKernel& faulty)
    : world(the_world), faulty_(faulty), kernel_(std::make_unique<sim::KernelApart>(faulty)) {
  for (int i = 0; i < patience && !poller_; i++) {
    try {
      auto backend = in_library([this] { return afd::AfdBackend::create(*kernel_, {}); });
      if (backend) poller_.emplace(reactor::poller_on(std::move(*backend)));
    } catch (const std::bad_alloc&) {  // at construction time it may
    }
  }
  if (!poller_) throw std::runtime_error("no Poller was to be had");
}

Play::~Play() {
  watched_.clear();
  in_library([&] { poller_.reset(); });
  world.join();
}

bool Play::try_add(Socket socket, Interest interest, Mode mode) {
  auto added =
      in_library([&] { return poller_->add(static_cast<NativeSocket>(socket), Token{socket}, interest, mode); });
  if (added) watched_.insert_or_assign(socket, Watched{std::move(*added), interest, mode});
  return added.has_value();
}

void Play::add(Socket socket, Interest interest, Mode mode) {
  for (int i = 0; i < patience; i++) {
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

// Its registration is over: by a poll that was refused because its socket seemed closed, and by nothing else.
void Play::add_again(Socket socket) {
  if (!faulty_.has_denied_socket()) complaint_ = "a registration ended by itself";
  const Watched& watched = watched_.at(socket);
  add(socket, watched.interest, watched.mode);
}

void Play::remove(Socket socket) {
  if (!in_library([&] { return watched_.at(socket).registration.remove(); })) complaint_ = "a remove failed";
  watched_.erase(socket);
}

void Play::wake() {
  const auto waker = poller_->waker();
  in_library([&] { waker.wake(); });
}

std::size_t Play::wait(std::chrono::nanoseconds timeout, std::size_t room_size) {
  std::array<Event, 64> room;
  const auto told = in_library([&] { return poller_->wait(std::span(room).first(room_size), timeout); });
  if (!told) return 0;
  for (const Event& event : *told) told_.push_back(static_cast<Socket>(event.token()));
  return told->size();
}

void Play::hear(const std::vector<Socket>& sockets, std::size_t room) {
  told_.clear();
  const auto is_told = [&](Socket socket) { return std::ranges::find(told_, socket) != told_.end(); };
  for (int i = 0; i < patience + static_cast<int>(sockets.size()); i++) {
    wait(slice, room);
    if (std::ranges::all_of(sockets, is_told)) return;
    if (!faulty_.has_denied_socket()) continue;
    for (const Socket socket : sockets) {
      // To have drained nothing changes nothing, but is refused when it is over.
      auto& registration = watched_.at(socket).registration;
      if (!is_told(socket) && !in_library([&] { return registration.drained(Interest::none); })) add_again(socket);
    }
  }
  complaint_ = "what is ready was not told";
}

void Play::hear_wake() {
  const auto before = stats().wakes;
  for (int i = 0; i < patience && stats().wakes == before; i++) wait(slice);
  if (stats().wakes != before + 1) complaint_ = "a wake was lost, or came twice";
}

}  // namespace sweep
