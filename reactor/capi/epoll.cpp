// SPDX-License-Identifier: MIT
//
// reactor/epoll.h on Windows: what is asked goes to the port's backend, what fails comes back as errno and
// GetLastError.
#include <reactor/nt/windows.hpp>

#include <chrono>
#include <climits>
#include <cstddef>
#include <optional>

#include <reactor/epoll.h>
#include <reactor/afd/epoll_bits.hpp>
#include <reactor/allocation.hpp>
#include <reactor/capi/last_error.hpp>
#include <reactor/capi/port.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::capi {

namespace {

using afd::Epoll;

static_assert(Epoll::in == EPOLLIN && Epoll::pri == EPOLLPRI && Epoll::out == EPOLLOUT && Epoll::err == EPOLLERR);
static_assert(Epoll::hup == EPOLLHUP && Epoll::rdnorm == EPOLLRDNORM && Epoll::rdband == EPOLLRDBAND);
static_assert(Epoll::wrnorm == EPOLLWRNORM && Epoll::wrband == EPOLLWRBAND && Epoll::rdhup == EPOLLRDHUP);
static_assert(Epoll::oneshot == EPOLLONESHOT && Epoll::msg == EPOLLMSG && Epoll::et == REACTOR_EPOLLET);

// As wepoll 1.5.8 lays them out.
static_assert(sizeof(epoll_data_t) == 8 && sizeof(epoll_event) == 16 && offsetof(epoll_event, data) == 8);

HANDLE create() noexcept {
  const auto port = catch_bad_alloc(open_port, out_of_memory());
  if (port) return *port;
  set_error(port.error());
  return nullptr;
}

afd::Watch watch_of(const epoll_event& event) noexcept { return afd::epoll_watch(event.events, event.data.u64); }

// The order is Linux's: both numbers are looked at before anything else is. EPOLLET cannot be kept: AFD does not report
// of new data while older is unread, and this interface has no call that says it was read.
Result<> control(HANDLE handle, int op, SOCKET socket, const epoll_event* event) noexcept {
  const bool has_event = op != EPOLL_CTL_DEL;
  if (has_event && event == nullptr) return failure(std::errc::bad_address);
  const auto port = find_port(handle);
  if (!port && port.error() == std::errc::bad_file_descriptor) return failure(port.error());
  const bool is_known = op == EPOLL_CTL_ADD || op == EPOLL_CTL_MOD || op == EPOLL_CTL_DEL;
  const bool is_refused = has_event && (event->events & Epoll::et) != 0;
  const bool is_valid = port && is_known && !is_refused;
  if (!is_valid) {
    if (const auto checked = nt::check_socket(socket); !checked) return checked;
    return failure(std::errc::invalid_argument);
  }
  if (op == EPOLL_CTL_DEL) return (*port)->remove(socket);
  const auto watch = watch_of(*event);
  const auto done = op == EPOLL_CTL_ADD ? (*port)->add(socket, watch) : (*port)->modify(socket, watch);
  return done ? Result<>() : failure(done.error());
}

class EpollSink final : public afd::EventSink {
 public:
  EpollSink(epoll_event* events, std::size_t size) noexcept : EventSink(size), events_(events) {}

 private:
  afd::Directions write(std::size_t index, const afd::Answer& answer) noexcept override {
    epoll_event event{};
    event.events = afd::epoll_events(answer);
    if (event.events == 0) return afd::Directions::none;
    event.data.u64 = static_cast<std::uint64_t>(answer.token);
    events_[index] = event;
    return answer.directions;
  }

  void write_post(std::size_t index, Token posted) noexcept override {
    epoll_event event{};
    event.events = Epoll::msg;
    event.data.u64 = static_cast<std::uint64_t>(posted);
    events_[index] = event;
  }

  epoll_event* events_;
};

}  // namespace

}  // namespace reactor::capi

using namespace reactor;
using namespace reactor::capi;

HANDLE epoll_create(int size) {
  if (size > 0) return create();
  set_error(std::make_error_code(std::errc::invalid_argument));
  return nullptr;
}

HANDLE epoll_create1(int flags) {
  if (flags == 0) return create();
  set_error(std::make_error_code(std::errc::invalid_argument));
  return nullptr;
}

int epoll_close(HANDLE ephnd) {
  const auto port = take_port(ephnd);
  if (!port) return fail(port.error());
  (*port)->retire();
  return 0;
}

int epoll_ctl(HANDLE ephnd, int op, SOCKET sock, epoll_event* event) {
  const auto done = control(ephnd, op, sock, event);
  return done ? 0 : fail(done.error());
}

int epoll_wait(HANDLE ephnd, epoll_event* events, int maxevents, int timeout) {
  if (maxevents <= 0 || maxevents > INT_MAX / static_cast<int>(sizeof(epoll_event))) {
    return fail(std::errc::invalid_argument);
  }
  const auto port = find_port(ephnd);
  if (!port) return fail(port.error());
  if (events == nullptr) return fail(std::errc::bad_address);
  std::optional<std::chrono::nanoseconds> limit;
  if (timeout >= 0) limit = std::chrono::milliseconds(timeout);
  EpollSink sink(events, static_cast<std::size_t>(maxevents));
  const auto waited = (*port)->wait(sink, limit);
  return waited ? static_cast<int>(waited->events) : fail(waited.error());
}
