// SPDX-License-Identifier: MIT
#include <reactor/nt/functions.hpp>

#include <string>
#include <system_error>

namespace reactor::nt {

namespace {

class MissingFunctionCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "ntdll"; }
  [[nodiscard]] std::string message(int value) const override {
    const auto i = static_cast<std::size_t>(value) - 1;
    return std::string("ntdll.dll does not export ") + (i < function_names.size() ? function_names[i] : "a function");
  }
  [[nodiscard]] std::error_condition default_error_condition(int) const noexcept override {
    return std::make_error_condition(std::errc::function_not_supported);
  }
};

}  // namespace

Result<std::array<void*, function_names.size()>> resolve(void* (*find)(const char* name)) {
  static const MissingFunctionCategory category;
  std::array<void*, function_names.size()> functions{};
  for (std::size_t i = 0; i < functions.size(); i++) {
    functions[i] = find(function_names[i]);
    if (functions[i] == nullptr) return failure(std::error_code(static_cast<int>(i) + 1, category));
  }
  return functions;
}

}  // namespace reactor::nt
