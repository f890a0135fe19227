// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "../common/arguments.hpp"
#include "blocking.hpp"
#include "calls.hpp"

namespace bench {

namespace {

constexpr std::size_t receive_max = 65536;

}  // namespace

std::optional<Interest> Echo::ready(Counters& counters, bool is_readable) {
  if (!left_.empty()) {
    if (!send_left()) return std::nullopt;
  } else if (is_readable && !receive(counters)) {
    return std::nullopt;
  }
  if (!left_.empty()) return Interest::writable;
  if (!toggles_) return Interest::readable;
  toggled_ = !toggled_;
  return toggled_ ? Interest::readable | Interest::writable : Interest::readable;
}

// Receives once and sends that back at once. False when the connection has ended.
bool Echo::receive(Counters& counters) {
  static thread_local std::array<std::byte, receive_max> buffer;
  const auto size = stream_.receive(buffer);
  if (!size) return size.error() == std::errc::operation_would_block;
  if (*size == 0) return false;
  counters.receives.add(1);
  counters.bytes.add(*size);
  const auto bytes = std::span<const std::byte>(buffer).first(*size);
  const auto sent = stream_.send(bytes);
  if (!sent && sent.error() != std::errc::operation_would_block) return false;
  const auto rest = bytes.subspan(sent.value_or(0));
  left_.assign(rest.begin(), rest.end());
  left_begin_ = 0;
  return true;
}

bool Echo::send_left() {
  const auto sent = stream_.send(std::span<const std::byte>(left_).subspan(left_begin_));
  if (!sent && sent.error() != std::errc::operation_would_block) return false;
  left_begin_ += sent.value_or(0);
  if (left_begin_ == left_.size()) left_.clear();
  return true;
}

Service::Service(Settings settings)
    : settings_(std::move(settings)),
      listener_(value_or_fail(reactor::TcpListener::bind(reactor::Address::loopback_ipv4(), 1024), "listen")) {
  if (settings_.counts_calls && !count_calls()) fail("kernel calls cannot be counted here");
}

void Service::open(std::function<void(Json&)> describe) {
  describe_ = std::move(describe);
  std::thread([this] { run_control(); }).detach();
}

void Service::prepare(const reactor::TcpStream& stream) {
  value_or_fail(stream.set_no_delay(true), "set_no_delay");
  if (settings_.send_buffer_bytes > 0) {
    value_or_fail(stream.set_send_buffer(settings_.send_buffer_bytes), "set_send_buffer");
  }
  counters_.accepted.add(1);
}

Echo Service::make_echo(reactor::TcpStream stream) {
  prepare(stream);
  const bool is_first = counters_.accepted.value() - counters_.closed.value() == 1;
  return {std::move(stream), settings_.toggles && is_first};
}

std::string Service::stats() const {
  Json json;
  const std::uint64_t closed = counters_.closed.value(), accepted = counters_.accepted.value();
  json.add("open", accepted - closed).add("accepted", accepted).add("closed", closed);
  json.add("receives", counters_.receives.value()).add("bytes", counters_.bytes.value());
  describe_(json);
  if (settings_.counts_calls) json.raw("system_calls", counted_calls());
  return json.text();
}

// The control thread: serves one connection after the other, with one line of JSON for each line.
void Service::run_control() {
  const auto control = blocking::listen_on_loopback();
  const auto address = value_or_fail(listener_.local_address(), "local_address");
  std::printf("{\"port\": %u, \"control\": %u}\n", unsigned{address.port()}, unsigned{control.port});
  std::fflush(stdout);
  while (true) {
    const auto client = blocking::accept(control.socket);
    if (client == reactor::invalid_socket) fail("the control port cannot accept");
    std::array<std::byte, 64> part;  // NOLINT(*-member-init): receive fills it
    std::string line;
    while (const std::size_t size = blocking::receive(client, part)) {
      line.append(reinterpret_cast<const char*>(part.data()), size);
      if (!line.ends_with('\n')) continue;
      if (line == "exit\n") std::_Exit(0);
      const std::string text = stats() + '\n';
      if (line != "stats\n" || !blocking::send_all(client, std::as_bytes(std::span(text)))) break;
      line.clear();
    }
    blocking::close(client);
  }
}

}  // namespace bench
