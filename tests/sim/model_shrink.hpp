// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model_program.hpp"

// Programs that fail, made short. Each try is a process of its own, so that a crash or a sanitizer's report is a
// failure like any other. Linux only.

namespace reactor::sim::model {

/// Whether the program fails, in a child that says nothing; one that takes longer than `limit_s` fails too.
[[nodiscard]] bool fails(const Program& program, unsigned limit_s);

/// The places of the steps that are left when all are taken out without which it still fails.
[[nodiscard]] std::vector<std::size_t> shrink(const Program& program);

/// Only these steps of it.
[[nodiscard]] Program keep_only(const Program& program, const std::vector<std::size_t>& kept);

/// "1,2,5" and back.
[[nodiscard]] std::string to_text(const std::vector<std::size_t>& numbers);
[[nodiscard]] std::vector<std::size_t> to_numbers(const std::string& text);

}  // namespace reactor::sim::model
