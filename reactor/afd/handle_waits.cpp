// SPDX-License-Identifier: MIT
#include <reactor/afd/handle_waits.hpp>

#include <limits>
#include <utility>

#include <reactor/afd/helper_handles.hpp>
#include <reactor/assert.hpp>
#include <reactor/nt/status.hpp>

namespace reactor::afd {

using namespace nt;

namespace {

// A packet's context: the index, and above it the number of the arming, never 0.
constexpr int entry_bits = std::numeric_limits<std::uintptr_t>::digits / 2;
constexpr std::uintptr_t entry_mask = (std::uintptr_t{1} << entry_bits) - 1;
constexpr std::size_t entries_max = entry_bits == 32 ? std::size_t{1} << 31 : entry_mask;

/// STATUS_OBJECT_TYPE_MISMATCH of an object that cannot be waited for; elsewhere it is that of no socket.
std::unexpected<std::error_code> refusal(std::error_code error) noexcept {
  return failure(error == std::errc::not_a_socket ? std::make_error_code(std::errc::invalid_argument) : error);
}

void* context_of(std::uint32_t index, std::uint32_t arming) noexcept {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(arming) << entry_bits | index);
}

}  // namespace

const HandleWaits::Entry* HandleWaits::find(RegistrationId id) const noexcept {
  const std::uint32_t index = id.slot & ~mark;
  if (!owns(id) || index >= entries_.size()) return nullptr;
  const Entry& entry = entries_[index];
  return entry.generation != 0 && entry.generation == id.generation ? &entry : nullptr;
}

Result<RegistrationId> HandleWaits::add(HANDLE object, Token token) {
  if (first_free_ == none) {
    if (entries_.size() == entries_max) return failure(std::errc::not_enough_memory);
    entries_.emplace_back();
    first_free_ = static_cast<std::uint32_t>(entries_.size() - 1);
  }
  const std::uint32_t index = first_free_;
  Entry& entry = entries_[index];
  if (const auto opened = open(entry, object); !opened) return failure(opened.error());
  if (const auto armed = arm(index); !armed) {
    release(entry);
    return failure(armed.error());
  }
  first_free_ = entry.next_free;
  entry.token = token;
  entry.generation = ++last_generation_;
  live_++;
  return RegistrationId{index | mark, entry.generation};
}

// A handle of its own: the caller may close the other at any moment, and its number would mean another object then.
Result<> HandleWaits::open(Entry& entry, HANDLE object) {
  stats_.other_calls++;
  const auto duplicate = kernel_.duplicate(object);
  if (!duplicate) return failure(duplicate.error());
  entry.object = *duplicate;
  entry.uses_pool = !kernel_.has_wait_packets();
  if (entry.uses_pool) return {};
  stats_.other_calls++;
  const auto packet = kernel_.create_wait_packet();
  if (packet) {
    entry.wait = *packet;
    return {};
  }
  release(entry);
  return failure(packet.error());
}

Result<> HandleWaits::rearm(RegistrationId id) {
  const Entry* entry = find(id);
  if (entry == nullptr) return failure(std::errc::bad_file_descriptor);
  return entry->is_armed ? Result<>() : arm(id.slot & ~mark);
}

Result<> HandleWaits::arm(std::uint32_t index) {
  Entry& entry = entries_[index];
  REACTOR_ASSERT(!entry.is_armed);
  if (++last_arming_ > entry_mask) last_arming_ = 1;
  entry.arming = last_arming_;
  void* const context = context_of(index, entry.arming);
  constexpr auto key = std::to_underlying(PacketKey::object);
  stats_.arm_calls++;
  if (entry.uses_pool) {
    const auto begun = kernel_.begin_wait(port_, entry.object, key, context);
    if (!begun) return refusal(begun.error());
    entry.wait = *begun;
  } else {
    bool was_signalled = false;  // a packet comes either way
    const NTSTATUS status = kernel_.associate(entry.wait, port_, entry.object, key, context, was_signalled);
    if (!NT_SUCCESS(status)) return refusal(make_error(status));
  }
  set_armed(entry, true);
  return {};
}

bool HandleWaits::take(const FILE_IO_COMPLETION_INFORMATION& packet, EventSink& sink) noexcept {
  if (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)} != PacketKey::object) return false;
  const std::uintptr_t index = reinterpret_cast<std::uintptr_t>(packet.ApcContext) & entry_mask;
  Entry* const entry = index < entries_.size() ? &entries_[index] : nullptr;
  const bool is_current = entry != nullptr && entry->generation != 0 && entry->is_armed &&
                          context_of(static_cast<std::uint32_t>(index), entry->arming) == packet.ApcContext;
  if (!is_current) {
    stats_.spurious++;
    return true;
  }
  if (entry->uses_pool) disarm(*entry);
  set_armed(*entry, false);
  static_cast<void>(sink.deliver({entry->token, Directions::readable, 0, AFD_POLL_RECEIVE, STATUS_SUCCESS}));
  stats_.events++;
  return true;
}

bool HandleWaits::withdraw(RegistrationId id) noexcept { return find(id) != nullptr && retire(id.slot & ~mark); }

bool HandleWaits::retire(std::uint32_t index) noexcept {
  Entry& entry = entries_[index];
  const bool was_taken = entry.is_armed && disarm(entry);
  set_armed(entry, false);
  release(entry);
  entry.generation = 0;
  entry.next_free = std::exchange(first_free_, index);
  live_--;
  return was_taken;
}

// Ends the wait. True: its object was signalled, or may have been, and no packet of it was delivered.
bool HandleWaits::disarm(Entry& entry) noexcept {
  if (entry.uses_pool) return kernel_.end_wait(std::exchange(entry.wait, nullptr));
  // A packet that is queued stays: to remove it would hide that the object has given up its signal.
  stats_.cancel_calls++;
  return kernel_.disassociate(entry.wait, false) != STATUS_SUCCESS;
}

void HandleWaits::release(Entry& entry) noexcept {
  for (HANDLE* handle : {&entry.wait, &entry.object}) {
    if (*handle == nullptr) continue;
    stats_.other_calls++;
    kernel_.close(std::exchange(*handle, nullptr));
  }
}

void HandleWaits::set_armed(Entry& entry, bool is_armed) noexcept {
  armed_ += is_armed ? 1U : 0U;
  armed_ -= entry.is_armed ? 1U : 0U;
  entry.is_armed = is_armed;
}

void HandleWaits::close() noexcept {
  for (std::uint32_t index = 0; index < entries_.size(); index++) {
    if (entries_[index].generation != 0) retire(index);
  }
  entries_ = {};
  first_free_ = none;
}

}  // namespace reactor::afd
