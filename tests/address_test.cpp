// SPDX-License-Identifier: MIT
#include <reactor/address.hpp>

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

TEST_CASE("address: what was parsed reads as it was written") {
  for (const auto* const text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                                 "[2001:db8::ff:1]:443", "[fe80::1%2]:80", "[fe80::1%4294967295]:1",
                                 "[::ffff:192.0.2.1]:9", "unix:/run/x.sock", "unix:x", "unix:unix:1:2"}) {
    CAPTURE(text);
    const Address address = must(Address::parse(text));
    CHECK(address.text() == text);
    CHECK(must(Address::from_native(address.native())) == address);
  }
  // and in one way only
  CHECK(must(Address::parse("[0:0:0:0:0:0:0:1]:80")).text() == "[::1]:80");
  CHECK(must(Address::parse("[2001:DB8::00AB%0]:80")).text() == "[2001:db8::ab]:80");
  CHECK(must(Address::parse("127.0.0.1:0080")).text() == "127.0.0.1:80");
}

TEST_CASE("address: what is no address is invalid_argument") {
  const auto is_bad = [](std::string_view text) {
    CAPTURE(text);
    CHECK(error_of(Address::parse(text)) == std::errc::invalid_argument);
  };
  constexpr std::string_view bad =
      "|:|:80|80|localhost:1|*:1|127.0.0.1|127.0.0.1:|127.0.0.1:65536|127.0.0.1:-1|127.0.0.1:+1|127.0.0.1:1x|"
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

TEST_CASE("address: the well-known ones, and none") {
  CHECK(Address::loopback_ipv4(7).text() == "127.0.0.1:7");
  CHECK(Address::loopback_ipv6(258).text() == "[::1]:258");
  CHECK(Address::any_ipv4(65535).text() == "0.0.0.0:65535");
  CHECK(Address::any_ipv6(1).text() == "[::]:1");
  CHECK(Address::loopback_ipv4().port() == 0);
  CHECK(Address::loopback_ipv6(258).port() == 258);
  CHECK(Address::loopback_ipv4().family() == Address::Family::ipv4);
  CHECK(Address::any_ipv6(1).family() == Address::Family::ipv6);
  CHECK(Address{}.family() == Address::Family::none);
  CHECK(Address{}.text().empty());
  CHECK(Address{}.port() == 0);
  CHECK(Address{}.native().empty());
}

TEST_CASE("address: a Unix path") {
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

TEST_CASE("address: equal means the same place, whatever the padding") {
  CHECK(Address{} == Address{});
  CHECK(Address{} != Address::loopback_ipv4());
  CHECK(Address::loopback_ipv4(1) == Address::loopback_ipv4(1));
  CHECK(Address::loopback_ipv4(1) != Address::loopback_ipv4(2));
  CHECK(Address::loopback_ipv4(1) != Address::any_ipv4(1));
  CHECK(Address::any_ipv4(1) != Address::any_ipv6(1));
  CHECK(Address::any_ipv6(1) != must(Address::parse("[::%3]:1")));

  std::array<std::byte, 16> padded{};
  std::ranges::copy(Address::loopback_ipv4(1).native(), padded.begin());
  padded.back() = std::byte{1};
  CHECK(must(Address::from_native(padded)) == Address::loopback_ipv4(1));

  std::array<std::byte, 110> long_form{};  // as a system that always tells the whole sockaddr_un
  std::ranges::copy(must(Address::unix_path("/x")).native(), long_form.begin());
  long_form.back() = std::byte{1};
  CHECK(must(Address::from_native(long_form)) == must(Address::unix_path("/x")));
  CHECK(must(Address::from_native(std::span(long_form).first(4))) == must(Address::unix_path("/x")));
  CHECK(must(Address::unix_path("/x")) != must(Address::unix_path("/xy")));

  const Address nameless = must(Address::from_native(must(Address::unix_path("/x")).native().first(2)));
  CHECK(nameless == nameless);
  CHECK(nameless != must(Address::unix_path("/x")));
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
