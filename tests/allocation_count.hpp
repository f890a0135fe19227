// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

/// The number of calls of operator new in this program so far.
std::size_t allocations() noexcept;
