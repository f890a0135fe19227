// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/time.hpp>

#include "../allocation_count.hpp"
#include "virtual_time.hpp"

/// What the tests of operations on sockets have in common.
namespace loop_test {

using namespace reactor;
using namespace std::chrono_literals;
using std::errc;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
std::error_code error_of(const Result<T>& result) {
  return result ? std::error_code{} : result.error();
}

inline std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Runs the test's task, with a time-out.
template <class Function>
void run(Function function) {
  auto loop = Loop::create();
  REQUIRE(loop);
  const auto limited = [&]() -> Task<Result<>> { co_return co_await with_timeout(30s, function()); };
  must(loop->run(limited()));
  CHECK(loop->stats().tasks == 0);
  CHECK(loop->stats().armed_timers == 0);
  CHECK(loop->poller_stats().registrations == 0);
}

inline On<TcpListener> listen() { return On<TcpListener>(must(TcpListener::bind(Address::loopback_ipv4()))); }

inline Task<std::pair<On<TcpStream>, On<TcpStream>>> pair() {
  auto listener = listen();
  auto one = must(co_await connect(must(listener.socket().local_address())));
  auto accepted = must(co_await listener.accept());
  co_return std::pair(std::move(one), std::move(accepted.stream));
}

}  // namespace loop_test
