// SPDX-License-Identifier: MIT
// An HTTP/1.1 server that says hello: loop_http [ADDRESS] [--connections-max NUMBER] [--idle-ms TIME]
//
// Keep-alive, pipelining, a limit on connections, a time-out for idle ones, and a graceful end: at Ctrl-C it accepts no
// more, lets requests that are under way end, and closes what is idle.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <string>
#include <string_view>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/sockets.hpp>

#include "http.hpp"
#include "loop_support.hpp"

namespace {

using namespace reactor;
using namespace std::chrono_literals;

struct Settings {
  std::string_view address = "127.0.0.1:0";
  std::size_t connections_max = 20'000;
  std::chrono::milliseconds idle_time{60'000};
};

class Server {
 public:
  explicit Server(const Settings& settings) : settings_(settings) {}

  Task<Result<>> run(On<TcpListener> listener) {
    auto signals = Signals::create({SIGINT, SIGTERM});
    if (!signals) co_return failure(signals.error());
    TaskGroup serving(co_await this_task());
    TaskGroup accepting(co_await this_task());
    accepting.spawn(accept_all(listener, serving));
    if (const auto signal = co_await signals->next(); !signal) co_return failure(signal.error());

    is_ending_ = true;
    accepting.stop();
    static_cast<void>(co_await accepting.join());
    listener.close();
    for (Connection& connection : connections_) {
      if (connection.is_idle) connection.stream.close();  // ends the read that waits
    }
    static_cast<void>(co_await with_timeout(5s, serving.join()));  // for requests that are under way
    co_return Result<>();
  }

 private:
  struct Connection {
    On<TcpStream> stream;
    bool is_idle = true;  // no request is under way
  };

  Task<Result<>> accept_all(On<TcpListener>& listener, TaskGroup& serving) {
    for (;;) {
      while (connections_.size() >= settings_.connections_max) {
        if (const auto waited = co_await has_ended_.wait(); !waited) co_return waited;
      }
      auto accepted = co_await listener.accept();
      if (!accepted) co_return failure(accepted.error());
      static_cast<void>(accepted->stream.socket().set_no_delay(true));
      serving.spawn(serve(connections_.emplace(connections_.end(), std::move(accepted->stream))).named("connection"));
    }
  }

  Task<> serve(std::list<Connection>::iterator connection) {
    BufferedReader reader(connection->stream, http::head_max_bytes);
    std::string response;
    for (bool keeps_alive = true; keeps_alive && !is_ending_;) {
      connection->is_idle = true;
      const auto head = co_await with_timeout(settings_.idle_time, reader.read_until("\r\n\r\n"));
      connection->is_idle = false;
      if (!head && head.error() != std::errc::message_size) break;
      http::Request request;
      const bool is_valid = head && http::parse(*head, request);
      keeps_alive = is_valid && request.keeps_alive && !is_ending_;
      response.clear();
      http::respond(request, is_valid, keeps_alive, response);
      for (std::size_t left = is_valid ? request.body_bytes : 0; left != 0;) {
        const auto part = co_await with_timeout(settings_.idle_time, reader.read_some(left));
        keeps_alive = keeps_alive && part;
        left -= part ? part->size() : left;
      }
      const auto sent = co_await with_timeout(settings_.idle_time, connection->stream.send(response));
      if (!sent) break;
    }
    connections_.erase(connection);
    has_ended_.notify_one();
  }

  Settings settings_;
  std::list<Connection> connections_;
  Condition has_ended_;
  bool is_ending_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--connections-max" && i + 1 < argc) {
      settings.connections_max = std::strtoul(argv[++i], nullptr, 10);
    } else if (argument == "--idle-ms" && i + 1 < argc) {
      settings.idle_time = std::chrono::milliseconds(std::strtol(argv[++i], nullptr, 10));
    } else {
      settings.address = argument;
    }
  }
  auto loop = example::value_or_exit(Loop::create(), "loop");
  auto listener = example::listen(settings.address);
  Server server(settings);
  const auto served = loop.run(server.run(std::move(listener)));
  std::puts(served ? "ended in order" : served.error().message().c_str());
  return served ? 0 : 1;
}
