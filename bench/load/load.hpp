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
  std::size_t active = 1;       // that many are busy, the first ones; the others stay idle
  std::size_t size_bytes = 64;  // of a message
  bool http = false;            // a message is a request, of its own size, and the answer a response
  std::size_t depth = 1;        // messages in flight on a connection
  std::size_t in_flight = 0;    // messages in flight in all; 0: no limit but the depth
  std::size_t burst = 0;        // with in_flight: after each round, that many messages on each connection
  bool in_rounds = false;       // one message on each connection, and the next round when all were answered
  std::uint64_t rate = 0;       // messages a second in all (open loop); 0: a reply starts the next one
  std::uint64_t messages_per_connection = 0;  // then it is closed and connected anew; 0: never
  int receive_buffer_bytes = 0;               // 0: the system's default
  std::uint64_t warm_ms = 200, window_ms = 1000;
  bool check_idle = false;  // at the end, one message on each idle connection
  std::string label;
  std::vector<std::uint64_t> pids;  // processes whose CPU time is read
  std::uint64_t core = 0;           // that those run on
};

/// A connection to the server, and the messages in flight on it.
struct Connection {
  int fd = -1;
  bool connecting = false;
  bool waits_to_write = false;
  std::uint64_t id = 0;  // selects its bytes in the Pattern
  std::uint64_t queued_bytes = 0, sent_bytes = 0, received_bytes = 0;
  std::deque<std::uint64_t> in_flight;  // when each was due
  std::deque<std::uint64_t> late;       // open loop: due, but the depth does not allow it yet
  std::uint64_t connect_began_ns = 0;   // connected anew: its first message counts from here
  std::uint64_t messages = 0;           // answered since it was connected
  std::size_t burst_left = 0;           // messages of the current burst that are not sent yet
  std::uint64_t answered_in_window = 0;
};

/// One thread with one epoll that keeps a server busy, checks each byte that comes back, and measures.
class Load {
 public:
  explicit Load(LoadOptions options);
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load();

  /// Returns the result as JSON. Any error, such as a wrong byte or a server that does not answer, ends the program.
  [[nodiscard]] std::string run();

 private:
  enum class Stage { connecting, warming, measuring, finishing };

  void connect_all();
  void open(Connection& connection);
  void close_connection(Connection& connection);
  void await_server(std::uint64_t open_count);
  void run_until(std::uint64_t end_ns);
  void run_once(std::uint64_t latest_ns);
  void finish();
  void greet();
  void check_idle();

  void start_message(Connection& connection, std::uint64_t due_ns);
  void start_due();
  void send_in_turn();
  void start_round(std::uint64_t time_ns);
  void flush(Connection& connection);
  void on_event(Connection& connection, std::uint32_t events);
  void on_connected(Connection& connection);
  void on_bytes(Connection& connection, std::size_t size);
  void on_answer(Connection& connection, std::uint64_t time_ns);
  void watch(Connection& connection, int operation, std::uint32_t events);
  void show_progress(std::uint64_t time_ns);

  [[nodiscard]] bool is_open_loop() const { return options_.rate > 0; }
  /// A server may then serve one connection at a time.
  [[nodiscard]] bool is_churn() const { return options_.messages_per_connection > 0; }
  [[nodiscard]] std::string result(const Reading& begin, const Reading& end) const;

  LoadOptions options_;
  Pattern sent_;
  Pattern expected_;
  std::size_t answer_bytes_;
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
  std::size_t in_flight_ = 0;    // messages, in all
  std::size_t next_turn_ = 0;    // the connection that sends next, where in_flight or rate decides
  std::size_t until_burst_ = 0;  // messages until the next burst
  std::uint64_t due_ns_ = 0;     // open loop: when the next message is due
  double due_exact_ns_ = 0;
  std::uint64_t opened_ = 0;    // connections opened since the start
  std::uint64_t messages_ = 0;  // answered in the window
  std::uint64_t last_answer_ns_ = 0, last_show_ns_ = 0, shown_messages_ = 0, all_messages_ = 0;
};

}  // namespace bench
