// SPDX-License-Identifier: MIT
#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include <cerrno>
#include <vector>

#include "../common/value_or_fail.hpp"
#include "inside.hpp"

namespace bench {

namespace {

class LibeventRegistrar final : public Registrar {
 public:
  ~LibeventRegistrar() override {
    remove_all();
    event_base_free(base_);
  }
  void add(reactor::NativeSocket socket) override {
    events_.push_back(event_new(base_, socket, EV_READ | EV_PERSIST, [](int, short, void*) {}, nullptr));
    event_add(events_.back(), nullptr);
  }
  void remove_all() override {
    for (event* each : events_) event_free(each);
    events_.clear();
  }
  void settle() override { event_base_loop(base_, EVLOOP_NONBLOCK); }

 private:
  event_base* base_ = event_base_new();
  std::vector<event*> events_;
};

class UvSleeper final : public Sleeper {
 public:
  UvSleeper() {
    uv_loop_init(&loop_);
    uv_async_init(&loop_, &async_, [](uv_async_t*) {});
  }
  ~UvSleeper() override {
    uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }
  void wake() override { uv_async_send(&async_); }
  void sleep() override { uv_run(&loop_, UV_RUN_ONCE); }

 private:
  uv_loop_t loop_{};
  uv_async_t async_{};
};

}  // namespace

std::unique_ptr<Registrar> make_libevent_registrar() { return std::make_unique<LibeventRegistrar>(); }
std::unique_ptr<Sleeper> make_uv_sleeper() { return std::make_unique<UvSleeper>(); }

}  // namespace bench
