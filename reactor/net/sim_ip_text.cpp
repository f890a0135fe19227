// SPDX-License-Identifier: MIT
//
// IP numbers from and to text without a system: what inet_pton takes and inet_ntop writes.
#include <reactor/net/system.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>

namespace reactor::sys {

namespace {

/// Four decimal numbers without leading zeros.
bool ipv4_from(std::string_view text, std::span<std::byte> ip) noexcept {
  for (std::size_t i = 0; i < 4; i++) {
    unsigned value = 0;
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9' && digits < 4) {
      value = value * 10 + static_cast<unsigned>(text[digits++] - '0');
    }
    if (digits == 0 || value > 255 || (digits > 1 && text[0] == '0')) return false;
    ip[i] = static_cast<std::byte>(value);
    text.remove_prefix(digits);
    if (i == 3) return text.empty();
    if (!text.starts_with('.')) return false;
    text.remove_prefix(1);
  }
  return false;
}

std::optional<unsigned> hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

bool ipv6_from(std::string_view text, std::span<std::byte> ip) noexcept {
  std::array<std::byte, 16> bytes{};
  std::size_t size = 0;
  std::optional<std::size_t> gap;
  if (text.starts_with(':') && !text.starts_with("::")) return false;
  while (!text.empty()) {
    if (text.starts_with("::")) {
      if (gap) return false;
      gap = size;
      text.remove_prefix(2);
      if (text.empty()) break;
      if (text.starts_with(':')) return false;
    } else if (size > 0 && (!gap || *gap != size)) {
      if (!text.starts_with(':')) return false;
      text.remove_prefix(1);
    }
    if (size > 14) return false;
    if (text.substr(0, text.find(':')).contains('.')) {  // the last 4 bytes as IPv4
      if (size > 12 || !ipv4_from(text, std::span(bytes).subspan(size, 4))) return false;
      size += 4;
      text = {};
      break;
    }
    unsigned value = 0;
    std::size_t digits = 0;
    while (digits < text.size() && hex_digit(text[digits])) value = value << 4 | *hex_digit(text[digits++]);
    if (digits == 0 || digits > 4) return false;
    bytes[size++] = static_cast<std::byte>(value >> 8);
    bytes[size++] = static_cast<std::byte>(value & 0xFF);
    text.remove_prefix(digits);
  }
  if (gap ? size > 14 : size != 16) return false;
  if (gap) {
    const auto tail = size - *gap;
    std::copy_backward(bytes.begin() + static_cast<std::ptrdiff_t>(*gap),
                       bytes.begin() + static_cast<std::ptrdiff_t>(size), bytes.end());
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(*gap), bytes.end() - static_cast<std::ptrdiff_t>(tail),
              std::byte{0});
  }
  std::ranges::copy(bytes, ip.begin());
  return true;
}

/// The longest row of two zero groups or more: it is written as "::".
std::pair<std::size_t, std::size_t> longest_zeros(const std::array<unsigned, 8>& groups) noexcept {
  std::pair<std::size_t, std::size_t> best{8, 0};
  for (std::size_t begin = 0; begin < groups.size(); begin++) {
    std::size_t count = 0;
    while (begin + count < groups.size() && groups[begin + count] == 0) count++;
    if (count >= 2 && count > best.second) best = {begin, count};
  }
  return best;
}

}  // namespace

bool ip_from_text(std::string_view text, std::span<std::byte> ip) noexcept {
  if (text.size() >= IpText().size() || text.contains('\0')) return false;
  return ip.size() == 4 ? ipv4_from(text, ip) : ipv6_from(text, ip);
}

std::string_view text_from_ip(std::span<const std::byte> ip, IpText& buffer) noexcept {
  const auto value = [&](std::size_t i) { return std::to_integer<unsigned>(ip[i]); };
  if (ip.size() == 4) {
    std::snprintf(buffer.data(), buffer.size(), "%u.%u.%u.%u", value(0), value(1), value(2), value(3));
    return buffer.data();
  }
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; i++) groups[i] = value(2 * i) << 8 | value(2 * i + 1);
  const auto [gap, count] = longest_zeros(groups);
  const bool is_mapped = gap == 0 && ((count == 5 && groups[5] == 0xFFFF) || (count == 6));
  char* at = buffer.data();
  const auto left = [&] { return static_cast<std::size_t>(buffer.data() + buffer.size() - at); };
  for (std::size_t i = 0; i < 8; i++) {
    if (i == gap) {
      at += std::snprintf(at, left(), "::");
      i += count - 1;
      continue;
    }
    if (i > 0 && i != gap + count) at += std::snprintf(at, left(), ":");
    if (i == 6 && is_mapped) {
      std::snprintf(at, left(), "%u.%u.%u.%u", value(12), value(13), value(14), value(15));
      break;
    }
    at += std::snprintf(at, left(), "%x", groups[i]);
  }
  return buffer.data();
}

}  // namespace reactor::sys
