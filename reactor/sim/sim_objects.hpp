// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <type_traits>
#include <vector>

#include <reactor/nt/types.hpp>
#include <reactor/sim/sim_faults.hpp>

namespace reactor::sim {

struct Port;
struct WaitPacket;
class EpollItem;

/// Of a handle or descriptor, as the tables of both simulated systems have it.
template <class Native>
[[nodiscard]] std::uintptr_t number_of(Native native) noexcept {
  if constexpr (std::is_pointer_v<Native>) {
    return reinterpret_cast<std::uintptr_t>(native);
  } else {
    return static_cast<std::uintptr_t>(native);
  }
}

/// An object that can be waited for.
struct Waitable {
  enum class Kind : std::uint8_t {
    manual_reset,  ///< an event that stays set; a process, a thread
    auto_reset,    ///< an event that one wait resets
    semaphore,     ///< one wait takes one of its count
    mutex,         ///< refused
  };
  Kind kind = Kind::manual_reset;
  int signals = 0;             // 1 when it is set; of a semaphore its count
  std::uint64_t settings = 0;  // of a timer: how often it was set
  std::deque<std::shared_ptr<WaitPacket>> waits{};
  std::vector<EpollItem*> watching{};  // registrations of a simulated epoll

  /// As a wait does that finds it signalled.
  [[nodiscard]] bool take() noexcept {
    if (signals == 0) return false;
    if (kind != Kind::manual_reset) signals--;
    return true;
  }
};

/// A wait packet, or a wait of the system's pool.
struct WaitPacket {
  enum class State : std::uint8_t {
    idle,
    waiting,
    signalled,  // its packet is on its way
    queued,     // in the port
  };
  State state = State::idle;
  bool is_pooled = false;
  bool is_closed = false;
  std::uint64_t associations = 0;
  std::shared_ptr<Port> port;
  std::shared_ptr<Waitable> object;
  nt::FILE_IO_COMPLETION_INFORMATION info{};
};

[[nodiscard]] WaitReadings wait_readings_of(const Options& options);

}  // namespace reactor::sim
