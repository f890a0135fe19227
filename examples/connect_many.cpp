// SPDX-License-Identifier: MIT
// Connects to many addresses at once and says what became of each:  connect_many ADDRESS... | --self-test
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using reactor::Address, reactor::Event, reactor::Interest, reactor::Token;
using Clock = std::chrono::steady_clock;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "connect_many: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

struct Attempt {
  reactor::TcpStream stream;
  reactor::Registration registration;  // after the stream, so that it is removed before that is closed
  std::error_code result = std::make_error_code(std::errc::timed_out);
};

/// One attempt for each address; those without an answer at the end of `timeout` stay timed_out.
std::vector<Attempt> connect_to_all(const std::vector<Address>& addresses, std::chrono::nanoseconds timeout) {
  auto poller = value_or_exit(reactor::Poller::create(), "poller");
  std::vector<Attempt> attempts(addresses.size());
  std::size_t pending = 0;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    auto stream = reactor::TcpStream::connect(addresses[i]);
    // A connect that has ended, well or not, makes the socket writable. One event is all that is wanted of it.
    auto registration = stream ? poller.add(stream->native(), Token{i}, Interest::writable, reactor::Mode::oneshot)
                               : reactor::failure(stream.error());
    if (registration) {
      attempts[i].stream = std::move(*stream);
      attempts[i].registration = std::move(*registration);
      ++pending;
    } else {
      attempts[i].result = registration.error();
    }
  }

  const auto deadline = Clock::now() + timeout;
  std::array<Event, 64> buffer;
  while (pending != 0) {
    const auto left = deadline - Clock::now();
    if (left <= Clock::duration::zero()) break;
    const auto events = value_or_exit(poller.wait(buffer, left), "wait");
    for (const Event& event : events) {
      Attempt& attempt = attempts[static_cast<std::size_t>(event.token())];
      attempt.result = event.error();  // Windows says with the event why a connect failed
      if (!attempt.result) attempt.result = value_or_exit(attempt.stream.take_error(), "take_error");
      --pending;
    }
  }
  for (Attempt& attempt : attempts) attempt.registration = {};  // the streams outlive this Poller
  return attempts;
}

/// Three addresses where something listens, and one where nothing does.
int self_test() {
  std::vector<reactor::TcpListener> listeners;
  std::vector<Address> addresses;
  for (int i = 0; i < 4; ++i) {
    listeners.push_back(value_or_exit(reactor::TcpListener::bind(Address::loopback_ipv4()), "bind"));
    addresses.push_back(value_or_exit(listeners.back().local_address(), "address"));
  }
  listeners.pop_back();
  const auto attempts = connect_to_all(addresses, std::chrono::seconds(30));
  for (std::size_t i = 0; i < 3; ++i) {
    if (attempts[i].result || !attempts[i].stream.peer_address()) return std::puts("FAIL connect_many"), 1;
  }
  const bool is_refused = attempts[3].result == std::errc::connection_refused;
  std::printf("%s connect_many: the fourth says %s\n", is_refused ? "PASS" : "FAIL",
              attempts[3].result.message().c_str());
  return is_refused ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--self-test") return self_test();
  std::vector<Address> addresses;
  for (int i = 1; i < argc; ++i) addresses.push_back(value_or_exit(Address::parse(argv[i]), argv[i]));
  const auto attempts = connect_to_all(addresses, std::chrono::seconds(10));
  for (std::size_t i = 0; i < attempts.size(); ++i) {
    std::printf("%s: %s\n", addresses[i].text().c_str(),
                attempts[i].result ? attempts[i].result.message().c_str() : "connected");
  }
}
