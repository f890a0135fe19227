// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include <reactor/afd/arena.hpp>
#include <reactor/afd/handle_table.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/assert.hpp>
#include <reactor/backend.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// The registrations: their slots, by index and by base socket.
class Registry {
 public:
  [[nodiscard]] Arena& arena() noexcept { return arena_; }
  [[nodiscard]] std::size_t live() const noexcept { return live_; }
  [[nodiscard]] std::size_t slots() const noexcept { return arena_.used(); }
  [[nodiscard]] std::size_t blocks() const noexcept { return arena_.blocks(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.bytes() + table_.bytes(); }

  /// The registration with that id, or null when it is retired.
  [[nodiscard]] Slot* find(RegistrationId id) noexcept {
    Slot* slot = id.generation == 0 ? nullptr : arena_.at(id.slot);
    return slot != nullptr && slot->generation == id.generation ? slot : nullptr;
  }
  /// The slot of that base socket: a registration's, or a retired one's whose poll the kernel still holds.
  [[nodiscard]] Slot* find(nt::HANDLE base) noexcept {
    const std::uint32_t index = table_.find(base);
    return index == HandleTable::none ? nullptr : &arena_[index];
  }

  /// A slot for a base socket that has none. Throws std::bad_alloc and is then unchanged.
  [[nodiscard]] Slot& create(nt::HANDLE base) {
    table_.reserve(base);
    Slot& slot = arena_.allocate();
    slot.base = base;
    table_.insert(base, slot.index);
    return slot;
  }

  /// The slot is a new registration's from now on; one that it was before is retired.
  void begin(Slot& slot, nt::SocketNumber socket) noexcept {
    if (!slot.is_live()) live_++;
    slot.socket = socket;
    slot.generation = ++last_generation_;
    slot.is_foreign = false;
  }
  /// The same registration, but nothing that was asked for it until now counts any more.
  void renew(Slot& slot) noexcept {
    REACTOR_ASSERT(slot.is_live());
    slot.generation = ++last_generation_;
    slot.is_foreign = false;  // the number may mean a socket of AFD's by now
  }
  void retire(Slot& slot) noexcept {
    REACTOR_ASSERT(slot.is_live() && slot.list == ListName::none);
    slot.generation = 0;
    live_--;
  }
  /// Of a retired one that the kernel does not hold any more.
  void release(Slot& slot) noexcept {
    REACTOR_ASSERT(!slot.is_live());
    table_.erase(slot.base);
    arena_.free(slot);
  }

  void clear() noexcept {
    table_ = {};
    arena_ = {};
    live_ = 0;
  }
  /// Leaks the slots, since the kernel may still write to them.
  void abandon() noexcept {
    arena_.abandon();
    clear();
  }

 private:
  Arena arena_;
  HandleTable table_;
  std::uint64_t last_generation_ = 0;
  std::size_t live_ = 0;
};

}  // namespace reactor::afd
