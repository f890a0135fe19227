// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model_program.hpp"

// Programs that fail, made short. Each try is a process of its own, so that a crash or a sanitizer's report is a
// failure like any other. Linux only.

namespace reactor::sim::model {

/// Whether the program fails, in a child without output. One that takes longer than `limit_s` fails too.
[[nodiscard]] bool fails(const Program& program, unsigned limit_s);

/// The indices of steps that are enough for it to fail.
[[nodiscard]] std::vector<std::size_t> shrink(const Program& program);

/// The program with these steps only.
[[nodiscard]] Program keep_only(const Program& program, const std::vector<std::size_t>& kept);

/// Indices as text, "1,2,5", and back.
[[nodiscard]] std::string to_text(const std::vector<std::size_t>& numbers);
[[nodiscard]] std::vector<std::size_t> to_numbers(const std::string& text);

}  // namespace reactor::sim::model
