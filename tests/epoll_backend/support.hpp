// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <reactor/backend.hpp>
#include <reactor/poller.hpp>

/// What the tests of the epoll backend share: raw descriptors, and sockets that cannot be removed from epoll.
namespace epoll_test {

using namespace reactor;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Reports = std::vector<std::pair<std::uint64_t, Readiness>>;

constexpr auto both = Interest::readable | Interest::writable;
constexpr auto soon = 10s;  // the deadline of what must happen

class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { close(); }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] Fd duplicate() const { return Fd(::dup(fd_)); }
  void write() const { REQUIRE(::write(fd_, "x", 1) == 1); }
  void read() const {
    char byte = 0;
    REQUIRE(::read(fd_, &byte, 1) == 1);
  }

 private:
  int fd_;
};

struct Pair {
  Fd ours;
  Fd peers;
  Pair() {
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    ours = Fd(fds[0]);
    peers = Fd(fds[1]);
  }
};

/// A connected stream over loopback TCP: `ours` is the client's end.
struct TcpPair {
  Fd ours;
  Fd peers;
  TcpPair() {
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener.get(), generic, size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
    ours = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(ours.get(), generic, size) == 0);
    peers = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(::fcntl(ours.get(), F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(::fcntl(peers.get(), F_SETFL, O_NONBLOCK) == 0);
  }
};

inline Poller make_poller(const PollerOptions& options = {}) {
  auto poller = Poller::create(options);
  REQUIRE(poller);
  return std::move(*poller);
}

inline Registration add(Poller& poller, const Fd& fd, std::uint64_t token, Interest interest = Interest::readable,
                        Mode mode = Mode::level) {
  auto registration = poller.add(fd.get(), Token{token}, interest, mode);
  REQUIRE(registration);
  return std::move(*registration);
}

// The events of one wait, by token.
inline Reports reports_of(Poller& poller, std::optional<std::chrono::nanoseconds> timeout = soon,
                          std::size_t buffer_size = 64) {
  std::vector<Event> buffer(buffer_size);
  const auto events = poller.wait(buffer, timeout);
  REQUIRE(events);
  Reports reports;
  for (const Event& event : *events) reports.emplace_back(std::to_underlying(event.token()), event.readiness());
  std::ranges::sort(reports);
  return reports;
}

template <class Condition>
bool eventually(Condition condition) {
  for (const auto deadline = Clock::now() + soon; Clock::now() < deadline; std::this_thread::yield()) {
    if (condition()) return true;
  }
  return false;
}

// A readable socket that was closed before it was removed, so epoll still has it: `open` keeps it alive.
struct Zombie {
  Pair pair;
  Fd open;
  int number = -1;  // under which it was registered
  explicit Zombie(Poller& poller, Mode mode = Mode::level) {
    auto registration = add(poller, pair.ours, 666, Interest::readable, mode);
    open = pair.ours.duplicate();
    number = pair.ours.get();
    pair.ours.close();
    REQUIRE(registration.remove());
    pair.peers.write();
  }
};

// From now on the kernel refuses, in this thread, the calls whose seccomp_data has these values at these offsets.
inline bool refuse(std::uint16_t error, std::initializer_list<std::pair<std::size_t, int>> where) {
  std::vector<sock_filter> program;
  std::size_t to_allow = 2 * where.size();
  for (const auto& [offset, value] : where) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
    --to_allow;
    program.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(value), 0, static_cast<std::uint8_t>(to_allow)));
    --to_allow;
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<std::uint16_t>(program.size()), .filter = program.data()};
  const bool done =
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
  if (!done) MESSAGE("skipped: this system allows no seccomp filter");
  return done;
}

inline const Reports nothing;

}  // namespace epoll_test
