// SPDX-License-Identifier: MIT
#include <reactor/afd/helper_handles.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <utility>

#include <reactor/assert.hpp>

namespace reactor::afd {

using namespace nt;

HelperHandles::HelperHandles(Kernel& kernel, HANDLE port, bool inline_completions, Stats& stats) noexcept
    : kernel_(kernel), port_(port), stats_(stats), inline_(inline_completions ? Inline::unknown : Inline::no) {}

Result<std::uint32_t> HelperHandles::attach(HANDLE base) {
  if (first_with_place_ == no_index) {
    if (const auto added = add(base); !added) return failure(added.error());
  }
  const std::uint32_t index = first_with_place_;
  if (++handles_[index].sockets == sockets_per_handle) unlink(index);
  return index;
}

void HelperHandles::detach(std::uint32_t index) noexcept {
  Helper& helper = handles_[index];
  REACTOR_ASSERT(helper.handle && helper.sockets > 0);
  if (helper.sockets-- == sockets_per_handle) link(index);
  if (helper.sockets > 0) return;
  // Empty handles are closed, except the last, which a program that adds and removes one socket would reopen each time.
  const bool is_last_with_place = first_with_place_ == index && helper.next == no_index;
  if (is_last_with_place) return;
  unlink(index);
  stats_.other_calls++;
  helper.handle.reset();
  open_--;
  helper.next = std::exchange(first_free_, index);
}

Result<std::uint32_t> HelperHandles::add(HANDLE base) {
  if (inline_ == Inline::unknown) inline_ = probe_inline(base);
  if (first_free_ == no_index) {
    handles_.emplace_back();
    first_free_ = static_cast<std::uint32_t>(handles_.size() - 1);
  }
  auto opened = open(port_, PacketKey::poll, inline_ == Inline::yes);
  if (!opened) return failure(opened.error());
  const std::uint32_t index = std::exchange(first_free_, handles_[first_free_].next);
  handles_[index].handle = std::move(opened->handle);
  handles_[index].skips_packets = opened->skips_packets;
  handles_[index].sockets = 0;
  open_++;
  link(index);
  return index;
}

Result<HelperHandles::Opened> HelperHandles::open(HANDLE port, PacketKey key, bool skips_packets) {
  stats_.other_calls++;
  const auto opened = kernel_.open_helper(port, std::to_underlying(key));
  if (!opened) return failure(opened.error());
  Opened helper{Handle(kernel_, *opened), false};
  if (skips_packets) {
    stats_.other_calls++;
    helper.skips_packets = kernel_.skip_packet_on_success(*opened);
  }
  return helper;
}

HANDLE HelperHandles::for_groups() noexcept {
  if (inline_ != Inline::yes) return nullptr;
  if (!group_handle_) {
    auto opened = open(port_, PacketKey::group, true);
    if (!opened) return nullptr;
    group_handle_ = std::move(opened->handle);
    groups_skip_packets_ = opened->skips_packets;
  }
  return groups_skip_packets_ ? group_handle_.get() : nullptr;
}

void HelperHandles::link(std::uint32_t index) noexcept {
  handles_[index].previous = no_index;
  handles_[index].next = first_with_place_;
  if (first_with_place_ != no_index) handles_[first_with_place_].previous = index;
  first_with_place_ = index;
}

void HelperHandles::unlink(std::uint32_t index) noexcept {
  const Helper& helper = handles_[index];
  (helper.previous == no_index ? first_with_place_ : handles_[helper.previous].next) = helper.next;
  if (helper.next != no_index) handles_[helper.next].previous = helper.previous;
}

// It is known for Wine, and for the Windows versions that OpenVMM runs on, that a synchronous completion has no packet,
// but not for each version (kernel fact skip.inline). A wrong assumption would use memory that the kernel still holds.
// So a probe finds out once, on its own port: a poll with a zero time-out completes synchronously, and its packet, if
// there is one, is queued by then. If a call fails for another reason, the next helper handle is probed.
HelperHandles::Inline HelperHandles::probe_inline(HANDLE base) {
  if (probe_ == nullptr) {
    const Inline begun = begin_probe(base);
    if (probe_ == nullptr) return begun;
  }
  std::array<FILE_IO_COMPLETION_INFORMATION, 1> packet{};
  ULONG removed = 0;
  stats_.wait_calls++;
  const bool is_pending = probe_->status == STATUS_PENDING;
  const auto timeout = std::chrono::seconds(is_pending ? 10 : 0);
  const NTSTATUS dequeued = kernel_.dequeue(probe_->port.get(), packet, removed, timeout);
  if (!NT_SUCCESS(dequeued)) return Inline::unknown;  // the kernel may still own its memory: dequeued again later
  if (is_pending && dequeued == STATUS_TIMEOUT) return Inline::no;  // likewise
  const bool has_packet = dequeued == STATUS_SUCCESS;
  const bool is_inline = probe_->status == STATUS_SUCCESS && !has_packet;
  probe_.reset();
  return is_inline ? Inline::yes : Inline::no;
}

// Submits the probe's poll. Without a probe afterwards, the result is what is known without one.
HelperHandles::Inline HelperHandles::begin_probe(HANDLE base) {
  auto probe = std::make_unique<Probe>();
  stats_.other_calls++;
  const auto opened = kernel_.create_port();
  if (!opened) return Inline::unknown;
  stats_.other_calls++;  // its end
  probe->port = Handle(kernel_, *opened);
  auto helper = open(*opened, PacketKey{}, true);
  if (!helper) return Inline::unknown;
  stats_.other_calls++;  // its end
  if (!helper->skips_packets) return Inline::no;
  probe->helper = std::move(helper->handle);
  probe->poll = {{0, 1, 0}, {base, AFD_POLL_LOCAL_CLOSE, 0}};
  stats_.arm_calls++;
  probe->status = kernel_.poll(probe->helper.get(), probe->iosb, probe->poll.info, poll_size_bytes(1), probe.get());
  if (NT_ERROR(probe->status)) return Inline::unknown;
  if (probe->status == STATUS_PENDING) {
    stats_.cancel_calls++;
    kernel_.cancel(probe->helper.get(), nullptr);
  }
  probe_ = std::move(probe);
  return Inline::unknown;
}

void HelperHandles::close_all() noexcept {
  if (probe_ != nullptr) static_cast<void>(probe_inline(nullptr));
  if (probe_ != nullptr) {
    // Its packet never came: leaked on purpose, since the kernel may still write to it ("kernel owns its memory").
    probe_->helper.reset();
    probe_->port.reset();
    static_cast<void>(probe_.release());
  }
  stats_.other_calls += size();
  handles_.clear();
  first_with_place_ = first_free_ = no_index;
  open_ = 0;
  group_handle_.reset();
}

}  // namespace reactor::afd
