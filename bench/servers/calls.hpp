// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace bench {

/// Begins to count the kernel calls of this process by name. Windows: patches the entries of ntdll. Linux: needs
/// libbench_calls.so preloaded. False if it cannot count.
[[nodiscard]] bool count_calls();

/// The counts so far as JSON, {"name": count, ...}, without zeros.
[[nodiscard]] std::string counted_calls();

}  // namespace bench
