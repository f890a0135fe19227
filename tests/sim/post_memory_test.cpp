// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cstdint>

#include <reactor/afd/post_queue.hpp>

#include "failing_new.hpp"

using namespace reactor;

TEST_CASE("posts: without memory one is refused, and none of the others is lost") {
  if (!sim::FailingNew::is_possible()) return;
  afd::PostQueue queue;
  std::uint64_t posted = 0;
  bool was_refused = false;
  while (!was_refused || posted < 100) {
    if (posted == 16) {  // and the ring has wrapped around
      for (std::uint64_t i = 0; i < 5; i++) CHECK(queue.pop() == Token{i});
      for (std::uint64_t i = 0; i < 5; i++) CHECK(queue.push(Token{posted++}));
    }
    const bool fails = posted == 21 && !was_refused;
    sim::FailingNew::set(fails ? 1 : 0);
    bool taken = false;
    {
      const sim::FailsHere during_push;
      taken = queue.push(Token{posted});
    }
    sim::FailingNew::set(0);
    CHECK(taken != fails);
    was_refused = was_refused || fails;
    if (taken) posted++;
  }
  for (std::uint64_t i = 5; i < posted; i++) CHECK(queue.pop() == Token{i});
  CHECK(queue.empty());
}
