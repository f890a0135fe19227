// SPDX-License-Identifier: MIT
#include <reactor/notify/notifications.hpp>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <reactor/afd/directions.hpp>
#include <reactor/afd/helper_handles.hpp>
#include <reactor/assert.hpp>

namespace reactor::notify {

using namespace nt;
using afd::Changes;
using afd::Directions;
using afd::Notice;
using afd::Slot;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

// A call that makes changes sleeps no longer than this: only when it returns is it known that one was refused.
constexpr milliseconds longest_sleep{100};

// A completion key: the slot's index, and above it bits of the generation, never 0, so that it is none of PacketKey's;
// without the highest bit, which the program's own keys have.
constexpr int index_bits = std::numeric_limits<std::uintptr_t>::digits == 64 ? 32 : 20;
constexpr std::uintptr_t index_mask = (std::uintptr_t{1} << index_bits) - 1;
constexpr std::uint64_t keys = (afd::program_bit - 1) >> index_bits;

std::uint32_t key_bits(std::uint64_t generation) noexcept { return static_cast<std::uint32_t>(generation % keys + 1); }
void* pack(std::uint32_t index, std::uint32_t key) noexcept {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(key) << index_bits | index);
}
std::uint32_t index_in(const void* packed) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(packed) & index_mask);
}
std::uint32_t key_in(const void* packed) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(packed) >> index_bits);
}
// A key of another kind. Where pointers have 32 bits, some index and generation look like one.
bool is_taken(const void* packed) noexcept {
  using afd::PacketKey;
  if (afd::is_of_program(packed)) return true;
  const auto key = PacketKey{reinterpret_cast<ULONG_PTR>(packed)};
  return key == PacketKey::poll || key == PacketKey::group || key == PacketKey::wake || key == PacketKey::object ||
         key == PacketKey::timer;
}

// HANGUP always: with no event at all a registration might be refused, and what it reports is asked for by a poll.
std::uint16_t filter_of(Directions directions) noexcept {
  std::uint16_t filter = SocketNotify::hangup;
  if (has(directions, Directions::readable)) filter |= SocketNotify::in;
  if (has(directions, Directions::writable)) filter |= SocketNotify::out;
  return filter;
}

SOCK_NOTIFY_REGISTRATION change(const Slot& slot, std::uint16_t filter, std::uint8_t operation) noexcept {
  return {reinterpret_cast<ULONG_PTR>(slot.base),
          pack(slot.index, slot.notice_key),
          filter,
          operation,
          SocketNotify::level | SocketNotify::oneshot,
          0};
}

}  // namespace

// Documented as Win32 errors; where it was looked at, NTSTATUS.
Notifications::Result Notifications::result_of(ULONG error) noexcept {
  const auto status = static_cast<NTSTATUS>(error);
  if (NT_ERROR(status) && is_shortage(status)) return Result::shortage;
  if (status == STATUS_INVALID_HANDLE || status == STATUS_OBJECT_TYPE_MISMATCH) return Result::no_socket;
  switch (error) {
    case 0: return Result::done;
    case 8:      // ERROR_NOT_ENOUGH_MEMORY
    case 14:     // ERROR_OUTOFMEMORY
    case 1450:   // ERROR_NO_SYSTEM_RESOURCES
    case 1453:   // ERROR_WORKING_SET_QUOTA
    case 1455:   // ERROR_COMMITMENT_LIMIT
    case 1816:   // ERROR_NOT_ENOUGH_QUOTA
    case 10055:  // WSAENOBUFS
      return Result::shortage;
    case 6:      // ERROR_INVALID_HANDLE
    case 10038:  // WSAENOTSOCK
      return Result::no_socket;
    default: return Result::refused;
  }
}

void Notifications::set(Slot& slot, Notice notice) noexcept {
  enabled_ += notice == Notice::enabled ? 1 : 0;
  enabled_ -= slot.notice == Notice::enabled ? 1 : 0;
  slot.notice = notice;
}

Slot* Notifications::find(std::uint32_t index, std::uint32_t key) noexcept {
  Slot* slot = registry_.arena().at(index);
  return slot != nullptr && slot->notice != Notice::none && slot->notice_key == key ? slot : nullptr;
}

void Notifications::begin(Slot& slot) {
  // It is a socket's number again that had a registration. If that is gone, another socket has the number now.
  if (slot.notice != Notice::none) static_cast<void>(withdraw(slot));
  slot.uses_polls = false;
  if (!slot.is_free() || slot.index > index_mask) use_polls(slot);
}

