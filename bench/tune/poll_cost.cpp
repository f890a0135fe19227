// SPDX-License-Identifier: MIT
//
// What one AFD_POLL costs, by how many sockets it lists, how many of them are ready, and how many others are pending.
// Prints a line of JSON for each. The polls complete synchronously.
// Windows only: it measures the real kernel.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include <reactor/nt/handle.hpp>
#include <reactor/nt/kernel.hpp>
#include <reactor/socket.hpp>

#include "../common/value_or_fail.hpp"

using bench::value_or_fail;
using namespace reactor;
using namespace reactor::nt;

namespace {

constexpr std::size_t sockets_max = 256;
constexpr int polls = 400;

struct Request {
  IO_STATUS_BLOCK iosb{};
  AFD_POLL_INFO poll{};
  std::array<AFD_POLL_HANDLE_INFO, sockets_max> entries{};
};

// Microseconds a poll, the median of several runs.
double measure(Kernel& kernel, HANDLE helper, Request& request, const std::vector<HANDLE>& sockets, std::size_t ready) {
  std::vector<double> runs;
  for (int run = 0; run < 5; run++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < polls; i++) {
      request.poll = {0, static_cast<ULONG>(sockets.size()), 0};
      for (std::size_t k = 0; k < sockets.size(); k++) {
        request.entries[k] = {sockets[k], AFD_POLL_RECEIVE | (k < ready ? AFD_POLL_SEND : 0u), 0};
      }
      const auto size = static_cast<ULONG>(sizeof request.poll + sockets.size() * sizeof request.entries[0]);
      const NTSTATUS status = kernel.poll(helper, request.iosb, request.poll, size, &request);
      if (status != STATUS_SUCCESS || request.poll.NumberOfHandles != ready) {
        std::fprintf(stderr, "poll_cost: a poll of %zu with %zu ready: status %#x, %u entries\n", sockets.size(), ready,
                     static_cast<unsigned>(status), static_cast<unsigned>(request.poll.NumberOfHandles));
        std::exit(1);
      }
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    runs.push_back(took.count() / polls);
  }
  std::ranges::sort(runs);
  return runs[runs.size() / 2];
}

// What a poll of one ready socket costs while other sockets are polled, `each` of them in a request.
void measure_beside(Kernel& kernel, HANDLE port, HANDLE ready, const std::vector<HANDLE>& waiting, std::size_t each) {
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<HANDLE> helpers;
  for (std::size_t first = 0; each > 0 && first < waiting.size(); first += each) {
    if (requests.size() % 32 == 0) helpers.push_back(value_or_fail(kernel.open_helper(port, 1), "a helper handle"));
    auto request = std::make_unique<Request>();
    const std::size_t count = std::min(each, waiting.size() - first);
    request->poll = {poll_never_times_out, static_cast<ULONG>(count), 0};
    for (std::size_t k = 0; k < count; k++) request->entries[k] = {waiting[first + k], AFD_POLL_RECEIVE, 0};
    const auto size = static_cast<ULONG>(sizeof request->poll + count * sizeof request->entries[0]);
    const NTSTATUS status = kernel.poll(helpers.back(), request->iosb, request->poll, size, request.get());
    if (status != STATUS_PENDING) std::exit(1);
    requests.push_back(std::move(request));
  }
  const HANDLE helper = value_or_fail(kernel.open_helper(port, 1), "a helper handle");
  if (!kernel.skip_packet_on_success(helper)) std::exit(1);
  Request request;
  const double us = measure(kernel, helper, request, {ready}, 1);
  std::printf("{\"waiting\": %zu, \"in_a_request\": %zu, \"us\": %.2f}\n", each == 0 ? 0 : waiting.size(), each, us);
  for (const HANDLE opened : helpers) kernel.cancel(opened, nullptr);
  std::array<FILE_IO_COMPLETION_INFORMATION, 256> packets;
  std::size_t dequeued = 0;
  for (ULONG removed = 0; dequeued < requests.size(); dequeued += removed) {
    if (kernel.dequeue(port, packets, removed, std::chrono::seconds(10)) != STATUS_SUCCESS) std::exit(1);
  }
  for (const HANDLE opened : helpers) kernel.close(opened);
  kernel.close(helper);
}

}  // namespace

int main() {
  Kernel& kernel = *value_or_fail(system_kernel(), "the system's kernel");
  const auto listener = value_or_fail(TcpListener::bind(Address::loopback_ipv4()), "a listener");
  const Address address = value_or_fail(listener.local_address(), "its address");
  std::vector<TcpStream> streams;
  std::vector<HANDLE> sockets;
  for (std::size_t i = 0; i < sockets_max; i++) {
    streams.push_back(value_or_fail(TcpStream::connect(address), "a connection"));
    sockets.push_back(value_or_fail(kernel.base_socket(streams.back().native()), "its base socket"));
  }
  const Handle port(kernel, value_or_fail(kernel.create_port(), "a port"));
  const Handle helper(kernel, value_or_fail(kernel.open_helper(port.get(), 1), "a helper handle"));
  if (!kernel.skip_packet_on_success(helper.get())) {
    std::fprintf(stderr, "poll_cost: this kernel queues a packet for a poll that completes synchronously\n");
    return 1;
  }
  const auto request = std::make_unique<Request>();
  for (const std::size_t listed : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u, 256u}) {
    const std::vector<HANDLE> some(sockets.begin(), sockets.begin() + static_cast<std::ptrdiff_t>(listed));
    for (const std::size_t ready : {std::size_t{0}, std::size_t{1}, listed}) {
      std::printf("{\"listed\": %zu, \"ready\": %zu, \"us\": %.2f}\n", listed, ready,
                  measure(kernel, helper.get(), *request, some, ready));
    }
  }
  std::vector<UdpSocket> idle;
  std::vector<HANDLE> waiting;
  for (int i = 0; i < 4000; i++) {
    idle.push_back(value_or_fail(UdpSocket::bind(Address::loopback_ipv4()), "a socket"));
    waiting.push_back(value_or_fail(kernel.base_socket(idle.back().native()), "its base socket"));
  }
  for (const std::size_t each : {0u, 1u, 16u, 256u}) measure_beside(kernel, port.get(), sockets[0], waiting, each);
}
