// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <type_traits>

#include <reactor/poller.hpp>

namespace bench {

template <class Options>
inline constexpr bool has_groups = requires(Options options) { options.hot_groups; };

// A template, so that it also compiles against a library without hot groups, where it does nothing.
void set_groups(auto& options, bool on) {
  if constexpr (has_groups<std::remove_reference_t<decltype(options)>>) options.hot_groups = on;
}

/// For the kinds "ours" and "ours-ungrouped".
[[nodiscard]] inline reactor::Result<reactor::Poller> make_poller(std::string_view kind) {
  reactor::PollerOptions options;
  set_groups(options, kind != "ours-ungrouped");
  return reactor::Poller::create(options);
}

}  // namespace bench
