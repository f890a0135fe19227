// SPDX-License-Identifier: MIT
#include <reactor/afd/arming.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <thread>
#include <utility>

namespace reactor::afd {

using namespace nt;

Arming::Arming(Kernel& kernel, HANDLE port, bool inline_completions, Stats& stats) noexcept
    : kernel_(kernel), port_(port), stats_(stats), inline_(inline_completions ? Inline::unknown : Inline::no) {}

Result<> Arming::attach(Slot& slot) {
  // From the back: the newest helper is the likeliest to have room.
  const auto found = std::ranges::find_if(helpers_.rbegin(), helpers_.rend(),
                                          [](const auto& helper) { return helper->sockets < sockets_per_helper; });
  if (found != helpers_.rend()) {
    slot.helper = found->get();
  } else {
    const auto added = add_helper(slot);
    if (!added) return failure(added.error());
    slot.helper = *added;
  }
  slot.helper->sockets++;
  return {};
}

void Arming::detach(Slot& slot) noexcept {
  HelperHandle* helper = std::exchange(slot.helper, nullptr);
  if (helper == nullptr || --helper->sockets > 0) return;
  // An empty one is closed, but for the last: a program that comes and goes by one socket would reopen it each time.
  const bool other_has_room = std::ranges::any_of(
      helpers_, [helper](const auto& other) { return other.get() != helper && other->sockets < sockets_per_helper; });
  if (!other_has_room) return;
  stats_.other_calls++;
  std::erase_if(helpers_, [helper](const auto& other) { return other.get() == helper; });
}

Result<HelperHandle*> Arming::add_helper(const Slot& slot) {
  if (inline_ == Inline::unknown) inline_ = probe_inline(slot.base);
  helpers_.reserve(helpers_.size() + 1);
  auto helper = std::make_unique<HelperHandle>();
  auto opened = open_helper(port_, PacketKey::poll, inline_ == Inline::yes);
  if (!opened) return failure(opened.error());
  *helper = std::move(*opened);
  helpers_.push_back(std::move(helper));
  return helpers_.back().get();
}

Result<HelperHandle> Arming::open_helper(HANDLE port, PacketKey key, bool skips_packets) {
  HelperHandle helper;
  stats_.other_calls++;
  const auto opened = kernel_.open_helper(port, std::to_underlying(key));
  if (!opened) return failure(opened.error());
  helper.handle = Handle(kernel_, *opened);
  if (skips_packets) {
    stats_.other_calls++;
    helper.skips_packets = kernel_.skip_packet_on_success(*opened);
  }
  return helper;
}

// Whether an answer in the call comes without a packet is known of Wine and not of every Windows (kernel fact
// skip.inline), and to be wrong about it means to use memory that the kernel still holds. So it is asked once, on a
// port of its own: a poll that does not wait completes in the call, and its packet, if there is one, is queued by then.
// What fails for another reason says nothing: then the next helper handle asks again.
Arming::Inline Arming::probe_inline(HANDLE base) {
  stats_.other_calls++;
  const auto opened_port = kernel_.create_port();
  if (!opened_port) return Inline::unknown;
  stats_.other_calls++;  // its end
  const Handle port(kernel_, *opened_port);
  const auto helper = open_helper(port.get(), PacketKey{}, true);
  if (!helper) return Inline::unknown;
  stats_.other_calls++;  // its end
  if (!helper->skips_packets) return Inline::no;

  struct Request {
    IO_STATUS_BLOCK iosb{};
    AfdPollOne poll{};
  };
  auto request = std::make_unique<Request>();
  request->poll = {{0, 1, 0}, {base, AFD_POLL_LOCAL_CLOSE, 0}};
  stats_.arm_calls++;
  const NTSTATUS status =
      kernel_.poll(helper->handle.get(), request->iosb, request->poll.info, sizeof request->poll, request.get());
  std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
  if (status == STATUS_PENDING) {
    cancel(helper->handle.get(), nullptr);
    if (look(port.get(), packet, std::chrono::seconds(10)) != STATUS_SUCCESS) {
      static_cast<void>(request.release());  // never given back: better lost than written to (rule 2)
    }
    return Inline::no;
  }
  if (!NT_SUCCESS(status)) return Inline::unknown;
  const bool has_packet = look(port.get(), packet, std::chrono::nanoseconds(0)) != STATUS_TIMEOUT;
  return status == STATUS_SUCCESS && !has_packet ? Inline::yes : Inline::no;
}

// Like all that must not fail for want of memory: asked again, for a while.
NTSTATUS Arming::look(HANDLE port, std::span<FILE_IO_COMPLETION_INFORMATION> packets,
                      std::chrono::nanoseconds timeout) {
  ULONG removed = 0;
  NTSTATUS status = STATUS_SUCCESS;
  for (int attempt = 0; attempt < attempts; attempt++) {
    stats_.wait_calls++;
    status = kernel_.dequeue(port, packets, removed, timeout);
    if (NT_SUCCESS(status)) break;
    std::this_thread::yield();
  }
  return status;
}

Arming::Armed Arming::arm(Slot& slot, ULONG mask) {
  slot.poll = {{poll_never_times_out, 1, 0}, {slot.base, mask, 0}};
  slot.iosb.Status = STATUS_PENDING;
  slot.asked = static_cast<std::uint16_t>(mask);
  return submit(*slot.helper, slot.iosb, slot.poll.info, sizeof slot.poll, &slot);
}

Arming::Armed Arming::submit(const HelperHandle& helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll,
                             std::size_t size_bytes, void* context) {
  stats_.arm_calls++;
  const NTSTATUS status = kernel_.poll(helper.handle.get(), iosb, poll, static_cast<ULONG>(size_bytes), context);
  if (NT_ERROR(status)) return {Answer::refused, status};
  if (status == STATUS_PENDING || !NT_SUCCESS(status) || !helper.skips_packets) return {Answer::pending, status};
  stats_.inline_completions++;
  return {Answer::ready, status};
}

// Only where the call itself answers: what does not fit into the caller's room has to be asked for again, and if every
// answer were a packet, it would stand at the end of the port's line each time.
Group* Arming::empty_group() noexcept try {
  if (inline_ != Inline::yes) return nullptr;
  if (!group_helper_.handle) {
    auto opened = open_helper(port_, PacketKey::group, true);
    if (!opened) return nullptr;
    group_helper_ = std::move(*opened);
  }
  if (!group_helper_.skips_packets) return nullptr;
  auto found = std::ranges::find(groups_, PollState::idle, [](const auto& group) { return group->state; });
  if (found == groups_.end()) {
    if (groups_.size() == groups_max) return nullptr;
    found = groups_.insert(found, std::make_unique<Group>());
  }
  (*found)->size = 0;
  return found->get();
} catch (const std::bad_alloc&) {
  return nullptr;
}

Arming::Armed Arming::arm(Group& group) {
  const auto number = static_cast<std::uint8_t>(
      1 + (std::ranges::find(groups_, &group, [](const auto& other) { return other.get(); }) - groups_.begin()));
  for (std::size_t i = 0; i < group.size; i++) {
    group.room[i].slot->asked = static_cast<std::uint16_t>(group.entries[i].Events);
    group.room[i].slot->group = number;
  }
  group.poll = {poll_never_times_out, group.size, 0};
  group.iosb.Status = STATUS_PENDING;
  stats_.group_arms++;
  stats_.group_members += group.size;
  const std::size_t size_bytes = sizeof group.poll + group.size * sizeof group.entries[0];
  return submit(group_helper_, group.iosb, group.poll, size_bytes, &group);
}

Group* Arming::group_at_address(const void* address) noexcept {
  const auto found = std::ranges::find(groups_, address, [](const auto& group) -> const void* { return group.get(); });
  return found == groups_.end() || (*found)->state == PollState::idle ? nullptr : found->get();
}

NTSTATUS Arming::cancel(Slot& slot) { return cancel(slot.helper->handle.get(), &slot.iosb); }
NTSTATUS Arming::cancel(Group& group) { return cancel(group_helper_.handle.get(), &group.iosb); }

void Arming::cancel_all() {
  if (group_helper_.handle) cancel(group_helper_.handle.get(), nullptr);
  for (const auto& helper : helpers_) cancel(helper->handle.get(), nullptr);
}

// Whoever cancels counts on the packet that follows. The kernel refuses only when it is out of memory: ask again, for a
// while.
NTSTATUS Arming::cancel(HANDLE helper, IO_STATUS_BLOCK* request) {
  NTSTATUS status = STATUS_SUCCESS;
  for (int attempt = 0; attempt < attempts; attempt++) {
    stats_.cancel_calls++;
    status = kernel_.cancel(helper, request);
    if (NT_SUCCESS(status) || status == STATUS_NOT_FOUND) break;
    std::this_thread::yield();
  }
  return status;
}

void Arming::close_all() noexcept {
  stats_.other_calls += helpers();
  helpers_.clear();
  group_helper_ = {};
  groups_.clear();
}

void Arming::abandon_groups() noexcept {
  for (auto& group : groups_) static_cast<void>(group.release());
  groups_.clear();
}

}  // namespace reactor::afd
