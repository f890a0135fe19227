// SPDX-License-Identifier: MIT
#include <reactor/event.hpp>

#include <reactor/nt/status.hpp>

namespace reactor {

std::error_code Event::error() const noexcept {
  return error_value_ == 0 ? std::error_code() : nt::make_error(error_value_);
}

}  // namespace reactor
