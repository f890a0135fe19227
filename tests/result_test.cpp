// SPDX-License-Identifier: MIT
#include <reactor/address.hpp>
#include <reactor/event.hpp>
#include <reactor/net/errors.hpp>
#include <reactor/nt/status.hpp>
#include <reactor/result.hpp>
#include <reactor/socket.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

using reactor::error_category;
using reactor::failure;
using reactor::Result;
using reactor::nt::make_error;
using reactor::nt::make_win32_error;
using reactor::nt::NTSTATUS;

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

NTSTATUS status(std::uint32_t value) { return static_cast<NTSTATUS>(value); }

}  // namespace

TEST_CASE("a Result has a value or an error") {
  CHECK(parse_port("80") == 80);
  CHECK_FALSE(parse_port("").has_value());
  CHECK(parse_port("").error() == std::errc::invalid_argument);
}

TEST_CASE("an error passes through callers unchanged") {
  CHECK(check_port("80").has_value());
  CHECK(check_port("").error() == std::errc::invalid_argument);
  CHECK(check_port("70000").error() == std::errc::result_out_of_range);
}

TEST_CASE("a code of another category keeps its value and its category") {
  const std::error_code code(7, std::system_category());
  const Result<> result = failure(code);
  CHECK(result.error() == code);
  CHECK(&result.error().category() == &std::system_category());
}

TEST_CASE("a Result can hold a move-only type") {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = std::move(made).value();
  CHECK(*taken == 7);
  static_assert(std::is_same_v<Result<>, Result<void>>);
}

TEST_CASE("an error is equal to its std::errc, and its text is the same on every system") {
  struct Expectation {
    std::errc meaning;
    std::string_view text;
  };
  // For each of these MinGW's categories say "Unknown error".
  for (const auto& [meaning, text] : {Expectation{std::errc::not_a_socket, "not a socket"},
                                      Expectation{std::errc::operation_would_block, "not possible now without waiting"},
                                      Expectation{std::errc::timed_out, "timed out"},
                                      Expectation{std::errc::connection_refused, "connection refused"},
                                      Expectation{std::errc::connection_reset, "the connection was reset by the peer"},
                                      Expectation{std::errc::address_in_use, "the address is in use"},
                                      Expectation{std::errc::not_connected, "not connected"}}) {
    const std::error_code error = failure(meaning).error();
    CAPTURE(error.message());
    CHECK(error == meaning);
    CHECK(&error.category() == &error_category());
    CHECK(error.message() == std::string(text) + " (errno " + std::to_string(static_cast<int>(meaning)) + ")");
  }
  CHECK(error_category().name() == std::string_view("reactor"));
  CHECK_FALSE(std::error_code(0, error_category()));
  CHECK(std::error_code(0, error_category()).message() == "no error");
  CHECK(std::error_code(0, error_category()).default_error_condition() == std::error_condition());
  // An error without a text of ours has the system's text.
  CHECK(failure(std::errc::executable_format_error).error().message() ==
        std::generic_category().message(ENOEXEC) + " (errno " + std::to_string(ENOEXEC) + ")");
}

TEST_CASE("every Winsock error has a std::errc, a text and its number") {
  for (const auto& [number, meaning] : reactor::net::winsock_errors) {
    const std::error_code error = make_win32_error(static_cast<std::uint32_t>(number));
    CAPTURE(number);
    CHECK(error.value() == number);
    CHECK(error == meaning);
    const std::string text = failure(meaning).error().message();
    CHECK(error.message() == text.substr(0, text.find(" (errno")) + " (Winsock " + std::to_string(number) + ")");
  }
  CHECK(make_win32_error(10061).message() == "connection refused (Winsock 10061)");
  const std::error_code unknown = make_win32_error(11001);
  CHECK(unknown.message() == "an error without a text here (Winsock 11001)");
  CHECK(unknown.default_error_condition() == std::error_condition(11001, error_category()));
}

