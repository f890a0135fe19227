// SPDX-License-Identifier: MIT
//
// Any text can be parsed and any bytes can be taken for a sockaddr: the result is an address or an error, and the text
// of an address can be parsed again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include <reactor/address.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using reactor::Address;

void require(bool is_so, const char* rule) {
  if (is_so) return;
  std::fprintf(stderr, "FAIL address: %s\n", rule);
  std::abort();
}

void round_trip(const Address& address, bool is_path) {
  // The bytes of "*:80" are those of "[::]:80", which is IPv6 alone.
  const Address bytes = address.family() == Address::Family::any ? Address::any_ipv6(address.port()) : address;
  const auto again = Address::from_native(address.native());
  require(again.has_value() && *again == bytes, "its bytes are another address");
  const std::string text = address.text();
  // A Unix socket may have no name, or one that is no path (Linux: it begins with a zero byte): parse takes paths
  // alone.
  if (address.family() == Address::Family::unix_path && !is_path) return;
  const auto parsed = Address::parse(text);
  require(parsed.has_value(), "its text is not an address");
  require(parsed->text() == text, "its text changes when it is parsed");
  require(parsed->family() == address.family() && parsed->port() == address.port(), "its text is another address");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = Address::parse(text)) {
    round_trip(*parsed, true);
    require(*Address::parse(parsed->text()) == *parsed, "the parsed address is not that of its text");
  }
  if (const auto path = Address::unix_path(text)) round_trip(*path, true);
  if (const auto native = Address::from_native(bytes); native && native->family() != Address::Family::none) {
    round_trip(*native, false);
  }
  return 0;
}
