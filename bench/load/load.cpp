// SPDX-License-Identifier: MIT
#include "load.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "../common/arguments.hpp"
#include "../common/json.hpp"

namespace bench {

namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t no_reply_max_ns = 20 * second_ns;  // without any reply
constexpr std::size_t connecting_max = 64;  // connecting or closing at a time: well below a listener's backlog

constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";
constexpr std::string_view response =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, World!\n";

std::size_t longest_read(const LoadOptions& options) {
  return std::max<std::size_t>(65536, options.size_bytes * options.depth);
}

LoadOptions completed(LoadOptions options) {
  if (options.http) options.size_bytes = request.size();
  return options;
}

}  // namespace

Load::Load(LoadOptions options)
    : options_(completed(std::move(options))),
      sent_(options_.http ? Pattern(request, longest_read(options_)) : Pattern(longest_read(options_))),
      expected_(options_.http ? Pattern(response, longest_read(options_)) : sent_),
      answer_bytes_(options_.http ? response.size() : options_.size_bytes),
      buffer_(longest_read(options_)),
      connections_(options_.connections),
      control_(options_.control),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) fail(std::string("epoll_create1: ") + std::strerror(errno));
}

Load::~Load() {
  for (Connection& connection : connections_) close_connection(connection);
  close(epoll_);
}

std::string Load::run() {
  if (!options_.http) server_open_before_ = control_.number("open");
  for (const std::uint64_t pid : options_.pids) memory_before_.push_back(resident_bytes(static_cast<int>(pid)));
  connect_all();
  if (options_.http) {
    greet();
  } else if (!is_churn()) {
    await_server(server_open_before_ + options_.connections);
  }
  for (const std::uint64_t pid : options_.pids) memory_connected_.push_back(resident_bytes(static_cast<int>(pid)));

  stage_ = Stage::warming;
  const std::uint64_t start_ns = now_ns();
  last_answer_ns_ = last_show_ns_ = due_ns_ = start_ns;
  due_exact_ns_ = static_cast<double>(start_ns);
  if (options_.in_flight > 0) {
    send_in_turn();
  } else if (!is_open_loop()) {
    for (Connection& connection : std::span(connections_).first(options_.active)) {
      for (std::size_t k = 0; k < options_.depth; k++) start_message(connection, start_ns);
      flush(connection);
    }
  }
  run_until(start_ns + (options_.warm_ms * 1'000'000));
  const Reading begin = take_reading(control_, options_.pids, options_.core);
  stage_ = Stage::measuring;
  run_until(begin.time_ns + (options_.window_ms * 1'000'000));
  const Reading end = take_reading(control_, options_.pids, options_.core);
  stage_ = Stage::finishing;
  std::string text = result(begin, end);
  finish();
  return text;
}

void Load::connect_all() {
  const std::uint64_t deadline = now_ns() + (60 * second_ns) + (options_.connections * 5'000'000);
  for (std::size_t i = 0; i < connections_.size(); i++) {
    open(connections_[i]);
    // Waits for the server: with a full backlog, each connect that does not fit takes a second longer.
    while (still_connecting_ > connecting_max) run_once(deadline);
    if (!options_.http && !is_churn() && i % connecting_max == connecting_max - 1)
      await_server(server_open_before_ + i + 1);
  }
  while (still_connecting_ > 0) run_once(deadline);
}

// One message on each connection: so the server has accepted them, and holds what it holds for one that has been used.
void Load::greet() {
  const std::uint64_t deadline = now_ns() + no_reply_max_ns;
  last_answer_ns_ = now_ns();
  for (Connection& connection : connections_) {
    start_message(connection, last_answer_ns_);
    flush(connection);
    while (in_flight_ > connecting_max) run_once(deadline);
  }
  while (in_flight_ > 0) run_once(deadline);
}

// Waits until the server has that many connections open: else it would accept some while it is measured.
void Load::await_server(std::uint64_t open_count) {
  const std::uint64_t deadline = now_ns() + no_reply_max_ns;
  while (control_.number("open") != open_count) {
    if (now_ns() > deadline) {
      fail("the server has " + std::to_string(control_.number("open")) + " connections open, not the " +
           std::to_string(open_count) + " that were opened");
    }
    usleep(1000);
  }
}

void Load::run_until(std::uint64_t end_ns) {
  while (now_ns() < end_ns) {
    if (is_open_loop()) start_due();
    run_once(end_ns);
  }
}

