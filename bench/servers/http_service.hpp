// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <reactor/clock.hpp>
#include <reactor/event.hpp>
#include <reactor/socket.hpp>

#include "service.hpp"

namespace bench {

/// What the HTTP example does by itself, for the servers that it is compared with: its limits, and its protocol.
inline constexpr std::chrono::seconds http_idle_time{60};
inline constexpr std::size_t http_connections_max = 20'000;

/// The requests of one connection, for servers that are called with what has come.
class HttpRequests {
 public:
  /// Appends the responses to what has come. False: the connection ends when they have been sent.
  [[nodiscard]] bool take(std::string_view came, std::string& responses);

 private:
  [[nodiscard]] bool answer(std::string_view& bytes, std::string& responses);

  std::string head_;           // of a request, as far as it has come
  std::size_t body_left_ = 0;  // that is skipped
};

/// A connection of a readiness server, and when it has been idle for too long.
struct HttpMember {
  reactor::TcpStream stream;
  reactor::Registration registration;  // on a Poller
  HttpRequests requests;
  std::string responses;  // not sent yet
  std::size_t sent = 0;
  Interest interest = Interest::readable;
  bool keeps_alive = true;
  reactor::Clock::time_point deadline;
  std::list<HttpMember>::iterator self;

  /// Call this when its socket is ready. Returns the interest for the next wait; none if the connection has ended.
  [[nodiscard]] std::optional<Interest> ready(bool is_readable);
};

/// The connections of a readiness server, the one that has been idle longest first. All have the same idle time, so a
/// list does what a heap would.
class HttpMembers {
 public:
  HttpMember& add(reactor::TcpStream stream);
  /// It is not idle.
  void touch(HttpMember& member) noexcept {
    member.deadline = now_ + http_idle_time;
    members_.splice(members_.end(), members_, member.self);
  }
  void remove(HttpMember& member) { members_.erase(member.self); }
  [[nodiscard]] bool is_full() const noexcept { return members_.size() >= http_connections_max; }

  /// After each wait.
  void read_clock() noexcept { now_ = reactor::Clock::now(); }
  /// How long the next wait may take.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> timeout() const noexcept;
  /// One that has been idle for too long.
  [[nodiscard]] HttpMember* expired() noexcept {
    return members_.empty() || members_.front().deadline > now_ ? nullptr : &members_.front();
  }

 private:
  std::list<HttpMember> members_;
  reactor::Clock::time_point now_ = reactor::Clock::now();
};

}  // namespace bench
