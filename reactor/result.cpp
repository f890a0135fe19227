// SPDX-License-Identifier: MIT
#include <reactor/result.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <reactor/net/errors.hpp>
#include <reactor/nt/status.hpp>

namespace reactor {

namespace {

struct Text {
  std::errc meaning;
  std::string_view text;
};

// Every error that the library itself gives, or that a call on a socket or an epoll or AFD handle is known to give.
constexpr std::array texts{
    Text{std::errc::address_family_not_supported, "this kind of address is not supported"},
    Text{std::errc::address_in_use, "the address is in use"},
    Text{std::errc::address_not_available, "the address is not available on this machine"},
    Text{std::errc::already_connected, "the socket is connected already"},
    Text{std::errc::bad_address, "memory that must not be accessed"},
    Text{std::errc::bad_file_descriptor, "not open, or no longer"},
    Text{std::errc::broken_pipe, "closed in this direction"},
    Text{std::errc::connection_aborted, "the connection was aborted"},
    Text{std::errc::connection_already_in_progress, "a connect is under way already"},
    Text{std::errc::connection_refused, "connection refused"},
    Text{std::errc::connection_reset, "the connection was reset by the peer"},
    Text{std::errc::destination_address_required, "a destination address is required"},
    Text{std::errc::file_exists, "registered already"},
    Text{std::errc::filename_too_long, "the name is too long"},
    Text{std::errc::function_not_supported, "the system does not have this function"},
    Text{std::errc::host_unreachable, "the host is unreachable"},
    Text{std::errc::interrupted, "interrupted by a signal"},
    Text{std::errc::invalid_argument, "invalid argument"},
    Text{std::errc::io_error, "input/output error"},
    Text{std::errc::is_a_directory, "a directory"},
    Text{std::errc::message_size, "the message is too long"},
    Text{std::errc::network_down, "the network is down"},
    Text{std::errc::network_reset, "the network dropped the connection"},
    Text{std::errc::network_unreachable, "the network is unreachable"},
    Text{std::errc::no_buffer_space, "no buffer space"},
    Text{std::errc::no_message, "nothing more comes"},
    Text{std::errc::no_protocol_option, "the protocol has no such option"},
    Text{std::errc::no_space_on_device, "a limit of the system is reached"},
    Text{std::errc::no_such_file_or_directory, "no such entry"},
    Text{std::errc::not_a_socket, "not a socket"},
    Text{std::errc::not_connected, "not connected"},
    Text{std::errc::not_enough_memory, "not enough memory"},
    Text{std::errc::not_supported, "not supported"},
    Text{std::errc::operation_canceled, "cancelled"},
    Text{std::errc::operation_in_progress, "under way"},
    Text{std::errc::operation_not_permitted, "not permitted"},
    Text{std::errc::operation_not_supported, "not supported"},
    Text{std::errc::operation_would_block, "not possible now without waiting"},
    Text{std::errc::permission_denied, "permission denied"},
    Text{std::errc::protocol_error, "protocol error"},
    Text{std::errc::protocol_not_supported, "the protocol is not supported"},
    Text{std::errc::resource_unavailable_try_again, "not possible now without waiting"},
    Text{std::errc::timed_out, "timed out"},
    Text{std::errc::too_many_files_open, "too many open files and sockets in this process"},
    Text{std::errc::too_many_files_open_in_system, "too many open files and sockets in the system"},
    Text{std::errc::too_many_symbolic_link_levels, "too many symbolic links"},
    Text{std::errc::wrong_protocol_type, "the wrong protocol for this socket"},
};

constexpr std::string_view no_text = "an error without a text here";

// The values, apart: negative is an NTSTATUS or a Win32 error, then errno, the library's own from 9000 on, Winsock.
enum class Source : std::uint8_t { nt, win32, posix, address, missing, winsock };

Source source_of(int value) noexcept {
  if (value < 0) return nt::is_win32(value) ? Source::win32 : Source::nt;
  if (value < static_cast<int>(net::AddressError::no_port)) return Source::posix;
  if (value < static_cast<int>(net::Missing::unix_sockets)) return Source::address;
  return value < 10000 ? Source::missing : Source::winsock;
}

/// None for what has no std::errc.
std::optional<std::errc> meaning_of(int value) noexcept {
  switch (source_of(value)) {
    case Source::nt:
    case Source::win32: return nt::meaning_of(value);
    case Source::posix: return static_cast<std::errc>(value);
    case Source::address: return std::errc::invalid_argument;
    case Source::missing: return std::errc::address_family_not_supported;
    default: return net::winsock_meaning(value);
  }
}

std::string text_of(int value) {
  if (source_of(value) == Source::address) return std::string(text_of(static_cast<net::AddressError>(value)));
  if (source_of(value) == Source::missing) return std::string(text_of(static_cast<net::Missing>(value)));
  const auto meaning = meaning_of(value);
  const auto found = std::ranges::find(texts, meaning, &Text::meaning);
  if (found != texts.end()) return std::string(found->text);
  return source_of(value) == Source::posix ? std::generic_category().message(value) : std::string(no_text);
}

std::string number_of(int value) {
  std::array<char, 32> text{};
  const auto bits = static_cast<unsigned>(value);
  switch (source_of(value)) {
    case Source::nt: std::snprintf(text.data(), text.size(), " (NTSTATUS 0x%08X)", bits); break;
    case Source::win32: std::snprintf(text.data(), text.size(), " (Windows %u)", bits & 0xFFFFU); break;
    case Source::posix: std::snprintf(text.data(), text.size(), " (errno %d)", value); break;
    case Source::address:
    case Source::missing: break;
    case Source::winsock: std::snprintf(text.data(), text.size(), " (Winsock %d)", value); break;
  }
  return text.data();
}

class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "reactor"; }

  [[nodiscard]] std::string message(int value) const override {
    return value == 0 ? std::string("no error") : text_of(value) + number_of(value);
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    if (value == 0) return {};
    const auto meaning = meaning_of(value);
    return meaning ? std::make_error_condition(*meaning) : std::error_condition(value, *this);
  }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

}  // namespace reactor