// One epoll_wait, and what its events ask for. Open loop: it ends when the next message is due.
void Load::run_once(std::uint64_t latest_ns) {
  std::array<epoll_event, 256> events;  // NOLINT(*-member-init): the kernel fills it
  std::uint64_t time_ns = now_ns();
  const bool pacing = is_open_loop() && (stage_ == Stage::warming || stage_ == Stage::measuring);
  const std::uint64_t wake_ns = std::min({latest_ns, time_ns + (second_ns / 10), pacing ? due_ns_ : UINT64_MAX});
  const std::uint64_t left = wake_ns > time_ns ? wake_ns - time_ns : 0;
  const timespec timeout{.tv_sec = static_cast<time_t>(left / second_ns),
                         .tv_nsec = static_cast<long>(left % second_ns)};
  const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  if (count < 0 && errno != EINTR) fail(std::string("epoll_pwait2: ") + std::strerror(errno));
  for (int i = 0; i < count; i++) {
    on_event(connections_[events[static_cast<std::size_t>(i)].data.u32], events[static_cast<std::size_t>(i)].events);
  }
  time_ns = now_ns();
  show_progress(time_ns);
  if (stage_ == Stage::connecting && in_flight_ == 0) {
    if (still_connecting_ > 0 && time_ns > latest_ns) fail("connecting took too long");
  } else if (in_flight_ > 0 && time_ns > last_answer_ns_ + no_reply_max_ns) {
    const auto waiting = std::ranges::find_if(connections_, [](const Connection& c) { return !c.in_flight.empty(); });
    fail("no answer for " + std::to_string(no_reply_max_ns / second_ns) + " s with " + std::to_string(in_flight_) +
         " messages in flight; connection " + std::to_string(waiting - connections_.begin()) + " is one that waits");
  }
}

// Sends no more, and waits until all messages in flight are answered.
void Load::finish() {
  for (Connection& connection : connections_) connection.late.clear();
  while (in_flight_ > 0 || still_connecting_ > 0) run_once(now_ns() + (second_ns / 10));
  if (options_.check_idle) check_idle();
  // The idle ones in batches: to close ten thousand at once is a load that no scenario measures.
  for (std::size_t i = 0; i < connections_.size(); i++) {
    close_connection(connections_[i]);
    const std::size_t left = connections_.size() - i - 1;
    if (!options_.http && i + 1 >= options_.active && left % connecting_max == 0)
      await_server(server_open_before_ + left);
  }
}

// A connection that was idle all the time must still work.
void Load::check_idle() {
  for (std::size_t i = options_.active; i < connections_.size(); i++) {
    start_message(connections_[i], now_ns());
    flush(connections_[i]);
    while (in_flight_ > 64) run_once(now_ns() + (second_ns / 10));
  }
  while (in_flight_ > 0) run_once(now_ns() + (second_ns / 10));
}

void Load::show_progress(std::uint64_t time_ns) {
  static const bool is_terminal = isatty(STDERR_FILENO) != 0;
  if (!is_terminal || time_ns < last_show_ns_ + (second_ns / 4)) return;
  const double seconds = static_cast<double>(time_ns - last_show_ns_) / static_cast<double>(second_ns);
  static constexpr std::array names{"connecting", "warming up", "measuring", "finishing"};
  std::fprintf(stderr, "\r\033[K%s: %s, %.0f messages/s", options_.label.c_str(),
               names[static_cast<std::size_t>(stage_)], static_cast<double>(all_messages_ - shown_messages_) / seconds);
  std::fflush(stderr);
  last_show_ns_ = time_ns;
  shown_messages_ = all_messages_;
}

std::string Load::result(const Reading& begin, const Reading& end) const {
  const auto list = [](const std::vector<std::uint64_t>& numbers) {
    std::string text = "[";
    for (const std::uint64_t number : numbers) text += (text.size() > 1 ? ", " : "") + std::to_string(number);
    return text + "]";
  };
  std::vector<std::uint64_t> cpu;
  cpu.reserve(end.cpu_ns.size());
  for (std::size_t i = 0; i < end.cpu_ns.size(); i++) cpu.push_back(end.cpu_ns[i] - begin.cpu_ns[i]);
  const auto [least, most] =
      std::ranges::minmax(std::span(connections_).first(options_.active), {}, &Connection::answered_in_window);
  const double seconds = static_cast<double>(end.time_ns - begin.time_ns) / static_cast<double>(second_ns);
  Json latency;
  latency.add("p50", latency_.percentile(0.50)).add("p90", latency_.percentile(0.90));
  latency.add("p99", latency_.percentile(0.99)).add("p999", latency_.percentile(0.999));
  latency.add("max", latency_.max()).add("mean", latency_.mean());
  Json json;
  json.add("messages", messages_).add("bytes", messages_ * options_.size_bytes).add("seconds", seconds);
  json.add("messages_per_second", static_cast<double>(messages_) / seconds).add("latency_ns", latency);
  json.add("least_of_a_connection", least.answered_in_window).add("most_of_a_connection", most.answered_in_window);
  json.add("connections_opened", opened_).raw("cpu_ns", list(cpu));
  json.add("core_busy_ns", end.core_busy_ns - begin.core_busy_ns);
  json.raw("memory_before", list(memory_before_)).raw("memory_connected", list(memory_connected_));
  json.raw("server_begin", begin.server).raw("server_end", end.server);
  return json.text();
}

}  // namespace bench
