// SPDX-License-Identifier: MIT
// For the programs of docs/coming-from.md: each has a function that echoes until a connection ends, and is tried by
// this.
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace coming_from {

/// A client: connects, sends a text and gets it back.
inline bool is_echoed(const reactor::Address& to) {
  constexpr std::string_view text = "the same twenty lines";
  auto poller = reactor::Poller::create().value();
  auto stream = reactor::TcpStream::connect(to).value();
  auto registration = poller.add(stream.native(), reactor::Token{1}, reactor::Interest::writable).value();
  std::array<reactor::Event, 1> events;
  const auto deadline = std::chrono::seconds(10);
  if (poller.wait(events, deadline).value().empty()) return false;
  if (!stream.send(std::as_bytes(std::span(text))) || !registration.modify(reactor::Interest::readable)) return false;
  if (poller.wait(events, deadline).value().empty()) return false;
  std::array<char, 64> received{};
  const auto size = stream.receive(std::as_writable_bytes(std::span(received)));
  return size && std::string_view(received.data(), *size) == text;
}

/// `echo` is given a listener and runs in a thread of its own.
template <class Echo>
int try_out(const char* name, Echo echo) {
  auto listener = reactor::TcpListener::bind(reactor::Address::loopback_ipv4()).value();
  const auto address = listener.local_address().value();
  std::thread server([&] { echo(std::move(listener)); });
  const bool passed = is_echoed(address);
  std::printf("%s %s\n", passed ? "PASS" : "FAIL", name);
  std::fflush(stdout);
  if (!passed) std::_Exit(1);  // the server may wait for ever
  server.join();
  return 0;
}

}  // namespace coming_from
