// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <reactor/afd/event_sink.hpp>
#include <reactor/afd/packet_key.hpp>
#include <reactor/nt/types.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor::afd {

/// The packets of the program's own: of operations on handles that it has associated with the port, and those that it
/// posts. A packet is one by its key alone, and its context and status mean nothing to the library.
///
/// None is kept here. A wait that may get one dequeues no more packets than its buffer has space for, so what does not
/// fit stays in the port.
///
/// Not thread-safe: the backend's lock guards it.
class ProgramPackets {
 public:
  explicit ProgramPackets(Stats& stats) noexcept : stats_(stats) {}

  /// Packets with this key are delivered from now on. Error: invalid_argument when the token has the bit that marks
  /// such a key, or more bits than a key.
  [[nodiscard]] Result<nt::ULONG_PTR> key_of(Token token) noexcept {
    const auto value = std::to_underlying(token);
    if (value >= program_bit) return failure(std::errc::invalid_argument);
    are_expected_ = true;
    return static_cast<nt::ULONG_PTR>(value) | program_bit;
  }

  /// Whether the program has asked for a key. Until then its packets are unrecognised.
  [[nodiscard]] bool are_expected() const noexcept { return are_expected_; }

  /// Whether the packet is one; then it has become an event. The sink must have space for it.
  [[nodiscard]] bool take(const nt::FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink) noexcept {
    if (!are_expected_ || !is_of_program(packet.KeyContext)) return false;
    const auto key = reinterpret_cast<nt::ULONG_PTR>(packet.KeyContext);
    sink.deliver(ProgramPacket{Token{key & ~program_bit}, packet.ApcContext, packet.IoStatusBlock.Information,
                               packet.IoStatusBlock.Status});
    stats_.events++;
    return true;
  }

 private:
  Stats& stats_;
  bool are_expected_ = false;
};

}  // namespace reactor::afd
