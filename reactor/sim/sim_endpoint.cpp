// SPDX-License-Identifier: MIT
#include <reactor/sim/sim_endpoint.hpp>

#include <cstdio>

namespace reactor::sim {

bool Name::is_loopback() const noexcept {
  if (kind == Kind::ipv4) return ip[0] == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return kind == Kind::ipv6 && ip == one;
}

std::string Name::text() const {
  std::array<char, 64> text{};
  switch (kind) {
    case Kind::none: return "-";
    case Kind::path: return "unix:" + path;
    case Kind::ipv4: std::snprintf(text.data(), text.size(), "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], port); break;
    case Kind::ipv6: {
      std::string long_text = "[";
      for (std::size_t i = 0; i < 16; i += 2) {
        std::snprintf(text.data(), text.size(), "%s%x", i == 0 ? "" : ":", ip[i] << 8 | ip[i + 1]);
        long_text += text.data();
      }
      return long_text + "]:" + std::to_string(port);
    }
  }
  return text.data();
}

}  // namespace reactor::sim
