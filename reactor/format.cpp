// SPDX-License-Identifier: MIT
#include <reactor/format.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace reactor {

namespace {

// By bit. The flags of Interest are the first of Readiness.
constexpr std::array<std::string_view, 6> names{"readable", "writable", "priority", "read_closed", "hung_up", "failed"};

std::string text_of(unsigned flags, std::span<const std::string_view> known) {
  std::string text;
  for (std::size_t bit = 0; bit != known.size(); ++bit) {
    if ((flags >> bit & 1U) == 0) continue;
    if (!text.empty()) text += '|';
    text += known[bit];
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::string to_string(Interest interest) { return text_of(std::to_underlying(interest), std::span(names).first(3)); }
std::string to_string(Readiness readiness) { return text_of(std::to_underlying(readiness), names); }

std::string to_string(const Event& event) {
  if (const auto completion = event.completion()) {
    return std::to_string(std::to_underlying(event.token())) + ": completion of " + std::to_string(completion->bytes) +
           " bytes";
  }
  return std::to_string(std::to_underlying(event.token())) + ": " + to_string(event.readiness());
}

}  // namespace reactor
