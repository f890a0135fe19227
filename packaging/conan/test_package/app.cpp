// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>

#include <reactor/poller.hpp>

int main() {
  auto poller = reactor::Poller::create();
  if (!poller) return 1;
  poller->waker().wake();
  std::array<reactor::Event, 1> buffer;
  const auto events = poller->wait(buffer, std::chrono::seconds(10));
  return events && events->woken() ? 0 : 2;
}