void Notifications::enable(Slot& slot) {
  constexpr Directions not_served = Directions::priority | Directions::closings | Directions::repeated_endings;
  if (has(slot.wanted, not_served)) return use_polls(slot);
  if (slot.armed() == Directions::none) return;
  if (slot.notice == Notice::none) {
    slot.notice_key = key_bits(slot.generation);
    if (is_taken(pack(slot.index, slot.notice_key))) return use_polls(slot);
  }
  const bool is_covered = (filter_of(slot.armed()) & ~slot.asked) == 0;
  if (slot.notice != Notice::enabled || !is_covered) queue_.change(slot);
}

void Notifications::use_polls(Slot& slot) noexcept {
  slot.uses_polls = true;
  if (slot.notice == Notice::enabled) set(slot, Notice::disabled);  // what may still come is not asked for
}

void Notifications::retire(Slot& slot, bool is_closed) {
  if (is_closed) return set(slot, Notice::none);
  if (slot.notice == Notice::none || slot.notice == Notice::removing) return;
  if (!withdraw(slot)) queue_.change(slot);  // the kernel is short of memory: the next wait tries again
}

// Removes what the kernel may have of it. Now, and not with the next wait: by then the number may be another socket's,
// of another Poller. False: nothing has changed.
bool Notifications::withdraw(Slot& slot) {
  SOCK_NOTIFY_REGISTRATION one = change(slot, 0, SocketNotify::remove);
  ULONG removed = 0;
  stats_.arm_calls++;
  const ULONG error = kernel_.notify(port_, std::span(&one, 1), {}, removed, 0);
  const Result result = result_of(error != 0 ? error : one.registrationResult);
  if (result == Result::shortage) return false;
  on_removed(slot, result);
  return true;
}

// Removed: its notification is to come, and until then it is not known what a new registration of the socket would do.
// Refused: there was none, so the number means another socket by now, or none.
void Notifications::on_removed(Slot& slot, Result result) noexcept {
  set(slot, result == Result::done ? Notice::removing : Notice::none);
}

void Notifications::remove_all() noexcept {
  Changes changes;
  const auto submit_all = [&] {
    ULONG removed = 0;
    stats_.arm_calls++;
    static_cast<void>(kernel_.notify(port_, changes.all(), {}, removed, 0));
    changes.size = 0;
  };
  registry_.arena().for_each([&](Slot& slot) {
    if (slot.notice == Notice::disabled || slot.notice == Notice::enabled) {
      changes.entries[changes.size++] = change(slot, 0, SocketNotify::remove);
    }
    set(slot, Notice::none);
    if (changes.size == Changes::max) submit_all();
  });
  if (changes.size > 0) submit_all();
}

void Notifications::collect(Changes& changes) {
  afd::SlotList& queue = queue_.changes();
  while (!queue.empty() && changes.size < Changes::max) {
    Slot& slot = queue.front();
    queue.erase(slot);
    const bool is_first = slot.notice == Notice::none;
    if (slot.is_live()) {
      slot.asked = filter_of(slot.armed());
      set(slot, Notice::enabled);
    }
    // What is the first of its kind may well be refused.
    if (!slot.is_live() || is_first) changes.may_sleep = false;
    changes.entries[changes.size] =
        slot.is_live() ? change(slot, slot.asked, SocketNotify::enable) : change(slot, 0, SocketNotify::remove);
    changes.of[changes.size++] = {slot.index, slot.notice_key, is_first};
  }
  if (!queue.empty()) changes.may_sleep = false;
}

Notifications::Timeout Notifications::collect(Changes& changes, Timeout timeout) {
  collect(changes);
  if (!changes.may_sleep) return nanoseconds(0);
  // In whole milliseconds, never more than asked: what is left, the next dequeue waits for.
  return std::chrono::floor<milliseconds>(timeout ? std::min<nanoseconds>(*timeout, longest_sleep) : longest_sleep);
}

