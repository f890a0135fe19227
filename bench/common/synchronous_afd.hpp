// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>

#include "arguments.hpp"

namespace bench {

/// A handle of AFD whose polls return when they have completed. Windows only.
[[nodiscard]] void* open_synchronous_helper();

/// Polls many sockets by one call that returns when one of them is ready. Windows only.
class SynchronousAfd {
 public:
  using Entry = reactor::nt::AFD_POLL_HANDLE_INFO;
  using Info = reactor::nt::AFD_POLL_INFO;

  explicit SynchronousAfd(reactor::nt::Kernel& kernel) : kernel_(kernel), helper_(kernel, open_synchronous_helper()) {}

  /// One poll that lists `entry_of(each)` for each of `all`. Returns the entries that are ready, in the same order.
  /// They are valid until the next poll.
  template <class All, class EntryOf>
  std::span<const Entry> poll(const All& all, EntryOf&& entry_of) {
    const std::size_t size = sizeof(Info) + (all.size() * sizeof(Entry));
    buffer_.resize(size);
    auto* info = reinterpret_cast<Info*>(buffer_.data());
    auto* entries = reinterpret_cast<Entry*>(info + 1);
    *info = {reactor::nt::poll_never_times_out, static_cast<reactor::nt::ULONG>(all.size()), 0};
    for (std::size_t i = 0; const auto& each : all) entries[i++] = entry_of(each);
    reactor::nt::IO_STATUS_BLOCK iosb{};
    if (kernel_.poll(helper_.get(), iosb, *info, static_cast<reactor::nt::ULONG>(size), nullptr) !=
        reactor::nt::STATUS_SUCCESS) {
      fail("a synchronous poll failed");
    }
    return {entries, info->NumberOfHandles};
  }

 private:
  reactor::nt::Kernel& kernel_;
  reactor::nt::Handle helper_;
  std::vector<std::byte> buffer_;
};

}  // namespace bench
