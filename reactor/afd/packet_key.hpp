// SPDX-License-Identifier: MIT
#pragma once

#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// What a packet of the port is, by its key ("packets are checked"). Those of socket notifications have keys beside
/// these (reactor/notify), without program_bit.
enum class PacketKey : nt::ULONG_PTR {
  poll = 0x706F6C6C,    ///< a poll completed; the context names its slot
  group = 0x67727570,   ///< a poll of several sockets completed; the context names its group
  wake = 0x77616B65,    ///< see Doorbell
  object = 0x6F626A65,  ///< an object was signalled; the context names its registration in HandleWaits
  timer = 0x74696D65,   ///< a timer has expired; the context names its association in DeadlineTimers
};

/// The highest bit: of the keys that the program's own packets have (ProgramPackets), and of no other.
inline constexpr nt::ULONG_PTR program_bit = ~(~nt::ULONG_PTR{0} >> 1);

[[nodiscard]] inline bool is_of_program(const void* key) noexcept {
  return (reinterpret_cast<nt::ULONG_PTR>(key) & program_bit) != 0;
}

}  // namespace reactor::afd
