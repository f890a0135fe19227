// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace bench {

/// From now on each kernel call of this process is counted, by its name. Windows: the entries of ntdll are patched.
/// Linux: works if libbench_calls.so was preloaded. False where it is not possible.
[[nodiscard]] bool count_calls();

/// {"name": count, ...} of those that were called.
[[nodiscard]] std::string counted_calls();

}  // namespace bench
