// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <reactor/afd/arm_queue.hpp>
#include <reactor/afd/batch_size.hpp>
#include <reactor/afd/deadline_timers.hpp>
#include <reactor/afd/dispatcher.hpp>
#include <reactor/afd/doorbell.hpp>
#include <reactor/afd/groups.hpp>
#include <reactor/afd/handle_waits.hpp>
#include <reactor/afd/notifier.hpp>
#include <reactor/afd/polls.hpp>
#include <reactor/afd/post_queue.hpp>
#include <reactor/afd/program_packets.hpp>
#include <reactor/afd/registry.hpp>
#include <reactor/afd/waiting_threads.hpp>
#include <reactor/mutex.hpp>
#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/poller.hpp>

namespace reactor::afd {

/// The parts of a backend. One lock guards all but the port, the doorbell, the count of waits and the sleep in the
/// kernel.
struct Core {
  Core(nt::Kernel& its_kernel, nt::HANDLE its_port, const PollerOptions& options) noexcept
      : kernel(its_kernel),
        port(its_kernel, its_port),
        doorbell(its_kernel, its_port),
        polls(its_kernel, its_port, registry.arena(), options.inline_completions, stats),
        groups(polls, options.hot_groups),
        handles(its_kernel, its_port, stats),
        timers(its_kernel, its_port, options.high_resolution, stats) {}

  /// There is work for a sleeping thread, if one sleeps.
  void nudge_if_needed() noexcept {
    if (!threads.any_sleeps()) return;
    const bool is_unwatched = threads.any_deferred() && !threads.any_watches();
    if (!queue.marked().empty() || !queue.suspected().empty() || !posts.empty() || is_unwatched) doorbell.nudge();
  }

  /// Makes the queued changes now, for the sleeping threads.
  void flush_changes() {
    if (notifier != nullptr && !queue.changes().empty()) notifier->flush();
  }

  nt::Kernel& kernel;
  nt::Handle port;  // open for as long as there is a Waker, so that a wake cannot reach a handle of another owner
  Doorbell doorbell;
  std::atomic<std::uint32_t> waits{0};  // that are under way, asleep or not
  Mutex mutex;

  Stats stats;
  Registry registry;
  ArmQueue queue{registry.arena()};
  Polls polls;
  Groups groups;
  HandleWaits handles;
  ProgramPackets program_packets{stats};
  DeadlineTimers timers;
  Dispatcher dispatcher{registry, queue, polls, groups, stats};
  std::unique_ptr<Notifier> notifier;  // null: there are polls alone
  WaitingThreads threads;
  BatchSize batch_size;
  PostQueue posts;
  bool port_is_due = false;    // the last wait filled its buffer without asking the port
  bool port_has_more = false;  // the last dequeue brought as many packets as it asked for
  bool posts_are_due = false;  // the last wait left some, and sockets came first in it
  bool is_closed = false;      // every call is refused
  bool is_released = false;    // nothing is held any more
};

}  // namespace reactor::afd
