// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "../common/histogram.hpp"
#include "pattern.hpp"
#include "readings.hpp"

namespace bench {

struct LoadOptions {
  std::uint16_t port = 0, control = 0;
  std::size_t connections = 1;
  std::size_t active = 1;                     // the first so many; the others stay idle
  std::size_t size_bytes = 64;                // of a message
  std::size_t depth = 1;                      // messages under way on a connection
  std::size_t in_flight = 0;                  // messages under way in all; 0: no limit but the depth
  std::size_t burst = 0;                      // with in_flight: now and then so many on each, all connections at once
  bool in_rounds = false;                     // a message on each connection; the next when all are answered
  std::uint64_t rate = 0;                     // messages a second in all (open loop); 0: the next follows the last
  std::uint64_t messages_per_connection = 0;  // then it is closed and made anew; 0: never
  int receive_buffer_bytes = 0;               // 0: the system's own
  std::uint64_t warm_ms = 200, window_ms = 1000;
  bool check_idle = false;  // at the end, a message over each connection that was idle
  std::string label;
  std::vector<std::uint64_t> pids;  // whose CPU time is read
  std::uint64_t core = 0;           // on which those run
};

/// A connection to the server, and what is under way on it.
struct Connection {
  int fd = -1;
  bool connecting = false;
  bool waits_to_write = false;
  std::uint64_t id = 0;  // of its pattern
  std::uint64_t queued_bytes = 0, sent_bytes = 0, received_bytes = 0;
  std::deque<std::uint64_t> under_way;  // when each was meant to be sent
  std::deque<std::uint64_t> late;       // open loop: due, but the depth is reached
  std::uint64_t connect_began_ns = 0;   // the first message of a connection made anew counts from here
  std::uint64_t messages = 0;           // answered since it was made
  std::size_t burst_left = 0;           // to be sent in the burst that goes on
  std::uint64_t answered_in_window = 0;
};

/// One thread and one epoll that keep a server busy, check each byte that comes back, and measure.
class Load {
 public:
  explicit Load(LoadOptions options);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  /// The result as JSON. Whatever goes wrong, a wrong byte or a server that stands still, ends the program.
  [[nodiscard]] std::string run();

 private:
  enum class Stage { connecting, warming, measuring, ending };

  void connect_all();
  void open(Connection& connection);
  void close_connection(Connection& connection);
  void await_server(std::uint64_t open_count);
  void until(std::uint64_t end_ns);
  void turn(std::uint64_t latest_ns);
  void finish();
  void check_idle();

  void start_message(Connection& connection, std::uint64_t meant_ns);
  void start_due();
  void take_turns();
  void start_round(std::uint64_t time_ns);
  void flush(Connection& connection);
  void on_event(Connection& connection, std::uint32_t events);
  void on_connected(Connection& connection);
  void on_bytes(Connection& connection, std::size_t size);
  void on_answer(Connection& connection, std::uint64_t time_ns);
  void watch(Connection& connection, int operation, std::uint32_t events);
  void show(std::uint64_t time_ns);

  [[nodiscard]] bool is_open_loop() const { return options_.rate > 0; }
  /// Then a server may take one connection at a time.
  [[nodiscard]] bool is_churn() const { return options_.messages_per_connection > 0; }
  [[nodiscard]] std::string result(const Reading& begin, const Reading& end) const;

  LoadOptions options_;
  Pattern pattern_;
  std::vector<std::byte> buffer_;
  std::vector<Connection> connections_;
  Control control_;
  Histogram latency_;
  std::vector<std::uint64_t> memory_before_, memory_connected_;
  int epoll_ = -1;
  Stage stage_ = Stage::connecting;
  std::uint64_t last_id_ = 0;
  std::uint64_t server_open_before_ = 0;
  std::size_t still_connecting_ = 0;
  std::size_t under_way_ = 0;    // messages, in all
  std::size_t next_turn_ = 0;    // whose message is next, where in_flight or rate decides
  std::size_t until_burst_ = 0;  // so many messages
  std::uint64_t due_ns_ = 0;     // open loop: when the next message is meant to be sent
  double due_exact_ns_ = 0;
  std::uint64_t made_ = 0;      // connections made since the start
  std::uint64_t messages_ = 0;  // answered in the window
  std::uint64_t last_answer_ns_ = 0, last_show_ns_ = 0, shown_messages_ = 0, all_messages_ = 0;
};

}  // namespace bench
