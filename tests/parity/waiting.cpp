// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <array>

namespace parity {

struct Waiting::Impl {
  explicit Impl(Poller& waits_on) : poller(waits_on), thread([this] { run(); }) {}

  void run() {
    std::array<Event, 256> buffer;
    for (;;) {
      const auto events = poller.wait(buffer, time_limit);
      std::unique_lock lock(mutex);
      if (is_ending) return;
      if (events && events->empty() && !events->woken()) continue;  // the end of the time
      if (events) {
        result = reports_of(*events);
      } else {
        result = reactor::failure(events.error());
      }
      is_ready = true;
      changed.notify_all();
      changed.wait(lock, [this] { return !is_ready || is_ending; });
      if (is_ending) return;
    }
  }

  Poller& poller;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_ready = false;
  bool is_ending = false;
  Result<Reports> result;
  std::thread thread;
};

Waiting::Waiting(Poller& poller) : impl_(std::make_unique<Impl>(poller)) {}

Waiting::~Waiting() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->is_ending = true;
  }
  impl_->changed.notify_all();
  impl_->poller.waker().wake();
  impl_->thread.join();
}

Reports Waiting::take() {
  std::unique_lock lock(impl_->mutex);
  if (!impl_->changed.wait_for(lock, time_limit, [this] { return impl_->is_ready; })) FAIL("no wait returned in time");
  impl_->is_ready = false;
  impl_->changed.notify_all();
  return must(std::move(impl_->result));
}

}  // namespace parity
