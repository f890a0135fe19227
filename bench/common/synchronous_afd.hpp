// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <reactor/nt/types.hpp>

namespace bench {

/// A helper handle that was opened for synchronous I/O: a poll returns when it has been answered. Windows only.
class SynchronousAfd {
 public:
  using Entry = reactor::nt::AFD_POLL_HANDLE_INFO;
  using Info = reactor::nt::AFD_POLL_INFO;

  SynchronousAfd();
  SynchronousAfd(const SynchronousAfd&) = delete;
  SynchronousAfd& operator=(const SynchronousAfd&) = delete;
  ~SynchronousAfd();

  /// One poll that lists what `entry_of` makes of each. What is ready, in the order of `all`; nothing when the poll was
  /// cancelled or has timed out. Valid until the next poll. `timeout` is an AFD_POLL_INFO's.
  template <class All, class EntryOf>
  std::span<const Entry> poll(const All& all, EntryOf&& entry_of,
                              std::int64_t timeout = reactor::nt::poll_never_times_out) {
    buffer_.resize(sizeof(Info) + (all.size() * sizeof(Entry)));
    auto* info = reinterpret_cast<Info*>(buffer_.data());
    auto* entries = reinterpret_cast<Entry*>(info + 1);
    *info = {timeout, static_cast<reactor::nt::ULONG>(all.size()), 0};
    for (std::size_t i = 0; const auto& each : all) entries[i++] = entry_of(each);
    return submit(*info) ? std::span<const Entry>(entries, info->NumberOfHandles) : std::span<const Entry>();
  }

  /// Cancels the poll that another thread is in. False if there was none.
  bool cancel();

 private:
  [[nodiscard]] bool submit(Info& info);

  void* handle_ = nullptr;
  std::vector<std::byte> buffer_;
};

}  // namespace bench
