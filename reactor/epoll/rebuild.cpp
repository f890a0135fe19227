// SPDX-License-Identifier: MIT
//
// How the backend gets rid of what epoll cannot take out: a new instance takes the place of the old one.
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <reactor/epoll/epoll_backend.hpp>

namespace reactor {

// Makes an instance that holds what is registered and nothing else, and puts it under the old one's number, so that
// no thread can be about to use a number that is closed.
bool EpollBackend::rebuild() noexcept {
  counted_.other_calls += 1;
  const int fresh = epoll_create1(EPOLL_CLOEXEC);
  // Where that is all that fails, it is tried again with the next stale report, for it is one call.
  stale_ = fresh < 0 ? live_ + stale_free : 0;
  if (fresh < 0) return false;
  const bool moved = control_wake(fresh, EPOLL_CTL_ADD, EPOLLIN | EPOLLET) == 0 && move_all(fresh) && replace(fresh);
  close_number(fresh);
  counted_.other_calls += 2;
  if (moved) return true;
  // What the old one reported under a tag that has changed since was or will be dropped: let it be reported again.
  control_wake(epoll_, EPOLL_CTL_MOD, EPOLLIN | EPOLLET);
  for (std::size_t i = 0; i != table_.size(); ++i) {
    if (table_[i].generation != 0) control(epoll_, EPOLL_CTL_MOD, static_cast<std::uint32_t>(i), table_[i]);
  }
  return false;
}

bool EpollBackend::move_all(int to) noexcept {
  for (std::size_t i = 0; i != table_.size(); ++i) {
    Entry& entry = table_[i];
    if (entry.generation == 0) continue;
    const auto slot = static_cast<std::uint32_t>(i);
    // A new tag, for what waits in the old instance is reported by the new one too. An edge may be delivered a second
    // time; a oneshot that was delivered is reported once more, and Entry::on_report drops that.
    Entry moved = entry;
    moved.tag = static_cast<std::uint32_t>(++generations_);
    const int error = control(to, EPOLL_CTL_ADD, slot, moved);
    if (error == ENOMEM || error == ENOSPC) return false;
    // The number may be another socket's by now: only one that the old instance knows is ours. To ask it afterwards is
    // the order that a close at the same time cannot confuse.
    if (control(epoll_, EPOLL_CTL_MOD, slot, entry) == 0 && error == 0) {
      entry = moved;
    } else {
      control(to, EPOLL_CTL_DEL, slot, entry);
      erase(entry);
    }
  }
  return true;
}

bool EpollBackend::replace(int by) noexcept {
  // Embedded under the number that it has now, which its file outlives: the outer instance lets go of the old one when
  // that is closed.
  epoll_event event{.events = EPOLLIN, .data = {}};
  if (outer_ >= 0) ++counted_.arm_calls;
  if (outer_ >= 0 && epoll_ctl(outer_, EPOLL_CTL_ADD, by, &event) != 0) return false;
  // A thread that waits on the old instance has to leave it, and does so by a report that stays. A wake that was on its
  // way there is on its way here too, for the eventfd is readable from its first write on.
  post();
  if (control_wake(epoll_, EPOLL_CTL_MOD, EPOLLIN) != 0) return false;
  // By number: ThreadSanitizer takes dup3 for a close, and with it for a race with the threads that wait.
  return syscall(SYS_dup3, by, epoll_.load(), O_CLOEXEC) >= 0;
}

}  // namespace reactor
