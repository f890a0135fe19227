// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// Ends the program with a message and exit code 2.
[[noreturn]] void fail(const std::string& why);

/// The arguments of a benchmark program: `--name value` and `--name` alone. A wrong argument ends the program with a
/// message that says what was expected.
class Arguments {
 public:
  Arguments(int argc, char** argv);

  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t if_absent, std::uint64_t min,
                                     std::uint64_t max);
  /// A number of things in memory.
  [[nodiscard]] std::size_t count(std::string_view name, std::size_t if_absent, std::size_t min, std::size_t max) {
    return static_cast<std::size_t>(number(name, if_absent, min, max));
  }
  [[nodiscard]] std::string text(std::string_view name, std::string_view if_absent);
  [[nodiscard]] bool flag(std::string_view name);
  /// Numbers separated by commas.
  [[nodiscard]] std::vector<std::uint64_t> numbers(std::string_view name);

  /// Call this last: ends the program if an argument was given that no call has read.
  void finish() const;

 private:
  struct Given {
    std::string name, value;
    bool has_value = false, taken = false;
  };
  [[nodiscard]] Given* take(std::string_view name);

  std::vector<Given> given_;
};

}  // namespace bench
