// SPDX-License-Identifier: MIT
// The floor, the least that a server can cost: no readiness, a blocking receive and send on each active connection in
// turn. With the load's ping-pong each of these has one message in flight, so none waits long for another.
#include <vector>

#include "blocking.hpp"
#include "service.hpp"

namespace bench {

namespace {

using reactor::NativeSocket;

class Floor {
 public:
  explicit Floor(Service& service)
      : service_(service), counters_(service.counters()), listener_(service.listener().native()) {
    blocking::make_blocking(listener_);
  }

  [[noreturn]] void serve() {
    while (true) service_.settings().short_lived ? serve_one_until_closed() : serve_in_turns();
  }

 private:
  NativeSocket accept() {
    reactor::TcpStream stream(blocking::accept(listener_));
    service_.prepare(stream);
    return stream.release();
  }

  // False if the connection has ended; it is then closed.
  bool echo(NativeSocket socket) {
    const std::size_t size = blocking::receive(socket, buffer_);
    if (size > 0) {
      counters_.receives.add(1);
      counters_.bytes.add(size);
      if (blocking::send_all(socket, std::span<const std::byte>(buffer_).first(size))) return true;
    }
    blocking::close(socket);
    counters_.closed.add(1);
    return false;
  }

  void serve_one_until_closed() {
    const NativeSocket socket = accept();
    while (echo(socket)) {
    }
  }

  void serve_in_turns() {
    std::vector<NativeSocket> all;
    while (all.size() < service_.settings().connections) all.push_back(accept());
    std::vector<NativeSocket> idle(all.begin() + static_cast<std::ptrdiff_t>(service_.settings().active), all.end());
    all.resize(service_.settings().active);
    while (!all.empty()) std::erase_if(all, [this](NativeSocket socket) { return !echo(socket); });
    for (const NativeSocket socket : idle) {
      while (echo(socket)) {
      }
    }
  }

  Service& service_;
  Counters& counters_;
  NativeSocket listener_;
  std::array<std::byte, 65536> buffer_{};
};

}  // namespace

void serve_blocking(Service& service) {
  service.open([](Json&) {});
  Floor floor(service);
  floor.serve();
}

}  // namespace bench
