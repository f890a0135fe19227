// SPDX-License-Identifier: MIT
//
// System calls that Linux refuses: the caller gets the error, and no registration is lost.
#include <doctest/doctest.h>

#include <cerrno>

#include <reactor/address.hpp>
#include <reactor/socket.hpp>

#include "epoll_backend/support.hpp"

using namespace epoll_test;

namespace {

constexpr std::size_t call = offsetof(seccomp_data, nr);
constexpr std::size_t operation = offsetof(seccomp_data, args[1]);  // of epoll_ctl
constexpr std::size_t descriptor = offsetof(seccomp_data, args[2]);

// A seccomp filter is for ever, so the thread in which it applies ends with the function.
template <class Function>
void while_refused(int error, std::initializer_list<std::pair<std::size_t, int>> where, Function function) {
  std::thread([&] {
    if (refuse(static_cast<std::uint16_t>(error), where)) function();
  }).join();
}

template <class T>
std::error_code error_of(const Result<T>& result) {
  return result ? std::error_code{} : result.error();
}

}  // namespace

TEST_CASE("refused: create returns the error when a descriptor is refused") {
  const auto is_not_made = [] { CHECK(error_of(Poller::create()) == std::errc::too_many_files_open); };
  while_refused(EMFILE, {{call, SYS_eventfd2}}, is_not_made);
  while_refused(EMFILE, {{call, SYS_epoll_create1}}, is_not_made);
  while_refused(EMFILE, {{call, SYS_epoll_ctl}}, is_not_made);
}

TEST_CASE("refused: a modify leaves the registration as it was") {
  auto poller = make_poller();
  const Pair pair;
  auto registration = add(poller, pair.ours, 1);
  while_refused(ENOMEM, {{call, SYS_epoll_ctl}, {operation, EPOLL_CTL_MOD}},
                [&] { CHECK(error_of(registration.modify(Interest::writable)) == std::errc::not_enough_memory); });
  CHECK(reports_of(poller, 1ms) == nothing);
  pair.peers.write();
  CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
}

#ifdef SYS_epoll_pwait2
TEST_CASE("refused: without epoll_pwait2 a time-out is rounded up to milliseconds") {
  auto poller = make_poller();
  while_refused(EPERM, {{call, SYS_epoll_pwait2}}, [&] {
    const auto begin = Clock::now();
    CHECK(reports_of(poller, 1500us) == nothing);
    CHECK(Clock::now() - begin >= 1500us);
  });
}
#endif

// A new instance needs three calls: to add the wake, to wake the waits on the old instance, and to take its number.
TEST_CASE("refused: a new instance that cannot replace the old one leaves that as it was") {
  enum class Step : std::uint8_t { add_wake, wake_waiters, replace };
  for (const auto step : {Step::add_wake, Step::wake_waiters, Step::replace}) {
    const int wake_fd = Fd(::dup(0)).get();  // the number of the next descriptor
    auto poller = make_poller();
    const Pair pair;
    const auto registration = add(poller, pair.ours, 1);
    const Zombie zombie(poller);
    const auto is_as_it_was = [&] {
      CHECK(reports_of(poller, 5ms) == nothing);
      pair.peers.write();
      CHECK(reports_of(poller) == Reports{{1, Readiness::readable}});
      CHECK(poller.stats().registrations == 1);
    };
    switch (step) {
      case Step::add_wake:
        while_refused(ENOSPC, {{call, SYS_epoll_ctl}, {operation, EPOLL_CTL_ADD}}, is_as_it_was);
        break;
      case Step::wake_waiters:
        while_refused(ENOMEM, {{call, SYS_epoll_ctl}, {operation, EPOLL_CTL_MOD}, {descriptor, wake_fd}}, is_as_it_was);
        break;
      case Step::replace: while_refused(EMFILE, {{call, SYS_dup3}}, is_as_it_was); break;
    }
  }
}

TEST_CASE("refused: bind returns the error of each call that it makes") {
  const auto is_error = [](std::errc error, const Address& at) {
    return [error, at] { CHECK(error_of(TcpListener::bind(at)) == error); };
  };
  while_refused(EMFILE, {{call, SYS_socket}}, is_error(std::errc::too_many_files_open, Address::loopback_ipv4()));
  while_refused(ENOPROTOOPT, {{call, SYS_setsockopt}},
                is_error(std::errc::no_protocol_option, Address::loopback_ipv4()));
  while_refused(ENOPROTOOPT, {{call, SYS_setsockopt}},
                is_error(std::errc::no_protocol_option, Address::loopback_ipv6()));
  while_refused(EADDRINUSE, {{call, SYS_listen}}, is_error(std::errc::address_in_use, Address::loopback_ipv4()));
}

TEST_CASE("refused: an interrupted connect goes on, and any other error is returned") {
  const auto connect = [] { return error_of(TcpStream::connect(Address::loopback_ipv4(1))); };
  while_refused(EINTR, {{call, SYS_connect}}, [&] { CHECK_FALSE(connect()); });
  while_refused(ENETUNREACH, {{call, SYS_connect}}, [&] { CHECK(connect() == std::errc::network_unreachable); });
}

TEST_CASE("refused: accept returns the error of a connection that was reset before it was accepted") {
  const auto listener = TcpListener::bind(Address::loopback_ipv4());
  REQUIRE(listener.has_value());
  for (const int error : {ECONNABORTED, ECONNRESET}) {
    while_refused(error, {{call, SYS_accept4}}, [&] { CHECK(error_of(listener->accept()).value() == error); });
  }
}
