// SPDX-License-Identifier: MIT
//
// What a test can ask a simulated kernel.
#include <numeric>

#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim {

std::vector<std::string> SimKernel::violations() {
  const Core::Lock lock(core_.mutex);
  return core_.violations;
}

std::string SimKernel::complaint() {
  std::string lines;
  for (const auto& one : violations()) lines += one + "\n";
  return lines;
}

void SimKernel::forget_violations() {
  const Core::Lock lock(core_.mutex);
  core_.violations.clear();
}

Counts SimKernel::counts() {
  const Core::Lock lock(core_.mutex);
  return counts_;
}

std::uint64_t SimKernel::total(const Counts& counts) noexcept {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}) - counts[std::to_underlying(Call::close)];
}

std::size_t SimKernel::pending_polls() {
  const Core::Lock lock(core_.mutex);
  return pending_.size();
}

std::size_t SimKernel::pending_on(SocketNumber socket) {
  const Core::Lock lock(core_.mutex);
  const auto found = asked_.find(socket);
  return found == asked_.end() ? 0 : found->second;
}

std::size_t SimKernel::held_on(SocketNumber socket) {
  const Core::Lock lock(core_.mutex);
  const auto found = held_sockets_.find(socket);
  return found == held_sockets_.end() ? 0 : found->second;
}

std::size_t SimKernel::held_requests() {
  const Core::Lock lock(core_.mutex);
  return held_.size();
}

std::size_t SimKernel::held_entries() {
  const Core::Lock lock(core_.mutex);
  std::size_t count = 0;
  for (const auto& [address, request] : held_) count += request->entries.size();
  return count;
}

std::uint64_t SimKernel::returned_entries() {
  const Core::Lock lock(core_.mutex);
  return returned_entries_;
}

std::uint64_t SimKernel::inline_answers() {
  const Core::Lock lock(core_.mutex);
  return inline_answers_;
}

std::uint64_t SimKernel::empty_answers() {
  const Core::Lock lock(core_.mutex);
  return empty_answers_;
}

std::size_t SimKernel::queued_packets() {
  const Core::Lock lock(core_.mutex);
  core_.run_due();
  std::size_t count = 0;
  core_.handles.for_each([&](const Object& object) {
    if (const auto* port = std::get_if<std::shared_ptr<Port>>(&object)) count += (*port)->packets.size();
  });
  return count;
}

std::size_t SimKernel::open_handles() {
  const Core::Lock lock(core_.mutex);
  return handles_;
}

}  // namespace reactor::sim
