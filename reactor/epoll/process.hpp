// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace reactor::epoll {

/// A number that changes in a child made by fork, so that what was made in the parent is known to be inherited. Costs a
/// load: a handler of pthread_atfork counts.
[[nodiscard]] std::uint32_t process_mark() noexcept;

/// The errno of pthread_atfork; where it is not 0, forks cannot be noticed.
[[nodiscard]] int process_mark_error() noexcept;

}  // namespace reactor::epoll
