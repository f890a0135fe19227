// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <reactor/reactor.hpp>

using namespace reactor;

TEST_CASE("Interest and Readiness are sets of flags") {
  constexpr auto both = Interest::readable | Interest::writable;
  static_assert((both & Interest::writable) == Interest::writable);
  static_assert(~both == Interest::priority);
  static_assert(~Interest::none == (both | Interest::priority));
  static_assert(~~both == both);
  auto interest = Interest::readable;
  CHECK((interest |= Interest::priority) == (Interest::readable | Interest::priority));
  CHECK((interest &= ~Interest::readable) == Interest::priority);
  auto readiness = Readiness::readable;
  CHECK((readiness |= Readiness::failed) == (Readiness::readable | Readiness::failed));
  CHECK((readiness &= ~Readiness::readable) == Readiness::failed);
}

TEST_CASE("texts") {
  CHECK(to_string(Interest::none) == "none");
  CHECK(to_string(Interest::readable | Interest::priority) == "readable|priority");
  CHECK(to_string(Readiness::none) == "none");
  CHECK(to_string(~Readiness::none) == "readable|writable|priority|read_closed|hung_up|failed");
  CHECK(to_string(Event(Token{7}, Readiness::readable | Readiness::failed)) == "7: readable|failed");
  CHECK(to_string(Event()) == "0: none");
#ifdef _WIN32
  CHECK(to_string(Event(Token{7}, Completion{nullptr, 12})) == "7: completion of 12 bytes");
#endif
  CHECK(to_string(Address::loopback_ipv4(80)) == "127.0.0.1:80");
  CHECK(to_string(Address()).empty());
#ifdef __cpp_lib_format
  CHECK(std::format("{}", Interest::writable) == "writable");
  CHECK(std::format("{:>10}", Readiness::hung_up) == "   hung_up");
  CHECK(std::format("{}", Event(Token{7}, Readiness::readable)) == "7: readable");
  CHECK(std::format("{}", Address::loopback_ipv4(80)) == "127.0.0.1:80");
#endif
}

TEST_CASE("a default Waker may be called and has no effect") {
  const Waker waker;
  waker.wake();
  auto poller = Poller::create();
  REQUIRE(poller);
  std::array<Event, 1> buffer;
  CHECK_FALSE(poller->wait(buffer, std::chrono::nanoseconds::zero())->woken());
}

TEST_CASE("the version macros agree with the project's version") {
  static_assert(REACTOR_VERSION == REACTOR_VERSION_MAJOR * 10000 + REACTOR_VERSION_MINOR * 100 + REACTOR_VERSION_PATCH);
}
