// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/poller.hpp>

#include "../common/json.hpp"

namespace bench {

/// Adds a Poller's statistics to `json`.
inline void describe(const reactor::Stats& stats, Json& json) {
  Json calls, held;
  calls.add("wait", stats.wait_calls).add("arm", stats.arm_calls).add("cancel", stats.cancel_calls);
  calls.add("post", stats.post_calls).add("other", stats.other_calls).add("all", stats.kernel_calls());
  held.add("registrations", stats.registrations).add("pending_polls", stats.pending_polls);
  held.add("helper_handles", stats.helper_handles).add("arena_blocks", stats.arena_blocks);
  held.add("memory_bytes", stats.memory_bytes);
  json.add("events", stats.events).add("inline_completions", stats.inline_completions);
  json.add("group_arms", stats.group_arms).add("group_members", stats.group_members);
  json.add("packets", stats.packets).add("spurious", stats.spurious).add("wakes", stats.wakes);
  json.add("calls", calls).add("held", held);
}

}  // namespace bench
