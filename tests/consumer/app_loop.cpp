// SPDX-License-Identifier: MIT
// A user's program with a Loop: includes each of its public headers, and connects to itself.
#include <array>
#include <cstddef>
#include <cstdio>
#include <utility>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/context.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/handles.hpp>
#include <reactor/loop/io.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/memory.hpp>
#include <reactor/loop/names.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/stdexec.hpp>
#include <reactor/loop/stop_token.hpp>
#include <reactor/loop/task.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/loop/timers.hpp>

namespace {

using reactor::On, reactor::Result, reactor::Task, reactor::TcpListener;

Task<Result<>> answer(On<TcpListener>& listener) {
  auto accepted = co_await listener.accept();
  if (!accepted) co_return reactor::failure(accepted.error());
  std::array<std::byte, 1> byte{};
  const auto size = co_await reactor::with_timeout(std::chrono::seconds(30), accepted->stream.receive(byte));
  if (!size) co_return reactor::failure(size.error());
  co_return co_await accepted->stream.send("hello\n");
}

Task<Result<bool>> talk() {
  auto bound = TcpListener::bind(reactor::Address::loopback_ipv4());
  if (!bound) co_return reactor::failure(bound.error());
  On<TcpListener> listener(std::move(*bound));
  const auto address = listener.socket().local_address();
  if (!address) co_return reactor::failure(address.error());
  reactor::TaskGroup group(co_await reactor::this_task());
  group.spawn(answer(listener));
  auto stream = co_await reactor::connect(*address);
  if (!stream) co_return reactor::failure(stream.error());
  const auto asked = co_await stream->send("?");
  if (!asked) co_return reactor::failure(asked.error());
  reactor::BufferedReader reader(*stream);
  const auto line = co_await reactor::with_timeout(std::chrono::seconds(30), reader.read_line());
  if (!line) co_return reactor::failure(line.error());
  const bool is_right = *line == "hello";
  const auto joined = co_await group.join();
  if (!joined) co_return reactor::failure(joined.error());
  co_return is_right;
}

}  // namespace

int main() {
  auto loop = reactor::Loop::create();
  if (!loop) return std::puts("FAIL consumer: expected a loop"), 1;
  const auto talked = loop->run(talk());
  if (!talked || !*talked) return std::puts("FAIL consumer: expected hello"), 1;
  std::puts("PASS consumer");
  return 0;
}
