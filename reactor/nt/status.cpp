// SPDX-License-Identifier: MIT
#include <reactor/nt/status.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace reactor::nt {

namespace {

struct Row {
  std::uint32_t status;
  std::errc condition;
  std::string_view text;
};

constexpr std::array rows{
    Row{0x00000102, std::errc::timed_out, "STATUS_TIMEOUT: the time ran out"},
    Row{0xC0000001, std::errc::io_error, "STATUS_UNSUCCESSFUL: the request failed"},
    Row{0xC0000002, std::errc::function_not_supported, "STATUS_NOT_IMPLEMENTED: not implemented here"},
    Row{0xC0000005, std::errc::bad_address, "STATUS_ACCESS_VIOLATION: memory that must not be touched"},
    Row{0xC0000008, std::errc::bad_file_descriptor, "STATUS_INVALID_HANDLE: the handle is not open"},
    Row{0xC000000D, std::errc::invalid_argument, "STATUS_INVALID_PARAMETER: a parameter is wrong"},
    Row{0xC0000010, std::errc::not_supported, "STATUS_INVALID_DEVICE_REQUEST: not a request for this device"},
    Row{0xC0000017, std::errc::not_enough_memory, "STATUS_NO_MEMORY: out of memory"},
    Row{0xC0000022, std::errc::permission_denied, "STATUS_ACCESS_DENIED: not permitted"},
    Row{0xC0000024, std::errc::not_a_socket, "STATUS_OBJECT_TYPE_MISMATCH: a handle of another kind"},
    Row{0xC0000034, std::errc::no_such_file_or_directory, "STATUS_OBJECT_NAME_NOT_FOUND: no such name"},
    Row{0xC000009A, std::errc::not_enough_memory, "STATUS_INSUFFICIENT_RESOURCES: out of kernel resources"},
    Row{0xC00000B5, std::errc::timed_out, "STATUS_IO_TIMEOUT: no answer in time"},
    Row{0xC00000BB, std::errc::not_supported, "STATUS_NOT_SUPPORTED: not supported"},
    Row{0xC000011F, std::errc::too_many_files_open, "STATUS_TOO_MANY_OPENED_FILES: too many open handles"},
    Row{0xC0000120, std::errc::operation_canceled, "STATUS_CANCELLED: the request was cancelled"},
    Row{0xC000020C, std::errc::not_connected, "STATUS_CONNECTION_DISCONNECTED: the connection is over"},
    Row{0xC000020D, std::errc::connection_reset, "STATUS_CONNECTION_RESET: the peer reset the connection"},
    Row{0xC0000225, std::errc::no_such_file_or_directory, "STATUS_NOT_FOUND: there is no such request"},
    Row{0xC0000236, std::errc::connection_refused, "STATUS_CONNECTION_REFUSED: nobody listens there"},
    Row{0xC000023C, std::errc::network_unreachable, "STATUS_NETWORK_UNREACHABLE: no way to that network"},
    Row{0xC000023D, std::errc::host_unreachable, "STATUS_HOST_UNREACHABLE: no way to that host"},
    Row{0xC000023F, std::errc::connection_refused, "STATUS_PORT_UNREACHABLE: nobody listens on that port"},
    Row{0xC0000241, std::errc::connection_aborted, "STATUS_CONNECTION_ABORTED: the connection was aborted here"},
};

const Row* find(int value) noexcept {
  const auto* row = std::ranges::find(rows, static_cast<std::uint32_t>(value), &Row::status);
  return row == rows.end() ? nullptr : row;
}

class StatusCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "nt"; }

  [[nodiscard]] std::string message(int value) const override {
    std::array<char, 16> number{};
    std::snprintf(number.data(), number.size(), " (0x%08X)", static_cast<unsigned>(value));
    const Row* row = find(value);
    return std::string(row != nullptr ? row->text : "an NTSTATUS without a name here") + number.data();
  }

  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    if (value == STATUS_SUCCESS) return {};
    const Row* row = find(value);
    return row != nullptr ? std::make_error_condition(row->condition) : std::error_condition(value, *this);
  }
};

}  // namespace

const std::error_category& status_category() noexcept {
  static const StatusCategory category;
  return category;
}

}  // namespace reactor::nt
