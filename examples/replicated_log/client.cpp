// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <reactor/clock.hpp>
#include <reactor/socket.hpp>

#include "log.hpp"

namespace replicated_log {

using namespace reactor;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

/// One entry on its way to one server.
struct Request {
  TcpStream stream;
  Registration registration;
  std::string left;  // to be sent
  std::string received;

  /// The server has it.
  bool advance(std::string_view answer) {
    while (!left.empty()) {
      const auto sent = stream.send(std::as_bytes(std::span(left)));
      if (!sent) return false;
      left.erase(0, *sent);
    }
    static_cast<void>(registration.modify(Interest::readable));
    std::array<std::byte, 64> buffer;
    const auto size = stream.receive(buffer);
    if (size) received.append(reinterpret_cast<const char*>(buffer.data()), *size);
    const bool has_ended = size ? *size == 0 : size.error() != std::errc::operation_would_block;
    if (has_ended) registration = {};
    return received == answer;
  }
};

bool try_once(std::span<const Address> servers, const Entry& entry, nanoseconds time_out) {
  auto poller = Poller::create();
  if (!poller) return false;
  const std::string answer = std::to_string(entry.number) + "\n";
  std::vector<std::optional<Request>> requests(servers.size());
  for (std::size_t i = 0; i < servers.size(); i++) {
    auto stream = TcpStream::connect(servers[i]);
    if (!stream) continue;
    auto registration = poller->add(stream->native(), Token{i}, Interest::writable);
    if (!registration) continue;
    requests[i] = {
        std::move(*stream), std::move(*registration), std::to_string(entry.number) + " " + entry.text + "\n", {}};
  }
  std::size_t have_it = 0;
  const auto deadline = Clock::now() + time_out;
  std::array<Event, 8> buffer;
  while (have_it <= servers.size() / 2) {
    const auto left = deadline - Clock::now();
    if (left <= nanoseconds::zero()) return false;
    const auto events = poller->wait(buffer, left);
    if (!events) return false;
    for (const Event& event : *events) {
      auto& request = requests[static_cast<std::size_t>(event.token())];
      if (!request || !request->advance(answer)) continue;
      request.reset();
      have_it++;
    }
  }
  return true;
}

}  // namespace

bool append(std::span<const Address> servers, const Entry& entry, int tries_max, milliseconds time_out) {
  for (int i = 0; i < tries_max; i++) {
    if (try_once(servers, entry, time_out)) return true;
  }
  return false;
}

}  // namespace replicated_log
