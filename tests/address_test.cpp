// SPDX-License-Identifier: MIT
#include <reactor/address.hpp>
#include <reactor/net/system.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace reactor;

namespace {

using namespace std::string_view_literals;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
std::error_code error_of(const Result<T>& result) {
  return result ? std::error_code{} : result.error();
}

}  // namespace

TEST_CASE("address: text of a parsed address is the text that was parsed") {
  for (const auto* const text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                                 "[2001:db8::ff:1]:443", "[fe80::1%2]:80", "[fe80::1%4294967295]:1",
                                 "[::ffff:192.0.2.1]:9", "*:80", "unix:/run/x.sock", "unix:x", "unix:unix:1:2"}) {
    CAPTURE(text);
    const Address address = must(Address::parse(text));
    CHECK(address.text() == text);
    CHECK(to_string(address) == text);
    if (address.family() == Address::Family::any) continue;  // its sockaddr is that of [::]
    CHECK(must(Address::from_native(address.native())) == address);
  }
  // An address has one text, whatever spelling was parsed.
  CHECK(must(Address::parse("[0:0:0:0:0:0:0:1]:80")).text() == "[::1]:80");
  CHECK(must(Address::parse("[2001:DB8::00AB%0]:80")).text() == "[2001:db8::ab]:80");
  CHECK(must(Address::parse("127.0.0.1:0080")).text() == "127.0.0.1:80");
}

TEST_CASE("address: text that is not an address is invalid_argument") {
  const auto is_bad = [](std::string_view text) {
    CAPTURE(text);
    CHECK(error_of(Address::parse(text)) == std::errc::invalid_argument);
  };
  constexpr std::string_view bad =
      "|:|:80|80|localhost:1|*|**:1|[*]:1|127.0.0.1|127.0.0.1:|127.0.0.1:65536|127.0.0.1:-1|127.0.0.1:+1|127.0.0.1:1x|"
      "127.0.0.1: 1|127.0.0.1:1 | 127.0.0.1:1|127.0.0.1 :1|127.0.0.1:0x1|127.0.0.1:99999999999999999999|127.1:1|"
      "127.0.0:1|2130706433:1|127.0.0.1.:1|127.0.0.1.1:1|127.0.0.256:1|127.0.0.01:1|0177.0.0.1:1|0x7f.0.0.1:1|"
      "127.0..1:1|127.0.0.-1:1|127.0.0.1%1:1|[127.0.0.1]:1|[]:1|[|[:1|]:1|[::1]|[::1]:|[::1]1|[::1:1|::1]:1|::1:80|"
      "[[::1]]:1|[:::1]:1|[1::2::3]:1|[:]:1|[1:2:3:4:5:6:7]:1|[1:2:3:4:5:6:7:8:9]:1|[12345::]:1|[g::]:1|[ ::1]:1|"
      "[::1]:65536|[::1/64]:1|[::1.2.3]:1|[%1]:1|[::1%]:1|[::1%eth0]:1|[::1%-1]:1|[::1%1%2]:1|[::1%4294967296]:1|"
      "unix|unix:|Unix:/a";
  for (const auto text : std::views::split(bad, '|')) is_bad(std::string_view(text.begin(), text.end()));
  for (const auto text : {"127.0.0.1\0:1"sv, "127.0.0.1:1\0"sv, "[::1\0]:1"sv, "unix:/a\0b"sv}) is_bad(text);
  is_bad("unix:" + std::string(108, 'x'));
  is_bad(std::string(100, '1') + ":1");
}

TEST_CASE("address: the error says what is wrong with the text") {
  const auto why = [](std::string_view text) { return error_of(Address::parse(text)).message(); };
  CHECK(why("localhost:80") == "the host is not a number like 127.0.0.1: names are not looked up here");
  CHECK(why("127.0.0.1") == "no port: an address is written like 127.0.0.1:80, [::1]:80 or *:80");
  CHECK(why("[::1]") == "no port: an address is written like 127.0.0.1:80, [::1]:80 or *:80");
  CHECK(why("127.0.0.1:http") == "the port, behind the last colon, is not a number from 0 to 65535");
  CHECK(why("127.0.0.1:65536") == "the port, behind the last colon, is not a number from 0 to 65535");
  CHECK(why(":80") == "no host before the port: *:80 means all addresses of this machine");
  CHECK(why("127.0.0.01:80") == "an IPv4 address is four numbers from 0 to 255, without leading zeros");
  CHECK(why("127.1:80") == "an IPv4 address is four numbers from 0 to 255, without leading zeros");
  CHECK(why("::1:80") == "an IPv6 address stands in brackets: [::1]:80");
  CHECK(why("[1:2]:80") == "what stands in the brackets is not an IPv6 address");
  CHECK(why("[fe80::1%eth0]:80") == "the scope of an IPv6 address, behind %, is not a number");
  CHECK(why("unix:") == "the path of a Unix socket is empty");
  CHECK(why("unix:/a\0b"sv) == "the path of a Unix socket has a zero byte in it");
  CHECK(why("unix:" + std::string(108, 'x')) == "the path of a Unix socket is longer than 107 bytes");
}

TEST_CASE("address: an IPv4 address that an IPv6 socket writes as its own") {
  const auto unmapped = [](std::string_view text) { return must(Address::parse(text)).unmapped().text(); };
  CHECK(unmapped("[::ffff:192.0.2.1]:9") == "192.0.2.1:9");
  CHECK(unmapped("[::192.0.2.1]:9") == "[::192.0.2.1]:9");
  CHECK(unmapped("[::1]:9") == "[::1]:9");
  CHECK(unmapped("*:9") == "*:9");
  CHECK(unmapped("192.0.2.1:9") == "192.0.2.1:9");
  CHECK(unmapped("unix:/x") == "unix:/x");
  CHECK(Address{}.unmapped() == Address{});
}

