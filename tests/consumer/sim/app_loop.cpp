// SPDX-License-Identifier: MIT
#include <cstdio>

#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/names.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/sim/check.hpp>

using namespace reactor;

// The user's own code: a server that sends back what it receives, and a client that gives up after a second.
static Task<> echo(On<TcpStream> stream) {
  std::array<std::byte, 256> buffer{};
  for (;;) {
    const auto size = co_await stream.receive(buffer);
    if (!size || *size == 0) co_return;
    if (const auto sent = co_await stream.send(std::span(buffer).first(*size)); !sent) co_return;
  }
}

static Task<Result<>> serve(std::uint16_t port) {
  On<TcpListener> listener(TcpListener::bind(Address::any(port)).value());
  TaskGroup clients(co_await this_task(), OnFailure::keep_going);
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return failure(accepted.error());
    clients.spawn(echo(std::move(accepted->stream)));
  }
}

static Task<Result<>> ask(Loop& loop) {
  Resolver resolver(loop);
  auto stream = co_await connect(resolver, "server", 80);
  if (!stream) co_return failure(stream.error());
  if (const auto sent = co_await stream->send("hello"); !sent) co_return sent;
  std::array<std::byte, 5> answer{};
  co_return co_await with_timeout(std::chrono::seconds(1), stream->receive_exactly(answer));
}

int main() {
  const auto outcome = sim::check({1, 100}, [](sim::World& world) {
    world.host("server").serve([] { static_cast<void>(Loop::create().value().run(serve(80))); });
    world.host("client").run([] {
      Loop loop = Loop::create().value();
      sim::require(loop.run(ask(loop)).has_value(), "no answer");
    });
    world.run_until_idle();
  });
  std::puts(outcome ? "PASS" : outcome.message.c_str());
  return outcome ? 0 : 1;
}
