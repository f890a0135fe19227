// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace bench {

/// One JSON object, written member by member. Names and texts must need no escapes.
class Json {
 public:
  Json& add(std::string_view name, std::integral auto value) { return raw(name, std::to_string(value)); }
  Json& add(std::string_view name, double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.9g", value);
    return raw(name, text);
  }
  Json& add(std::string_view name, const Json& value) { return raw(name, value.text()); }
  Json& add_text(std::string_view name, std::string_view value) { return raw(name, '"' + std::string(value) + '"'); }
  /// A value that is JSON already.
  Json& raw(std::string_view name, std::string_view value) {
    text_ += text_.empty() ? "\"" : ", \"";
    text_.append(name).append("\": ").append(value);
    return *this;
  }
  [[nodiscard]] std::string text() const { return '{' + text_ + '}'; }

 private:
  std::string text_;
};

}  // namespace bench