TEST_CASE("address: loopback, any, and the empty address") {
  CHECK(Address::loopback_ipv4(7).text() == "127.0.0.1:7");
  CHECK(Address::loopback_ipv6(258).text() == "[::1]:258");
  CHECK(Address::any_ipv4(65535).text() == "0.0.0.0:65535");
  CHECK(Address::any_ipv6(1).text() == "[::]:1");
  CHECK(Address::any(258).text() == "*:258");
  CHECK(Address::any(258).port() == 258);
  CHECK(Address::any(258).family() == Address::Family::any);
  CHECK(Address::loopback_ipv4().port() == 0);
  CHECK(Address::loopback_ipv6(258).port() == 258);
  CHECK(Address::loopback_ipv4().family() == Address::Family::ipv4);
  CHECK(Address::any_ipv6(1).family() == Address::Family::ipv6);
  CHECK(Address{}.family() == Address::Family::none);
  CHECK(Address{}.text().empty());
  CHECK(Address{}.port() == 0);
  CHECK(Address{}.native().empty());
}

TEST_CASE("address: the path of a Unix socket") {
  const Address address = must(Address::unix_path("/run/x"));
  CHECK(address.family() == Address::Family::unix_path);
  CHECK(address.port() == 0);
  CHECK(address.text() == "unix:/run/x");
  CHECK(address.native().size() == 2 + 6 + 1);
  CHECK(error_of(Address::unix_path("")) == std::errc::invalid_argument);
  CHECK(error_of(Address::unix_path("a\0b"sv)) == std::errc::invalid_argument);
  CHECK(must(Address::unix_path(std::string(107, 'x'))).text() == "unix:" + std::string(107, 'x'));
  CHECK(error_of(Address::unix_path(std::string(108, 'x'))) == std::errc::filename_too_long);
}

TEST_CASE("address: equality does not depend on padding") {
  CHECK(Address{} == Address{});
  CHECK(Address{} != Address::loopback_ipv4());
  CHECK(Address::loopback_ipv4(1) == Address::loopback_ipv4(1));
  CHECK(Address::loopback_ipv4(1) != Address::loopback_ipv4(2));
  CHECK(Address::loopback_ipv4(1) != Address::any_ipv4(1));
  CHECK(Address::any_ipv4(1) != Address::any_ipv6(1));
  CHECK(Address::any(1) == Address::any(1));
  CHECK(Address::any(1) != Address::any(2));
  CHECK(Address::any(1) != Address::any_ipv6(1));
  CHECK(must(Address::from_native(Address::any(1).native())) == Address::any_ipv6(1));
  CHECK(Address::any_ipv6(1) != must(Address::parse("[::%3]:1")));

  std::array<std::byte, 16> padded{};
  std::ranges::copy(Address::loopback_ipv4(1).native(), padded.begin());
  padded.back() = std::byte{1};
  CHECK(must(Address::from_native(padded)) == Address::loopback_ipv4(1));

  std::array<std::byte, 110> long_form{};  // as a system that always returns the whole sockaddr_un
  std::ranges::copy(must(Address::unix_path("/x")).native(), long_form.begin());
  long_form.back() = std::byte{1};
  CHECK(must(Address::from_native(long_form)) == must(Address::unix_path("/x")));
  CHECK(must(Address::from_native(std::span(long_form).first(4))) == must(Address::unix_path("/x")));
  CHECK(must(Address::unix_path("/x")) != must(Address::unix_path("/xy")));

  const Address nameless = must(Address::from_native(must(Address::unix_path("/x")).native().first(2)));
  CHECK(nameless == nameless);
  CHECK(nameless != must(Address::unix_path("/x")));
}

TEST_CASE("address: what a system writes for a peer without an address, or leaves as it was, is none") {
  reactor::sys::Sockaddr buffer{};
  CHECK(must(buffer.address(0)) == Address());
  CHECK(must(buffer.address(buffer.bytes.size())) == Address());
  CHECK(must(buffer.address(2)) == Address());
  buffer.bytes[0] = std::byte{reactor::sys::family_unix};
  CHECK(must(buffer.address(2)).text() == "unix:");
}

TEST_CASE("address: a sockaddr must have the length of its family") {
  const auto lengths_taken = [](const Address& address) {
    std::array<std::byte, 128> raw{};
    std::ranges::copy(address.native(), raw.begin());
    std::vector<std::size_t> taken;
    for (std::size_t size = 0; size <= raw.size(); ++size) {
      const auto error = error_of(Address::from_native(std::span(raw).first(size)));
      if (!error) taken.push_back(size);
      CHECK((!error || error == std::errc::invalid_argument));
    }
    return taken;
  };
  CHECK(lengths_taken(Address::loopback_ipv4(1)) == std::vector<std::size_t>{16});
  CHECK(lengths_taken(Address::loopback_ipv6(1)) == std::vector<std::size_t>{28});
  CHECK(std::ranges::equal(lengths_taken(must(Address::unix_path("/x"))), std::views::iota(2U, 111U)));
  std::array<std::byte, 16> unknown{};
  CHECK(error_of(Address::from_native(unknown)) == std::errc::address_family_not_supported);
  unknown.fill(std::byte{0x7F});
  CHECK(error_of(Address::from_native(unknown)) == std::errc::address_family_not_supported);
}
