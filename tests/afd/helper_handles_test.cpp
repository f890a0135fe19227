// SPDX-License-Identifier: MIT
//
// The helper handles that a Poller opens: how many, and what they cost.
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/helper_handles.hpp>

#include "afd/fixture.hpp"

using namespace afd_fixture;

TEST_CASE("helper handles that are opened and closed repeatedly do not use more memory each time") {
  Fixture f;
  std::uint64_t bytes = 0;
  for (int round = 0; round < 40; round++) {
    std::vector<Registration> registrations;
    for (int i = 0; i < 200; i++) registrations.push_back(f.add(hot(i)));
    if (round == 1) bytes = f.poller->stats().memory_bytes;
    if (round > 1) CHECK(f.poller->stats().memory_bytes == bytes);
  }
}

TEST_CASE("helper handles without registrations are closed, except one") {
  Fixture f;
  std::vector<Registration> registrations;
  for (int i = 0; i < 200; i++) registrations.push_back(f.add(hot(i)));
  const auto most = f.poller->stats().helper_handles;
  CHECK(most == (200 + afd::HelperHandles::sockets_per_handle - 1) / afd::HelperHandles::sockets_per_handle);
  registrations.clear();
  CHECK(f.poller->stats().helper_handles == 1);
}

TEST_CASE("an add that fails because no helper handle can be opened releases its slot") {
  reactor::sim::SimKernel kernel(reactor::sim::Options{.faults = {.helper_refused = 1000}});
  Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));
  for (std::uint32_t i = 0; i < 4 * afd::Arena::slots_per_block; i++) {
    const auto socket = static_cast<NativeSocket>(kernel.net().tcp());
    CHECK_FALSE(poller.add(socket, Token{1}, Interest::readable).has_value());
  }
  CHECK(poller.stats().arena_blocks <= 1);
}
