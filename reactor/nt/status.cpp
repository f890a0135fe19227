// SPDX-License-Identifier: MIT
#include <reactor/nt/status.hpp>

#include <algorithm>
#include <array>

namespace reactor::nt {

namespace {

struct Row {
  ULONG status;
  std::errc meaning;
  int winsock = 0;  // the number under which Winsock reports the same
};

constexpr std::array rows{
    Row{0x00000102, std::errc::timed_out, 10060},            // STATUS_TIMEOUT
    Row{0x80000005, std::errc::message_size},                // STATUS_BUFFER_OVERFLOW: more than the buffer holds
    Row{0x80070005, std::errc::permission_denied},           // ERROR_ACCESS_DENIED
    Row{0x80070006, std::errc::bad_file_descriptor},         // ERROR_INVALID_HANDLE
    Row{0x80070008, std::errc::not_enough_memory},           // ERROR_NOT_ENOUGH_MEMORY
    Row{0x8007000E, std::errc::not_enough_memory},           // ERROR_OUTOFMEMORY
    Row{0x80070057, std::errc::invalid_argument},            // ERROR_INVALID_PARAMETER
    Row{0x800703E3, std::errc::operation_canceled},          // ERROR_OPERATION_ABORTED
    Row{0x800705AA, std::errc::not_enough_memory},           // ERROR_NO_SYSTEM_RESOURCES
    Row{0xC0000001, std::errc::io_error},                    // STATUS_UNSUCCESSFUL
    Row{0xC0000002, std::errc::function_not_supported},      // STATUS_NOT_IMPLEMENTED
    Row{0xC0000005, std::errc::bad_address},                 // STATUS_ACCESS_VIOLATION
    Row{0xC0000008, std::errc::bad_file_descriptor},         // STATUS_INVALID_HANDLE
    Row{0xC000000D, std::errc::invalid_argument},            // STATUS_INVALID_PARAMETER
    Row{0xC0000010, std::errc::not_supported},               // STATUS_INVALID_DEVICE_REQUEST
    Row{0xC0000017, std::errc::not_enough_memory},           // STATUS_NO_MEMORY
    Row{0xC0000022, std::errc::permission_denied},           // STATUS_ACCESS_DENIED
    Row{0xC0000024, std::errc::not_a_socket},                // STATUS_OBJECT_TYPE_MISMATCH
    Row{0xC0000034, std::errc::no_such_file_or_directory},   // STATUS_OBJECT_NAME_NOT_FOUND
    Row{0xC0000044, std::errc::not_enough_memory},           // STATUS_QUOTA_EXCEEDED
    Row{0xC000009A, std::errc::not_enough_memory},           // STATUS_INSUFFICIENT_RESOURCES
    Row{0xC00000B0, std::errc::broken_pipe},                 // STATUS_PIPE_DISCONNECTED
    Row{0xC00000B1, std::errc::broken_pipe},                 // STATUS_PIPE_CLOSING
    Row{0xC00000B5, std::errc::timed_out, 10060},            // STATUS_IO_TIMEOUT
    Row{0xC00000BB, std::errc::not_supported},               // STATUS_NOT_SUPPORTED
    Row{0xC00000EF, std::errc::invalid_argument},            // STATUS_INVALID_PARAMETER_1
    Row{0xC00000F0, std::errc::invalid_argument},            // STATUS_INVALID_PARAMETER_2
    Row{0xC00000F1, std::errc::invalid_argument},            // STATUS_INVALID_PARAMETER_3
    Row{0xC000011F, std::errc::too_many_files_open},         // STATUS_TOO_MANY_OPENED_FILES
    Row{0xC0000120, std::errc::operation_canceled},          // STATUS_CANCELLED
    Row{0xC000014B, std::errc::broken_pipe},                 // STATUS_PIPE_BROKEN
    Row{0xC000020C, std::errc::not_connected, 10057},        // STATUS_CONNECTION_DISCONNECTED
    Row{0xC000020D, std::errc::connection_reset, 10054},     // STATUS_CONNECTION_RESET
    Row{0xC0000225, std::errc::no_such_file_or_directory},   // STATUS_NOT_FOUND
    Row{0xC0000236, std::errc::connection_refused, 10061},   // STATUS_CONNECTION_REFUSED
    Row{0xC000023C, std::errc::network_unreachable, 10051},  // STATUS_NETWORK_UNREACHABLE
    Row{0xC000023D, std::errc::host_unreachable, 10065},     // STATUS_HOST_UNREACHABLE
    Row{0xC000023F, std::errc::connection_refused, 10061},   // STATUS_PORT_UNREACHABLE
    Row{0xC0000241, std::errc::connection_aborted, 10053},   // STATUS_CONNECTION_ABORTED
};

const Row* find(int value) noexcept {
  const auto row = std::ranges::find(rows, static_cast<ULONG>(value), &Row::status);
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace

std::error_code make_error(NTSTATUS status) noexcept {
  const Row* const row = find(status);
  return {row != nullptr && row->winsock != 0 ? row->winsock : status, error_category()};
}

std::error_code make_win32_error(ULONG error) noexcept {
  const bool is_winsock = error >= 10000 && error < 12000;
  const ULONG value = error == 0 || is_winsock ? error : 0x80070000 | (error & 0xFFFF);
  return {static_cast<int>(value), error_category()};
}

std::optional<std::errc> meaning_of(int value) noexcept {
  const Row* const row = find(value);
  if (row == nullptr) return std::nullopt;
  return row->meaning;
}

}  // namespace reactor::nt
