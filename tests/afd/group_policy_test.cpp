// SPDX-License-Identifier: MIT
//
// Which registrations are polled together, and for how long.
#include <doctest/doctest.h>

#include <cstdint>

#include <reactor/afd/group_policy.hpp>

using namespace reactor;

TEST_CASE(
    "group policy: a registration becomes a member by firing three times in close succession, and stops being one when "
    "idle") {
  using afd::GroupPolicy, afd::Activity;
  GroupPolicy policy(true);
  Activity activity;
  const auto fire = [&](std::uint32_t rounds_later) {
    for (std::uint32_t i = 0; i < rounds_later; i++) policy.end_round();
    policy.fired(activity);
  };
  fire(GroupPolicy::near_rounds + 1);
  CHECK(!policy.is_hot(activity));
  fire(GroupPolicy::near_rounds);
  CHECK(!policy.is_hot(activity));
  fire(GroupPolicy::near_rounds + 1);  // too late: the count begins again
  fire(GroupPolicy::near_rounds);
  CHECK(!policy.is_hot(activity));
  fire(1);
  CHECK(policy.is_hot(activity));
  for (int i = 1; i < GroupPolicy::idle_rounds_max; i++) policy.did_not_fire(activity);
  CHECK(policy.is_hot(activity));
  fire(100);  // in time: the idle rounds are counted from 0 again
  for (int i = 1; i < GroupPolicy::idle_rounds_max; i++) policy.did_not_fire(activity);
  CHECK(policy.is_hot(activity));
  policy.did_not_fire(activity);
  CHECK(!policy.is_hot(activity));
}

TEST_CASE("group policy: a registration that caused a group's cancel has to fire 64 times to become a member again") {
  using afd::GroupPolicy, afd::Activity;
  GroupPolicy policy(true);
  Activity activity;
  GroupPolicy::cancelled_group(activity);
  int fired = 0;
  for (; !policy.is_hot(activity); fired++) {
    policy.end_round();
    policy.fired(activity);
    REQUIRE(fired < 1000);
  }
  CHECK(fired >= 64);
}

TEST_CASE("group policy: each refusal doubles the pause without groups, and successes shorten it") {
  afd::GroupPolicy policy(true);
  const auto pause = [&policy] {
    int rounds = 0;
    for (; policy.members_max(16) == 0; rounds++) policy.end_round();
    return rounds;
  };
  CHECK(policy.members_max(16) == 16 * afd::GroupPolicy::members_per_event);
  CHECK(policy.members_max(1) == 0);
  int last = 0;
  for (int i = 0; i < 7; i++) {
    policy.was_refused();
    const int rounds = pause();
    CHECK(rounds == (last == 0 ? 16 : 2 * last));
    last = rounds;
  }
  policy.was_refused();
  CHECK(pause() == 1024);
  for (int i = 0; i < 1024; i++) policy.was_taken();
  policy.was_refused();
  CHECK(pause() == 1024);  // halved, then doubled
  for (int i = 0; i < 10000; i++) policy.was_taken();
  policy.was_refused();
  CHECK(pause() == 16);
  CHECK(afd::GroupPolicy(false).members_max(256) == 0);
}
