// SPDX-License-Identifier: MIT
// Sockets whose system calls are refused. Linux only, by seccomp.
#include "epoll_backend/support.hpp"

#include <reactor/socket.hpp>

#include <netinet/tcp.h>

using namespace reactor;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t call = offsetof(seccomp_data, nr);
constexpr std::size_t first = offsetof(seccomp_data, args[0]);
constexpr std::size_t option = offsetof(seccomp_data, args[2]);  // of setsockopt

// A seccomp filter is for ever, so the thread in which it applies ends with the function.
template <class Function>
void while_refused(int error, std::initializer_list<std::pair<std::size_t, int>> where, Function function) {
  std::thread([&] {
    if (epoll_test::refuse(static_cast<std::uint16_t>(error), where)) function();
  }).join();
}

template <class T>
std::error_code error_of(const Result<T>& result) {
  return result ? std::error_code{} : result.error();
}

}  // namespace

TEST_CASE("refused: without IPv6, Address::any means all IPv4 addresses") {
  while_refused(EAFNOSUPPORT, {{call, SYS_socket}, {first, AF_INET6}}, [] {
    const auto listener = TcpListener::bind(Address::any(0));
    REQUIRE(listener.has_value());
    const auto at = listener->local_address();
    REQUIRE(at.has_value());
    CHECK(*at == Address::any_ipv4(at->port()));
    CHECK(UdpSocket::bind(Address::any(0)).has_value());
    CHECK(error_of(TcpListener::bind(Address::any_ipv6(0))) == std::errc::address_family_not_supported);
  });
  while_refused(EMFILE, {{call, SYS_socket}, {first, AF_INET6}},
                [] { CHECK(error_of(TcpListener::bind(Address::any(0))) == std::errc::too_many_files_open); });
}

TEST_CASE("refused: an option that cannot be set is an error, and no socket is left open") {
  constexpr auto error = std::errc::no_protocol_option;
  const auto loopback = Address::loopback_ipv4();
  while_refused(ENOPROTOOPT, {{call, SYS_setsockopt}, {option, SO_REUSEPORT}}, [&] {
    CHECK(error_of(TcpListener::bind(loopback, {.reuse_port = true})) == error);
    CHECK(error_of(UdpSocket::bind(loopback, {.reuse_port = true})) == error);
    CHECK(TcpListener::bind(loopback).has_value());
  });
  while_refused(ENOPROTOOPT, {{call, SYS_setsockopt}, {option, IP_BIND_ADDRESS_NO_PORT}},
                [&] { CHECK(error_of(TcpStream::connect(Address::loopback_ipv4(1), loopback)) == error); });
  while_refused(ENOPROTOOPT, {{call, SYS_setsockopt}, {option, TCP_KEEPIDLE}}, [&] {
    const auto listener = TcpListener::bind(loopback);
    REQUIRE(listener.has_value());
    const auto stream = TcpStream::connect(listener->local_address().value());
    REQUIRE(stream.has_value());
    CHECK(error_of(stream->set_keepalive(1s, 1s)) == error);
  });
}

TEST_CASE("refused: a connect from a given local address that fails at once") {
  while_refused(ENETUNREACH, {{call, SYS_connect}}, [] {
    const auto stream = TcpStream::connect(Address::loopback_ipv4(1), Address::loopback_ipv4());
    CHECK(error_of(stream) == std::errc::network_unreachable);
  });
}
