// SPDX-License-Identifier: MIT
#include <reactor/result.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

using reactor::failure;
using reactor::Result;

namespace {

Result<int> parse_port(const std::string& text) {
  if (text.empty()) return failure(std::errc::invalid_argument);
  return std::stoi(text);
}

Result<> check_port(const std::string& text) {
  const auto port = parse_port(text);
  if (!port) return failure(port.error());
  if (*port > 65535) return failure(std::errc::result_out_of_range);
  return {};
}

}  // namespace

TEST_CASE("a Result holds a value or says why there is none") {
  CHECK(parse_port("80") == 80);
  CHECK_FALSE(parse_port("").has_value());
  CHECK(parse_port("").error() == std::errc::invalid_argument);
}

TEST_CASE("an error passes through callers as it was") {
  CHECK(check_port("80").has_value());
  CHECK(check_port("").error() == std::errc::invalid_argument);
  CHECK(check_port("70000").error() == std::errc::result_out_of_range);
}

TEST_CASE("a code of the system keeps its value and its category") {
#ifdef _WIN32
  const std::error_code code(10061, std::system_category());  // WSAECONNREFUSED
#else
  const std::error_code code(111, std::system_category());  // ECONNREFUSED
#endif
  const Result<> result = failure(code);
  CHECK(result.error() == code);
  CHECK(&result.error().category() == &std::system_category());
}

TEST_CASE("a Result carries what can only be moved") {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = std::move(made).value();
  CHECK(*taken == 7);
  static_assert(std::is_same_v<Result<>, Result<void>>);
}
