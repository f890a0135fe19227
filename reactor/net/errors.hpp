// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <reactor/result.hpp>

/// What the values of error_category() mean, apart from errno and NTSTATUS.
namespace reactor::net {

struct WinsockError {
  int number;
  std::errc meaning;
};

/// Winsock's errors that std::errc has a word for. Numbers, so that this is tested on every system; winsock_socket.cpp
/// asserts them against Winsock's own header. WSAESHUTDOWN is what Linux says of a send after a shutdown: EPIPE.
inline constexpr std::array winsock_errors{
    WinsockError{10004, std::errc::interrupted},                     // WSAEINTR
    WinsockError{10009, std::errc::bad_file_descriptor},             // WSAEBADF
    WinsockError{10013, std::errc::permission_denied},               // WSAEACCES
    WinsockError{10014, std::errc::bad_address},                     // WSAEFAULT
    WinsockError{10022, std::errc::invalid_argument},                // WSAEINVAL
    WinsockError{10024, std::errc::too_many_files_open},             // WSAEMFILE
    WinsockError{10035, std::errc::operation_would_block},           // WSAEWOULDBLOCK
    WinsockError{10036, std::errc::operation_in_progress},           // WSAEINPROGRESS
    WinsockError{10037, std::errc::connection_already_in_progress},  // WSAEALREADY
    WinsockError{10038, std::errc::not_a_socket},                    // WSAENOTSOCK
    WinsockError{10039, std::errc::destination_address_required},    // WSAEDESTADDRREQ
    WinsockError{10040, std::errc::message_size},                    // WSAEMSGSIZE
    WinsockError{10041, std::errc::wrong_protocol_type},             // WSAEPROTOTYPE
    WinsockError{10042, std::errc::no_protocol_option},              // WSAENOPROTOOPT
    WinsockError{10043, std::errc::protocol_not_supported},          // WSAEPROTONOSUPPORT
    WinsockError{10045, std::errc::operation_not_supported},         // WSAEOPNOTSUPP
    WinsockError{10046, std::errc::address_family_not_supported},    // WSAEPFNOSUPPORT
    WinsockError{10047, std::errc::address_family_not_supported},    // WSAEAFNOSUPPORT
    WinsockError{10048, std::errc::address_in_use},                  // WSAEADDRINUSE
    WinsockError{10049, std::errc::address_not_available},           // WSAEADDRNOTAVAIL
    WinsockError{10050, std::errc::network_down},                    // WSAENETDOWN
    WinsockError{10051, std::errc::network_unreachable},             // WSAENETUNREACH
    WinsockError{10052, std::errc::network_reset},                   // WSAENETRESET
    WinsockError{10053, std::errc::connection_aborted},              // WSAECONNABORTED
    WinsockError{10054, std::errc::connection_reset},                // WSAECONNRESET
    WinsockError{10055, std::errc::no_buffer_space},                 // WSAENOBUFS
    WinsockError{10056, std::errc::already_connected},               // WSAEISCONN
    WinsockError{10057, std::errc::not_connected},                   // WSAENOTCONN
    WinsockError{10058, std::errc::broken_pipe},                     // WSAESHUTDOWN
    WinsockError{10060, std::errc::timed_out},                       // WSAETIMEDOUT
    WinsockError{10061, std::errc::connection_refused},              // WSAECONNREFUSED
    WinsockError{10062, std::errc::too_many_symbolic_link_levels},   // WSAELOOP
    WinsockError{10063, std::errc::filename_too_long},               // WSAENAMETOOLONG
    WinsockError{10064, std::errc::host_unreachable},                // WSAEHOSTDOWN
    WinsockError{10065, std::errc::host_unreachable},                // WSAEHOSTUNREACH
    WinsockError{10103, std::errc::operation_canceled},              // WSAECANCELLED
    WinsockError{10111, std::errc::operation_canceled},              // WSA_E_CANCELLED
};

[[nodiscard]] constexpr std::optional<std::errc> winsock_meaning(int number) noexcept {
  for (const auto& error : winsock_errors) {
    if (error.number == number) return error.meaning;
  }
  return std::nullopt;
}

/// Why a text is no address. Each is equal to std::errc::invalid_argument; the message says what is wrong.
enum class AddressError : int {
  no_port = 9000,  // above every errno, below Winsock's numbers
  bad_port,
  no_host,
  host_name,
  bad_ipv4,
  no_brackets,
  bad_ipv6,
  bad_scope,
  empty_path,
  zero_in_path,
  long_path,
};

/// Empty for a number that is none of them.
[[nodiscard]] constexpr std::string_view text_of(AddressError error) noexcept {
  switch (error) {
    case AddressError::no_port: return "no port: an address is written like 127.0.0.1:80, [::1]:80 or *:80";
    case AddressError::bad_port: return "the port, behind the last colon, is not a number from 0 to 65535";
    case AddressError::no_host: return "no host before the port: *:80 means all addresses of this machine";
    case AddressError::host_name: return "the host is not a number like 127.0.0.1: names are not looked up here";
    case AddressError::bad_ipv4: return "an IPv4 address is four numbers from 0 to 255, without leading zeros";
    case AddressError::no_brackets: return "an IPv6 address stands in brackets: [::1]:80";
    case AddressError::bad_ipv6: return "what stands in the brackets is not an IPv6 address";
    case AddressError::bad_scope: return "the scope of an IPv6 address, behind %, is not a number";
    case AddressError::empty_path: return "the path of a Unix socket is empty";
    case AddressError::zero_in_path: return "the path of a Unix socket has a zero byte in it";
    case AddressError::long_path: return "the path of a Unix socket is longer than 107 bytes";
  }
  return {};
}

/// What this system does not have. Each is equal to std::errc::address_family_not_supported; the message names it.
enum class Missing : int {
  unix_sockets = 9100,  // above AddressError, below Winsock's numbers
  unix_datagrams,
};

/// Empty for a number that is none of them.
[[nodiscard]] constexpr std::string_view text_of(Missing what) noexcept {
  switch (what) {
    case Missing::unix_sockets:
      return "this system has no Unix sockets (AF_UNIX): Windows has them since Windows 10 1803";
    case Missing::unix_datagrams:
      return "this system has Unix sockets (AF_UNIX) for streams at most, not for datagrams";
  }
  return {};
}

/// Why Winsock has opened no AF_UNIX socket, when it is not a shortage. Which of these numbers it gives is not
/// documented: that of a family [rust-lang/socket2#249, dotnet/runtime#46648], or of a type or protocol that it has
/// not.
[[nodiscard]] constexpr std::optional<Missing> missing_unix(int winsock_error, bool is_datagram) noexcept {
  constexpr std::array numbers{
      10041,  // WSAEPROTOTYPE
      10043,  // WSAEPROTONOSUPPORT
      10044,  // WSAESOCKTNOSUPPORT
      10046,  // WSAEPFNOSUPPORT
      10047,  // WSAEAFNOSUPPORT
  };
  for (const int number : numbers) {
    if (number == winsock_error) return is_datagram ? Missing::unix_datagrams : Missing::unix_sockets;
  }
  return std::nullopt;
}

template <class Why>
  requires std::is_same_v<Why, AddressError> || std::is_same_v<Why, Missing>
[[nodiscard]] std::unexpected<std::error_code> failure(Why why) noexcept {
  return std::unexpected(std::error_code(static_cast<int>(why), error_category()));
}

}  // namespace reactor::net
