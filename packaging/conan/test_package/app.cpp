// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>

#include <reactor/poller.hpp>

#ifdef WITH_LOOP
#include <reactor/loop/loop.hpp>
#include <reactor/loop/names.hpp>

// A name, so that the resolver is linked, and c-ares with it where that is an option of the package.
static bool resolves() {
  auto loop = reactor::Loop::create();
  if (!loop) return false;
  reactor::Resolver resolver(*loop);
  const auto found = loop->run(resolver.resolve("localhost", 80));
  return found && !found->empty();
}
#else
static bool resolves() { return true; }
#endif

int main() {
  auto poller = reactor::Poller::create();
  if (!poller) return 1;
  poller->waker().wake();
  std::array<reactor::Event, 1> buffer;
  const auto events = poller->wait(buffer, std::chrono::seconds(10));
  if (!events || !events->woken()) return 2;
  return resolves() ? 0 : 3;
}
