// SPDX-License-Identifier: MIT
#include <reactor/sim/sim_core.hpp>

#include <array>
#include <cstdio>
#include <string_view>

namespace reactor::sim {

void HandleTable::close_sockets() {
  std::vector<std::uintptr_t> numbers;
  for (std::size_t place = open_.size(); place-- > 0;) {
    if (std::holds_alternative<std::shared_ptr<Endpoint>>(open_[place])) numbers.push_back(place * step_);
  }
  for (const std::uintptr_t number : numbers) {
    static_cast<void>(close(number));
  }
}

void Core::trace(const std::string& line) const {
  std::array<char, 32> time{};
  const double ms = std::chrono::duration<double, std::milli>(now() - Timeline::start).count();
  std::snprintf(time.data(), time.size(), "%12.6f ms  ", ms);
  options.trace(time.data() + line);
}

std::string hex(std::uintptr_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llX", static_cast<unsigned long long>(number));
  return text.data();
}

std::string event_names(reactor::nt::ULONG events) {
  static constexpr std::array<std::string_view, 9> names{"RECEIVE",     "RECEIVE_EXPEDITED", "SEND",    "DISCONNECT",
                                                         "ABORT",       "LOCAL_CLOSE",       "CONNECT", "ACCEPT",
                                                         "CONNECT_FAIL"};
  std::string text;
  for (std::size_t bit = 0; bit < names.size(); bit++) {
    if (((events >> bit) & 1) == 0) continue;
    if (!text.empty()) text += '|';
    text += names[bit];
  }
  return text.empty() ? "-" : text;
}

}  // namespace reactor::sim
