// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>
#include <vector>

#include "../common/value_or_fail.hpp"
#include "../servers/blocking.hpp"
#include "../servers/make_poller.hpp"
#include "inside.hpp"

namespace bench {

namespace {

using reactor::Event, reactor::Poller, reactor::Token;
using namespace std::chrono_literals;

class OurRegistrar final : public Registrar {
 public:
  explicit OurRegistrar(std::string_view kind) : poller_(value_or_fail(make_poller(kind), "Poller::create")) {}

  void add(reactor::NativeSocket socket) override {
    registrations_.push_back(value_or_fail(poller_.add(socket, Token{1}, reactor::Interest::readable), "add"));
  }
  void remove_all() override { registrations_.clear(); }
  void settle() override {
    // A wait arms what was added, and dequeues what was cancelled; nothing is ready.
    const std::uint64_t pending_max = registrations_.size();
    do {
      const auto events = value_or_fail(poller_.wait(buffer_, 0ms), "wait");
      if (!events.empty()) fail("an idle socket was reported", {});
    } while (poller_.stats().pending_polls > pending_max);
  }
  [[nodiscard]] std::uint64_t memory_bytes() const override { return poller_.stats().memory_bytes; }

 private:
  Poller poller_;
  std::vector<reactor::Registration> registrations_;
  std::array<Event, 256> buffer_;
};

// It has a registered socket, as every real loop has.
class OurSleeper final : public Sleeper {
 public:
  explicit OurSleeper(std::string_view kind)
      : poller_(value_or_fail(make_poller(kind), "Poller::create")),
        waker_(poller_.waker()),
        registration_(
            value_or_fail(poller_.add(blocking::open_datagram(), Token{1}, reactor::Interest::readable), "add")) {}

  void wake() override { waker_.wake(); }
  void sleep() override { static_cast<void>(value_or_fail(poller_.wait(buffer_), "wait")); }

 private:
  Poller poller_;
  reactor::Waker waker_;
  reactor::Registration registration_;
  std::array<Event, 16> buffer_;
};

}  // namespace

std::unique_ptr<Registrar> make_registrar(std::string_view kind) {
  if (kind.starts_with("ours")) return std::make_unique<OurRegistrar>(kind);
  if (kind == "asio") return make_asio_registrar();
#ifndef _WIN32
  if (kind == "libevent") return make_libevent_registrar();
#endif
#ifdef BENCH_HAS_WEPOLL
  if (kind == "wepoll") return make_wepoll_registrar();
#endif
  if (kind == "epoll") return make_epoll_registrar();
  return nullptr;
}

std::unique_ptr<Sleeper> make_sleeper(std::string_view kind) {
  if (kind.starts_with("ours")) return std::make_unique<OurSleeper>(kind);
  if (kind == "asio") return make_asio_sleeper();
#ifndef _WIN32
  if (kind == "uv") return make_uv_sleeper();
  if (kind == "epoll") return make_epoll_sleeper();
#endif
  return nullptr;
}

}  // namespace bench
