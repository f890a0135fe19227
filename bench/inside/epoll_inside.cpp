// SPDX-License-Identifier: MIT
#ifndef _WIN32
#include <sys/eventfd.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <vector>

#include "../common/epoll_api.hpp"
#include "../common/value_or_fail.hpp"
#include "inside.hpp"

namespace bench {

namespace {

class EpollRegistrar final : public Registrar {
 public:
  void add(reactor::NativeSocket socket) override {
    sockets_.push_back(socket);
    control(EPOLL_CTL_ADD, socket);
  }
  void remove_all() override {
    for (const reactor::NativeSocket socket : sockets_) control(EPOLL_CTL_DEL, socket);
    sockets_.clear();
  }
  void settle() override {
    epoll_event event{};
    if (epoll_wait(port_, &event, 1, 0) != 0) fail("an idle socket was reported", {errno, std::generic_category()});
  }

 private:
  void control(int operation, reactor::NativeSocket socket) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(port_, operation, socket, &event) != 0) fail("epoll_ctl", {errno, std::generic_category()});
  }

  EpollPort port_ = epoll_create1(0);
  std::vector<reactor::NativeSocket> sockets_;
};

#ifndef _WIN32
// Windows has no eventfd.
class EpollSleeper final : public Sleeper {
 public:
  EpollSleeper() {
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ctl(port_, EPOLL_CTL_ADD, eventfd_, &event) != 0) fail("epoll_ctl", {errno, std::generic_category()});
  }
  ~EpollSleeper() override {
    close(port_);
    close(eventfd_);
  }
  void wake() override {
    if (eventfd_write(eventfd_, 1) != 0) fail("eventfd_write", {errno, std::generic_category()});
  }
  void sleep() override {
    epoll_event event{};
    eventfd_t value = 0;
    if (epoll_wait(port_, &event, 1, -1) != 1 || eventfd_read(eventfd_, &value) != 0) {
      fail("epoll_wait", {errno, std::generic_category()});
    }
  }

 private:
  EpollPort port_ = epoll_create1(EPOLL_CLOEXEC);
  int eventfd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
};
#endif

}  // namespace

#ifdef BENCH_WEPOLL
std::unique_ptr<Registrar> make_wepoll_registrar() { return std::make_unique<EpollRegistrar>(); }
#else
std::unique_ptr<Registrar> make_epoll_registrar() { return std::make_unique<EpollRegistrar>(); }
#endif
#ifndef _WIN32
std::unique_ptr<Sleeper> make_epoll_sleeper() { return std::make_unique<EpollSleeper>(); }
#endif

}  // namespace bench
