// SPDX-License-Identifier: MIT
#include "arguments.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace bench {

namespace {

std::uint64_t parse(std::string_view name, std::string_view text, std::uint64_t min, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    fail(std::string(name) + " must be a number from " + std::to_string(min) + " to " + std::to_string(max) +
         ", not '" + std::string(text) + "'");
  }
  return value;
}

}  // namespace

void fail(const std::string& why) {
  std::fflush(stdout);
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::fflush(stderr);
  std::_Exit(2);
}

Arguments::Arguments(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    const std::string_view word = argv[i];
    if (word.starts_with("--")) {
      given_.push_back({.name = std::string(word), .value = {}});
    } else if (given_.empty() || given_.back().has_value) {
      fail("a value without a name before it: '" + std::string(word) + "'");
    } else {
      given_.back().value = word;
      given_.back().has_value = true;
    }
  }
}

Arguments::Given* Arguments::take(std::string_view name) {
  const auto found = std::ranges::find(given_, name, &Given::name);
  if (found == given_.end()) return nullptr;
  found->taken = true;
  return &*found;
}

std::uint64_t Arguments::number(std::string_view name, std::uint64_t if_absent, std::uint64_t min, std::uint64_t max) {
  const Given* given = take(name);
  return given == nullptr ? if_absent : parse(name, given->value, min, max);
}

std::string Arguments::text(std::string_view name, std::string_view if_absent) {
  const Given* given = take(name);
  if (given == nullptr) return std::string(if_absent);
  if (!given->has_value) fail(std::string(name) + " needs a value");
  return given->value;
}

bool Arguments::flag(std::string_view name) {
  const Given* given = take(name);
  if (given != nullptr && given->has_value) fail(std::string(name) + " takes no value");
  return given != nullptr;
}

std::vector<std::uint64_t> Arguments::numbers(std::string_view name) {
  std::vector<std::uint64_t> result;
  const Given* given = take(name);
  if (given == nullptr) return result;
  std::string_view rest = given->value;
  while (true) {
    const std::size_t comma = rest.find(',');
    result.push_back(parse(name, rest.substr(0, comma), 0, UINT64_MAX));
    if (comma == std::string_view::npos) return result;
    rest.remove_prefix(comma + 1);
  }
}

void Arguments::finish() const {
  const auto unknown = std::ranges::find(given_, false, &Given::taken);
  if (unknown != given_.end()) fail("no such option: " + unknown->name);
}

}  // namespace bench
