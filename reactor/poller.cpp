// SPDX-License-Identifier: MIT
#include <reactor/poller.hpp>

#include <utility>

#include <reactor/backend.hpp>
#include <reactor/make_poller.hpp>

namespace reactor {

namespace {

std::unexpected<std::error_code> gone() noexcept { return failure(std::errc::bad_file_descriptor); }

}  // namespace

Registration::Registration(std::shared_ptr<Backend> backend, std::uint32_t slot, std::uint64_t generation) noexcept
    : backend_(std::move(backend)), generation_(generation), slot_(slot) {}

Registration::Registration(Registration&& other) noexcept
    : backend_(std::move(other.backend_)), generation_(other.generation_), slot_(other.slot_) {}

Registration& Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    static_cast<void>(remove());
    backend_ = std::move(other.backend_);
    generation_ = other.generation_;
    slot_ = other.slot_;
  }
  return *this;
}

Registration::~Registration() { static_cast<void>(remove()); }

Result<> Registration::modify(Interest interest) {
  return backend_ ? backend_->modify({slot_, generation_}, interest, std::nullopt) : gone();
}

Result<> Registration::modify(Interest interest, Mode mode) {
  return backend_ ? backend_->modify({slot_, generation_}, interest, mode) : gone();
}

Result<> Registration::rearm() {
  return backend_ ? backend_->modify({slot_, generation_}, std::nullopt, std::nullopt) : gone();
}

Result<> Registration::drained(Interest direction) {
  return backend_ ? backend_->drained({slot_, generation_}, direction) : gone();
}

Result<> Registration::remove() {
  if (!backend_) return gone();
  const auto backend = std::exchange(backend_, nullptr);
  return backend->remove({slot_, generation_});
}

Result<bool> Registration::withdraw() {
  if (!backend_) return gone();
  const auto backend = std::exchange(backend_, nullptr);
  return backend->withdraw({slot_, generation_});
}

Waker::Waker(std::shared_ptr<Backend> backend) noexcept : backend_(std::move(backend)) {}

void Waker::wake() const noexcept {
  if (backend_) backend_->wake();
}

Result<Poller> Poller::create(const PollerOptions& options) {
  auto backend = create_backend(options);
  if (!backend) return failure(backend.error());
  return Poller(std::move(*backend));
}

Poller::Poller(std::shared_ptr<Backend> backend) noexcept : backend_(std::move(backend)) {}

Poller poller_on(std::shared_ptr<Backend> backend) noexcept { return Poller(std::move(backend)); }

Poller& Poller::operator=(Poller&& other) noexcept {
  if (this != &other) {
    if (backend_) backend_->close();
    backend_ = std::move(other.backend_);
  }
  return *this;
}

Poller::~Poller() {
  if (backend_) backend_->close();
}

Result<Registration> Poller::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  if (!backend_) return gone();
  const auto id = backend_->add(socket, token, interest, mode);
  if (!id) return failure(id.error());
  return Registration(backend_, id->slot, id->generation);
}

Result<Registration> Poller::add_handle(NativeHandle handle, Token token) {
  if (!backend_) return gone();
  const auto id = backend_->add_handle(handle, token);
  if (!id) return failure(id.error());
  return Registration(backend_, id->slot, id->generation);
}

Result<> Poller::associate(NativeHandle handle, Token token) {
  return backend_ ? backend_->associate(handle, token) : gone();
}

Result<std::uintptr_t> Poller::completion_key(Token token) {
  if (!backend_) return gone();
  return backend_->completion_key(token);
}

Result<Events> Poller::wait(std::span<Event> buffer, std::optional<std::chrono::nanoseconds> timeout) {
  if (!backend_) return gone();
  if (buffer.empty() || (timeout && timeout->count() < 0)) return failure(std::errc::invalid_argument);
  const auto waited = backend_->wait(buffer, timeout);
  if (!waited) return failure(waited.error());
  return Events(buffer.first(waited->events), waited->woken);
}

Waker Poller::waker() const noexcept { return Waker(backend_); }

Result<NativeHandle> Poller::native_handle() const {
  if (!backend_) return gone();
  return backend_->native_handle();
}

Stats Poller::stats() const noexcept { return backend_ ? backend_->stats() : Stats{}; }

}  // namespace reactor
