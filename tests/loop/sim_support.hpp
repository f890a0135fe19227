// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/sim/check.hpp>

/// What sim_test.cpp knows of each connection, and how it cuts operations short.
namespace loop_sim_test {

using namespace reactor;
using namespace std::chrono_literals;
using sim::require;
using std::errc;

inline constexpr std::uint16_t port = 80;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// What a stream carries, by position; a line end now and then.
inline std::byte pattern(std::size_t at) { return at % 13 == 12 ? std::byte{'\n'} : std::byte('a' + at * 7 % 24); }

inline bool is_pattern(std::span<const std::byte> bytes, std::size_t from) {
  for (const std::byte byte : bytes) {
    if (byte != pattern(from++)) return false;
  }
  return true;
}

struct Totals {
  unsigned long long operations = 0, canceled = 0, timed_out = 0, reset = 0;
};
inline Totals totals;

/// What server and client know of one connection.
struct Connection {
  std::size_t server_sends = 0;  // in all, before it ends
  bool server_resets = false;    // in place of an end
  std::size_t server_sent = 0, server_got = 0;
  std::size_t client_sent_min = 0, client_sent_max = 0, client_got = 0;
  bool server_has_ended = false;
};

struct Test {
  explicit Test(sim::World& in) : world(&in) {}
  int below(int end) { return static_cast<int>(world->random(static_cast<std::size_t>(end))); }
  Clock::duration some_time() { return std::chrono::microseconds(below(8000)); }

  sim::World* world;
  sim::Host* client = nullptr;
  Address server;
  Address refuses;
  std::map<std::uint16_t, Connection> connections;  // by the client's port
  std::size_t datagrams_sent = 0, datagrams_got = 0;
  int connected = 0, accepted = 0;
  bool is_over = false;  // for the server
};

// A task of the tree: it must end before its parent, which counts.
class Guard {
 public:
  explicit Guard(int& siblings) : siblings_(&siblings) { ++*siblings_; }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { --*siblings_; }

 private:
  int* siblings_;
};

enum class Cut : std::uint8_t { none, before, by_time, by_stop, after };

template <class Start>
using OutcomeOf = decltype(std::declval<Start&>()().await_resume());

template <class Start>
Task<OutcomeOf<Start>> by_time(Test& test, Start start) {
  const auto limit = test.some_time();
  const auto begin = Clock::now();
  OutcomeOf<Start> outcome = co_await with_timeout(limit, start());
  if (!outcome && outcome.error() == errc::timed_out) {
    ++totals.timed_out;
    require(Clock::now() - begin >= limit, "a time-out came early");
  }
  co_return outcome;
}

template <class Start>
Task<> keep(int& children, Start& start, std::optional<OutcomeOf<Start>>& outcome) {
  const Guard guard(children);
  OutcomeOf<Start> came = co_await start();
  outcome.emplace(std::move(came));
}

template <class Start>
Task<OutcomeOf<Start>> in_group(Test& test, Cut how, bool& has_stopped_it, Start start) {
  int children = 0;
  std::optional<OutcomeOf<Start>> outcome;
  {
    TaskGroup group(co_await this_task());
    group.spawn(keep(children, start, outcome));
    if (how == Cut::by_stop) static_cast<void>(co_await sleep_for(test.some_time()));
    if (how != Cut::after) {
      has_stopped_it = true;
      group.stop();
    }
    // What nothing would end, such as a receive from a peer that does not send, is stopped at last.
    const auto joined = co_await with_timeout(2s, group.join());
    has_stopped_it = has_stopped_it || !joined;
    group.stop();  // after: changes nothing
  }
  require(children == 0, "a task outlived its group");
  require(outcome.has_value(), "an operation has not ended");
  co_return *std::move(outcome);
}

template <class Start>
Task<OutcomeOf<Start>> cut_by(Test& test, Cut how, bool& has_stopped_it, Start start) {
  if (how == Cut::by_time) return by_time(test, std::move(start));
  return in_group(test, how == Cut::none ? Cut::after : how, has_stopped_it, std::move(start));
}

// Awaits what start() makes, cut short. The result, after what must hold of each has been checked.
template <class Start>
Task<OutcomeOf<Start>> cut(Test& test, Start start) {
  const ThisTask self = co_await this_task();
  const bool was_stopped = self.is_stopped();
  const Cut how = static_cast<Cut>(test.below(5));
  bool has_stopped_it = false;
  OutcomeOf<Start> outcome = co_await cut_by(test, how, has_stopped_it, std::move(start));
  ++totals.operations;
  const bool is_canceled = !outcome && outcome.error() == errc::operation_canceled;
  if (is_canceled) {
    ++totals.canceled;
    require(has_stopped_it || self.is_stopped(), "an operation was cancelled, and nothing had stopped it");
  }
  if (was_stopped || how == Cut::before) require(is_canceled, "an operation that was stopped before it began went on");
  co_return outcome;
}

}  // namespace loop_sim_test
