// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string_view>

import reactor.loop;

namespace {

reactor::Task<reactor::Result<>> greet(reactor::On<reactor::TcpListener>& listener) {
  auto accepted = co_await listener.accept();
  if (!accepted) co_return reactor::failure(accepted.error());
  co_return co_await accepted->stream.send(std::string_view("hello", 6));
}

reactor::Task<int> talk(reactor::Loop& loop) {
  auto bound = reactor::TcpListener::bind(reactor::Address::loopback_ipv4()).value();
  const auto address = bound.local_address().value();
  reactor::On<reactor::TcpListener> listener(std::move(bound));
  reactor::TaskGroup group(loop);
  group.spawn(greet(listener));
  auto client = co_await reactor::with_timeout(std::chrono::seconds(10), reactor::connect(address));
  if (!client) co_return 1;
  std::array<std::byte, 6> text{};
  const auto received = co_await client->receive_exactly(text);
  if (!received) co_return 2;
  std::printf("received %zu bytes: %s\n", text.size(), reinterpret_cast<const char*>(text.data()));
  const auto joined = co_await group.join();
  co_return joined ? 0 : 3;
}

}  // namespace

int main() {
  auto loop = reactor::Loop::create().value();
  return loop.run(talk(loop)).value_or(4);
}
