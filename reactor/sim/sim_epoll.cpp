// SPDX-License-Identifier: MIT
#include <reactor/sim/sim_epoll.hpp>

#include <algorithm>
#include <utility>

namespace reactor::sim {

namespace {

std::unexpected<std::error_code> gone() noexcept { return failure(std::errc::bad_file_descriptor); }

/// epoll's bits.
struct Bits {
  bool in = false, out = false, pri = false, rdhup = false, hup = false, err = false;
};

// As an eventfd.
Bits bits_of(const Waitable& signal) { return {.in = signal.signals > 0, .out = true}; }

Bits bits_of(const Endpoint& socket) {
  Bits bits;
  bits.err = socket.error != std::errc{};
  switch (socket.state) {
    case SocketState::not_afd:
    case SocketState::connecting: break;
    case SocketState::fresh: bits.in = bits.out = bits.hup = true; break;
    case SocketState::failed:
      bits.in = bits.out = bits.hup = true;
      bits.rdhup = socket.backlog_max == 0;  // not of what was a listener
      break;
    case SocketState::listening: bits.in = !socket.backlog.empty(); break;
    case SocketState::datagram:
      bits.in = !socket.datagrams.empty() || socket.shut_read;
      bits.out = true;
      bits.rdhup = socket.shut_read;
      bits.hup = socket.shut_read && socket.shut;
      break;
    case SocketState::connected: {
      const bool is_end = socket.fin || socket.shut_read || socket.reset;
      bits.in = is_end || socket.unread > 0;
      bits.out = socket.reset || socket.shut || socket.stack->is_writable(socket);
      bits.pri = socket.urgent > 0;
      bits.rdhup = is_end;
      bits.hup = socket.reset || (is_end && socket.shut);
      break;
    }
  }
  return bits;
}

bool has(Interest interest, Interest flag) noexcept { return (interest & flag) != Interest::none; }

}  // namespace

void LinuxHost::socket_woken(Endpoint& endpoint, Wake wake) {
  for (EpollItem* const item : endpoint.watching) item->owner->socket_woken(*item, wake);
}

void LinuxHost::socket_closed(Endpoint& endpoint) {
  for (EpollItem* const item : std::exchange(endpoint.watching, {})) item->owner->socket_closed(*item);
}

void LinuxHost::set(Waitable& signal, bool is_set) {
  signal.signals = is_set ? 1 : 0;
  for (EpollItem* const item : signal.watching) item->owner->socket_woken(*item, Wake::everything);
}

void LinuxHost::close_signal(std::uintptr_t number) {
  const auto signal = core.handles.find<Waitable>(number);
  static_cast<void>(core.handles.close(number));
  for (EpollItem* const item : std::exchange(signal->watching, {})) item->owner->socket_closed(*item);
}

Readiness SimEpoll::readiness(const EpollItem& item) {
  const Bits bits = item.signal != nullptr ? bits_of(*item.signal) : bits_of(*item.endpoint);
  if (!bits.out) item.endpoint->wants_space = true;  // as SOCK_NOSPACE: reported when there is some
  const bool reads = has(item.interest, Interest::readable);
  auto readiness = Readiness::none;
  if ((bits.in && reads) || bits.err) readiness |= Readiness::readable;
  if ((bits.out && has(item.interest, Interest::writable)) || bits.err) readiness |= Readiness::writable;
  if (bits.pri && has(item.interest, Interest::priority)) readiness |= Readiness::priority;
  if (bits.rdhup && reads) readiness |= Readiness::read_closed;
  if (bits.hup) readiness |= Readiness::hung_up;
  if (bits.err) readiness |= Readiness::failed;
  return readiness;
}

EpollItem* SimEpoll::find(RegistrationId id) noexcept {
  if (id.slot >= table_.size() || table_[id.slot] == nullptr) return nullptr;
  EpollItem& item = *table_[id.slot];
  return id.generation != 0 && item.generation == id.generation ? &item : nullptr;
}

void SimEpoll::detach(EpollItem& item) noexcept {
  if (const auto endpoint = std::exchange(item.endpoint, nullptr)) std::erase(endpoint->watching, &item);
  if (const auto signal = std::exchange(item.signal, nullptr)) std::erase(signal->watching, &item);
  if (std::exchange(item.is_queued, false)) std::erase(ready_, &item);
}

void SimEpoll::erase(EpollItem& item) noexcept {
  detach(item);
  item.generation = 0;
  --live_;
}

void SimEpoll::queue(EpollItem& item) {
  if (!std::exchange(item.is_queued, true)) ready_.push_back(&item);
  host_.core.wake(sleepers_);
}

void SimEpoll::queue_if_ready(EpollItem& item) {
  if (!item.is_queued && readiness(item) != Readiness::none) queue(item);
}

// An edge is each arrival of what is asked for, whatever was there before.
void SimEpoll::socket_woken(EpollItem& item, Wake wake) {
  if (item.is_disarmed) return;
  const auto bits = std::to_underlying(wake);
  const bool is_asked = wake == Wake::everything || (bits & std::to_underlying(item.interest)) != 0;
  if (is_asked) queue_if_ready(item);
}

void SimEpoll::socket_closed(EpollItem& item) {
  if (std::exchange(item.is_queued, false)) std::erase(ready_, &item);
  item.endpoint = nullptr;
  item.signal = nullptr;
}

Result<RegistrationId> SimEpoll::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  return add(static_cast<std::uintptr_t>(socket), {.token = token, .interest = interest, .mode = mode});
}

