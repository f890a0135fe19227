// SPDX-License-Identifier: MIT
// A chat: what one client sends, a line at a time, all others get. loop_chat [ADDRESS]
//
// Each client has a queue of lines and two tasks, one that reads and one that writes. A client that does not fetch its
// lines delays no other client: when its queue is full, it is disconnected.
#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <string>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/sockets.hpp>

#include "loop_support.hpp"

namespace {

using namespace reactor;

constexpr std::size_t queue_max = 1000;
constexpr std::size_t line_max_bytes = 1024;

struct Client {
  On<TcpStream> stream;
  std::string name;
  std::deque<std::shared_ptr<const std::string>> lines;
  Condition has_lines;
  bool is_too_slow = false;
};

class Room {
 public:
  Task<> serve(On<TcpStream> stream, Address peer) {
    clients_.emplace_front();
    const auto client = clients_.begin();
    client->stream = std::move(stream);
    client->name = peer.text();
    say(nullptr, "* " + client->name + " has come\n");
    {
      // The one that ends first, by an error, ends the other.
      TaskGroup both(co_await this_task());
      both.spawn(read(*client));
      both.spawn(write(*client));
      static_cast<void>(co_await both.join());
    }
    const std::string name = client->name;
    clients_.erase(client);
    say(nullptr, "* " + name + " has left\n");
  }

 private:
  Task<Result<>> read(Client& client) {
    BufferedReader reader(client.stream, line_max_bytes);
    for (;;) {
      const auto line = co_await reader.read_line();
      if (!line) co_return failure(line.error());
      std::string text = client.name;
      text.append(": ").append(*line).append("\n");
      say(&client, std::move(text));
    }
  }

  Task<Result<>> write(Client& client) {
    for (;;) {
      while (client.lines.empty()) {
        if (const auto waited = co_await client.has_lines.wait(); !waited) co_return waited;
      }
      const auto line = client.lines.front();
      client.lines.pop_front();
      if (const auto sent = co_await client.stream.send(*line); !sent) co_return sent;
    }
  }

  void say(const Client* from, std::string text) {
    const auto line = std::make_shared<const std::string>(std::move(text));
    for (Client& client : clients_) {
      if (&client == from) continue;
      if (client.lines.size() == queue_max) {
        client.stream.close();  // its tasks end by that, and with them the client
        continue;
      }
      client.lines.push_back(line);
      client.has_lines.notify_one();
    }
  }

  std::list<Client> clients_;
};

Task<Result<>> accept_all(On<TcpListener>& listener, Room& room, TaskGroup& clients) {
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return failure(accepted.error());
    clients.spawn(room.serve(std::move(accepted->stream), accepted->peer));
  }
}

Task<Result<>> until_signal(Signals& signals) {
  const auto signal = co_await signals.next();
  co_return failure(signal ? std::make_error_code(std::errc::interrupted) : signal.error());
}

Task<Result<>> chat(On<TcpListener> listener) {
  auto signals = Signals::create({SIGINT, SIGTERM});
  if (!signals) co_return failure(signals.error());
  Room room;
  TaskGroup group(co_await this_task());
  group.spawn(accept_all(listener, room, group));
  group.spawn(until_signal(*signals));
  const auto joined = co_await group.join();
  if (!joined && joined.error() == std::errc::interrupted) co_return Result<>();
  co_return joined;
}

}  // namespace

int main(int argc, char** argv) {
  auto loop = example::value_or_exit(Loop::create(), "loop");
  auto listener = example::listen(argc > 1 ? argv[1] : "127.0.0.1:0");
  return loop.run(chat(std::move(listener))) ? 0 : 1;
}