TEST_CASE("what a system does not have is named, and is an address family that is not supported") {
  using reactor::net::Missing, reactor::net::missing_unix;
  const auto code = [](Missing what) { return reactor::net::failure(what).error(); };
  CHECK(code(Missing::unix_sockets) == std::errc::address_family_not_supported);
  CHECK(code(Missing::unix_sockets).message() ==
        "this system has no Unix sockets (AF_UNIX): Windows has them since Windows 10 1803");
  CHECK(code(Missing::unix_datagrams) == std::errc::address_family_not_supported);
  CHECK(code(Missing::unix_datagrams).message() ==
        "this system has Unix sockets (AF_UNIX) for streams at most, not for datagrams");

  for (const int number : {10041, 10043, 10044, 10046, 10047}) {
    CAPTURE(number);
    CHECK(missing_unix(number, false) == Missing::unix_sockets);
    CHECK(missing_unix(number, true) == Missing::unix_datagrams);
  }
  for (const int shortage : {10024, 10055}) CHECK_FALSE(missing_unix(shortage, false).has_value());
}

TEST_CASE("a Win32 error is not equal to the errno of the same number") {
  CHECK(make_win32_error(6) == std::errc::bad_file_descriptor);
  CHECK(make_win32_error(6).message() == "not open, or no longer (Windows 6)");
  CHECK(make_win32_error(87) == std::errc::invalid_argument);
  CHECK(make_win32_error(995) == std::errc::operation_canceled);
  CHECK(make_win32_error(5) != std::errc::io_error);
  CHECK(make_win32_error(1234).message() == "an error without a text here (Windows 1234)");
  CHECK(make_win32_error(12029).message() == "an error without a text here (Windows 12029)");
  CHECK_FALSE(make_win32_error(0));
}

TEST_CASE("an NTSTATUS is mapped to a Winsock error, or keeps its own code") {
  CHECK(make_error(status(0xC0000236)) == make_win32_error(10061));
  CHECK(make_error(status(0xC000020D)) == make_win32_error(10054));
  CHECK(make_error(status(0x00000102)) == make_win32_error(10060));
  CHECK(make_win32_error(10058) == std::errc::broken_pipe);
  CHECK(make_error(reactor::nt::STATUS_INVALID_HANDLE) == std::errc::bad_file_descriptor);
  CHECK(make_error(reactor::nt::STATUS_INSUFFICIENT_RESOURCES) == std::errc::not_enough_memory);
  CHECK(make_error(reactor::nt::STATUS_CANCELLED).message() == "cancelled (NTSTATUS 0xC0000120)");
  CHECK(make_error(reactor::nt::STATUS_CANCELLED).value() == reactor::nt::STATUS_CANCELLED);
  const std::error_code unknown = make_error(status(0xC0ABCDEF));
  CHECK(unknown.message() == "an error without a text here (NTSTATUS 0xC0ABCDEF)");
  CHECK(unknown != std::errc::io_error);
  CHECK(unknown.default_error_condition() == std::error_condition(unknown.value(), error_category()));
  CHECK_FALSE(make_error(reactor::nt::STATUS_SUCCESS));
}

TEST_CASE("the error of an event has the text of the socket error") {
  using reactor::Event, reactor::Readiness, reactor::Token;
  const std::error_code error = Event(Token{1}, Readiness::failed, status(0xC0000236)).error();
  CHECK(error == std::errc::connection_refused);
  CHECK(error.message() == "connection refused (Winsock 10061)");
  CHECK_FALSE(Event(Token{1}, Readiness::failed).error());
}

#ifndef _MSC_VER
namespace {

template <class T>
struct WithByteBehind {
  [[no_unique_address]] T value;
  [[no_unique_address]] char byte;
};
// Of a class that is copied by its bytes. One that is moved member by member leaves the padding unchanged.
template <class T>
constexpr bool has_tail_padding = std::is_trivially_copyable_v<T> && sizeof(WithByteBehind<T>) == sizeof(T);

}  // namespace

TEST_CASE("value types of a Result have no padding behind their last member, where libc++ 16 and 17 keep has_value") {
  struct Padded {
    Padded() noexcept {}  // NOLINT(modernize-use-equals-default): the padding of a class with a constructor is reused
    int number = 0;
    char letter = 0;
  };
  static_assert(has_tail_padding<Padded>);
  static_assert(!has_tail_padding<reactor::Address>);
  static_assert(!has_tail_padding<reactor::UdpSocket::Datagram>);
  static_assert(!has_tail_padding<std::error_code>);
}
#endif