Result<RegistrationId> SimEpoll::add_handle(NativeHandle handle, Token token) {
  auto added = add(number_of(handle),
                   {.token = token, .interest = Interest::readable, .mode = Mode::oneshot, .is_handle = true});
  if (!added && added.error() == std::errc::not_a_socket) return failure(std::errc::invalid_argument);
  return added;
}

Result<RegistrationId> SimEpoll::add(std::uintptr_t number, const EpollItem& wanted) {
  if (is_closed_) return gone();
  counted_.arm_calls++;
  const auto endpoint = host_.core.handles.find<Endpoint>(number);
  const auto signal = host_.core.handles.find<Waitable>(number);
  if (endpoint == nullptr && signal == nullptr) {
    const bool is_open = !std::holds_alternative<std::monostate>(host_.core.handles.at(number));
    return failure(is_open ? std::errc::not_a_socket : std::errc::bad_file_descriptor);
  }
  if (number >= table_.size()) table_.resize(number + 1);
  auto& item = table_[number];
  if (item == nullptr) item = std::make_unique<EpollItem>();
  if (item->generation != 0 && is_open(*item, number)) return failure(std::errc::file_exists);
  if (item->generation != 0) erase(*item);  // of what had the number before
  live_++;
  *item = wanted;
  item->owner = this;
  item->endpoint = endpoint;
  item->signal = signal;
  item->generation = ++generations_;
  (signal != nullptr ? signal->watching : endpoint->watching).push_back(item.get());
  queue_if_ready(*item);
  return RegistrationId{static_cast<std::uint32_t>(number), item->generation};
}

Result<> SimEpoll::modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) {
  EpollItem* const item = find(id);
  if (item == nullptr) return gone();
  if (item->is_handle && interest) return failure(std::errc::invalid_argument);
  counted_.arm_calls++;
  if (!is_open(*item, id.slot)) {
    erase(*item);
    return gone();
  }
  item->interest = interest.value_or(item->interest);
  item->mode = mode.value_or(item->mode);
  item->is_disarmed = false;
  queue_if_ready(*item);
  return {};
}

// The number still means what it was added for.
bool SimEpoll::is_open(const EpollItem& item, std::uintptr_t number) const {
  if (item.signal != nullptr) return host_.core.handles.find<Waitable>(number) == item.signal;
  return item.endpoint != nullptr && host_.core.handles.find<Endpoint>(number) == item.endpoint;
}

Result<> SimEpoll::drained(RegistrationId id, Interest) {
  if (find(id) == nullptr) return gone();
  return {};
}

Result<> SimEpoll::remove(RegistrationId id) {
  if (is_closed_) return gone();
  EpollItem* const item = find(id);
  if (item == nullptr) return {};
  counted_.arm_calls++;
  erase(*item);
  return {};
}

std::size_t SimEpoll::take(std::span<Event> buffer) {
  std::size_t count = 0;
  for (std::size_t left = ready_.size(); left > 0 && count < buffer.size(); left--) {
    EpollItem& item = *ready_.front();
    ready_.pop_front();
    item.is_queued = false;
    const Readiness found = readiness(item);
    if (found == Readiness::none || item.is_disarmed) continue;
    buffer[count++] = Event(item.token, found);
    // Interest::none reports a hang-up or a failure once.
    item.is_disarmed = item.mode == Mode::oneshot || item.interest == Interest::none;
    if (item.mode != Mode::level || item.is_disarmed) continue;
    item.is_queued = true;
    ready_.push_back(&item);
  }
  return count;
}

Result<WaitResult> SimEpoll::wait(std::span<Event> buffer, std::optional<std::chrono::nanoseconds> timeout) {
  std::optional<std::chrono::nanoseconds> until;
  if (timeout && *timeout < std::chrono::nanoseconds::max() - host_.core.now()) until = host_.core.now() + *timeout;
  counted_.wait_calls++;
  for (;;) {
    if (is_closed_) return gone();
    host_.core.run_due();
    const std::size_t events = take(buffer);
    const bool woken = std::exchange(is_woken_, false);
    if (events > 0 || woken) {
      counted_.events += events;
      counted_.wakes += woken ? 1 : 0;
      return WaitResult{events, woken};
    }
    if (until && host_.core.now() >= *until) return WaitResult{};
    host_.core.timeline->scheduler->sleep(sleepers_, until, "an event or a wake of a Poller");
  }
}

void SimEpoll::wake() noexcept {
  if (std::exchange(is_woken_, true)) return;
  counted_.post_calls++;
  host_.core.wake(sleepers_);
}

Stats SimEpoll::stats() const noexcept {
  Stats stats = counted_;
  stats.registrations = live_;
  stats.memory_bytes = table_.capacity() * sizeof(EpollItem);
  return stats;
}

void SimEpoll::close() noexcept {
  is_closed_ = true;
  for (const auto& item : table_) {
    if (item != nullptr) detach(*item);
  }
  table_.clear();
  live_ = 0;
}

}  // namespace reactor::sim