NTSTATUS Notifications::submit(Changes& changes, std::span<FILE_IO_COMPLETION_INFORMATION> packets, ULONG& removed,
                               Timeout timeout) {
  const nanoseconds longest = timeout.value_or(longest_sleep);
  const auto ms = static_cast<std::uint32_t>(std::chrono::duration_cast<milliseconds>(longest).count());
  const ULONG error = kernel_.notify(port_, changes.all(), packets, removed, ms);
  if (error == 0) return STATUS_SUCCESS;
  if (error == static_cast<ULONG>(STATUS_TIMEOUT)) return STATUS_TIMEOUT;
  // Nothing was changed.
  if (result_of(error) == Result::shortage) {
    for (SOCK_NOTIFY_REGISTRATION& one : changes.all()) one.registrationResult = error;
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  // One of them may be what the call was refused for ("one bad socket never fails wait").
  for (SOCK_NOTIFY_REGISTRATION& one : changes.all()) {
    ULONG none = 0;
    const ULONG alone = kernel_.notify(port_, std::span(&one, 1), {}, none, 0);
    if (alone != 0) one.registrationResult = alone;
    changes.arms_more++;
  }
  if (packets.empty()) return STATUS_SUCCESS;
  changes.waits_more++;
  return kernel_.dequeue(port_, packets, removed, nanoseconds(0));
}

void Notifications::flush() {
  while (!queue_.changes().empty()) {
    Changes changes;
    collect(changes);
    ULONG removed = 0;
    stats_.arm_calls++;
    static_cast<void>(submit(changes, {}, removed, nanoseconds(0)));
    static_cast<void>(settle(changes));
  }
}

std::size_t Notifications::settle(Changes& changes) {
  stats_.arm_calls += changes.arms_more;
  stats_.wait_calls += changes.waits_more;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < changes.size; i++) {
    const auto& [socket, key, filter, operation, trigger, error] = changes.entries[i];
    const Changes::Of& of = changes.of[i];
    const Result result = result_of(error);
    refused += result == Result::shortage ? 1 : 0;
    Slot* slot = find(of.index, of.key);
    if (slot == nullptr) continue;  // released meanwhile, or another registration's
    if (operation == SocketNotify::enable) {
      on_enabled(*slot, of, filter, error);
    } else if (result == Result::shortage) {
      queue_.change(*slot);
    } else {
      on_removed(*slot, result);
      dispatcher_.release_if_free(*slot);
    }
  }
  return refused;
}

// While a thread slept in the call, the registration may have been changed by others.
void Notifications::on_enabled(Slot& slot, const Changes::Of& of, std::uint16_t filter, ULONG error) {
  if (!slot.is_live() || slot.uses_polls) return;
  const Result result = result_of(error);
  if (result == Result::done) {
    if (of.is_first) slot.asked_for = slot.generation;
    // Another thread has enabled it for more; that may have been before this call did so for less.
    if (slot.notice == Notice::enabled && slot.asked != filter && slot.list == afd::ListName::none) queue_.change(slot);
    return;
  }
  if (result == Result::no_socket && !of.is_first) return dispatcher_.retire(slot, true);
  if (slot.notice != Notice::enabled) return;  // it has reported: it was enabled by another thread as well
  set(slot, of.is_first ? Notice::none : Notice::disabled);
  if (result == Result::shortage) return dispatcher_.on_shortage(slot, STATUS_INSUFFICIENT_RESOURCES);
  use_polls(slot);
  queue_.mark(slot);
}

bool Notifications::take(const FILE_IO_COMPLETION_INFORMATION& packet, afd::EventSink& sink) {
  const std::uint32_t index = index_in(packet.KeyContext), key = key_in(packet.KeyContext);
  if (key == 0 || is_taken(packet.KeyContext)) return false;
  const auto events = static_cast<ULONG>(packet.IoStatusBlock.Information);
  const bool is_removed = (events & SocketNotify::removed) != 0;
  Slot* slot = find(index, key);
  if (slot == nullptr) {
    stats_.spurious++;
    Slot* other = registry_.arena().at(index);
    if (other != nullptr && other->notice == Notice::enabled && !is_removed && other->is_live()) {
      use_polls(*other);
      queue_.mark(*other);
    }
    return true;
  }
  if (is_removed) {
    on_removal(*slot);
    return true;
  }
  const bool is_expected = slot->notice == Notice::enabled;
  if (is_expected) set(*slot, Notice::disabled);
  if (!is_expected || !slot->is_live()) {
    stats_.spurious++;
    return true;
  }
  if ((events & (SocketNotify::hangup | SocketNotify::err)) != 0) {
    use_polls(*slot);
    queue_.mark(*slot);
    return true;
  }
  ULONG afd_events = 0;
  if ((events & SocketNotify::in) != 0) afd_events |= AFD_POLL_RECEIVE;
  if ((events & SocketNotify::out) != 0) afd_events |= AFD_POLL_SEND;
  dispatcher_.on_ready(*slot, afd_events, STATUS_SUCCESS, sink);
  return true;
}

// The last notification of a registration. If it was not this slot's removal, that of another number of the socket was.
void Notifications::on_removal(Slot& slot) {
  const bool is_asked_for = slot.notice == Notice::removing;
  set(slot, Notice::none);
  if (!slot.is_live()) queue_.erase(slot);
  if (slot.is_live() && !is_asked_for && !slot.uses_polls) {
    use_polls(slot);
    if (slot.list != afd::ListName::delivered) queue_.mark(slot);  // else the thread that has its event arms it
  }
  dispatcher_.release_if_free(slot);
}

}  // namespace reactor::notify
