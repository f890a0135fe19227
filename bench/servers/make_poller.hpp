// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <reactor/poller.hpp>

namespace bench {

/// A Poller for the kinds "ours" and "ours-ungrouped".
[[nodiscard]] inline reactor::Result<reactor::Poller> make_poller(std::string_view kind) {
  reactor::PollerOptions options;
  options.hot_groups = kind != "ours-ungrouped";
  return reactor::Poller::create(options);
}

}  // namespace bench
