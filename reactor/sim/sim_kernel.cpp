// SPDX-License-Identifier: MIT
//
// Ports, packets, handles and time. sim_poll.cpp is what AFD does.
#include <reactor/sim/sim_kernel.hpp>

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include <reactor/nt/status.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using namespace std::chrono_literals;
using reactor::failure;

SimKernel::SimKernel(Options options)
    : core_(std::move(options)),
      net_(core_, *this),
      notice_readings_(readings_of(core_.options)),
      wait_readings_(wait_readings_of(core_.options)) {}

SimKernel::SimKernel(std::shared_ptr<Timeline> timeline, Options options, Network* network)
    : core_(std::move(timeline), std::move(options)),
      net_(core_, *this, network),
      notice_readings_(readings_of(core_.options)),
      wait_readings_(wait_readings_of(core_.options)) {}

SimKernel::~SimKernel() {
  for (const auto& [address, request] : held_) release_memory(*request);
}

// Counts a call and says whether it is one that fails.
NTSTATUS SimKernel::begin(Call call, int refused_per_mille) {
  counts_[std::to_underlying(call)]++;
  core_.run_due();
  NTSTATUS status = nth_fault_.next();
  if (status == STATUS_SUCCESS && core_.random.chance(refused_per_mille)) status = STATUS_INSUFFICIENT_RESOURCES;
  if (status != STATUS_SUCCESS && core_.is_traced()) {
    core_.trace(std::string(name_of(call)) + " FAILS " + hex(static_cast<std::uint32_t>(status)));
  }
  return status;
}

SimKernel::Result<HANDLE> SimKernel::create_port() {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::create_port, core_.options.faults.port_refused);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  handles_++;
  const auto opened = core_.handles.open(std::make_shared<Port>());
  if (core_.is_traced()) core_.trace("create_port -> " + hex(opened));
  return handle(opened);
}

SimKernel::Result<HANDLE> SimKernel::open_helper(HANDLE port, ULONG_PTR key) {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::open_helper, core_.options.faults.helper_refused);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  auto found = core_.handles.find<Port>(number(port));
  if (found == nullptr) {
    core_.violate("open_helper: there is no port " + hex(number(port)));
    return failure(make_error(STATUS_INVALID_HANDLE));
  }
  handles_++;
  const auto opened = core_.handles.open(std::make_shared<Helper>(Helper{std::move(found), key, false}));
  if (core_.is_traced()) core_.trace("open_helper -> " + hex(opened));
  return handle(opened);
}

bool SimKernel::skip_packet_on_success(HANDLE helper) {
  const Core::Lock lock(core_.mutex);
  if (begin(Call::skip_packet, core_.options.faults.skip_refused) != STATUS_SUCCESS) return false;
  const auto found = core_.handles.find<Helper>(number(helper));
  if (found == nullptr) {
    core_.violate("skip_packet: there is no helper " + hex(number(helper)));
    return false;
  }
  found->skips = core_.options.skips;
  if (core_.is_traced()) core_.trace("skip_packet on " + hex(number(helper)));
  return true;
}

SimKernel::Result<HANDLE> SimKernel::base_socket(SocketNumber socket) {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::base_socket, 0);
  if (status != STATUS_SUCCESS) return failure(base_socket_error(status));
  if (core_.random.chance(core_.options.faults.base_refused)) return failure(std::errc::not_supported);
  if (core_.is_traced()) core_.trace("base of " + hex(socket));
  const Object& object = core_.handles.at(socket);
  if (const auto* layered = std::get_if<Layered>(&object)) {
    if (layered->base == 0) return failure(std::errc::not_supported);
    return handle(layered->base);
  }
  if (std::holds_alternative<std::shared_ptr<Endpoint>>(object)) return handle(socket);
  return failure(std::holds_alternative<std::monostate>(object) ? std::errc::bad_file_descriptor
                                                                : std::errc::not_a_socket);
}

SimKernel::Result<HANDLE> SimKernel::create_reserve() {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::create_reserve, core_.options.faults.reserve_refused);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  if (!core_.options.has_reserves) return failure(std::errc::function_not_supported);
  handles_++;
  const auto opened = core_.handles.open(std::make_shared<Reserve>());
  if (core_.is_traced()) core_.trace("create_reserve -> " + hex(opened));
  return handle(opened);
}

// A post with a reserve needs no memory, so it cannot be refused.
NTSTATUS SimKernel::post(HANDLE port, HANDLE reserve, ULONG_PTR key, void* context) {
  const Core::Lock lock(core_.mutex);
  std::shared_ptr<Reserve> used;
  if (reserve == nullptr) {
    const NTSTATUS status = begin(Call::post, core_.options.faults.post_refused);
    if (status != STATUS_SUCCESS) return status;
  } else {
    counts_[std::to_underlying(Call::post)]++;
    core_.run_due();
    used = core_.handles.find<Reserve>(number(reserve));
    if (used == nullptr || used->is_queued) {
      core_.violate("post: the reserve is not open, or its last packet was not dequeued");
      return STATUS_INVALID_HANDLE;
    }
    used->is_queued = true;
  }
  const auto found = core_.handles.find<Port>(number(port));
  if (found == nullptr) {
    core_.violate("post: there is no port " + hex(number(port)));
    return STATUS_INVALID_HANDLE;
  }
  if (core_.is_traced()) core_.trace("post key " + hex(key));
  queue_packet(found, {handle(key), context, {{STATUS_SUCCESS}, 0}}, nullptr, core_.draw(core_.options.packet), used);
  core_.run_due();
  return STATUS_SUCCESS;
}

void SimKernel::queue_packet(const PortPtr& port, const Packet& packet, const RequestPtr& request, nanoseconds delay,
                             const std::shared_ptr<Reserve>& reserve) {
  core_.after(delay, [this, port, packet, request, reserve] {
    if (!port->is_open) return;
    auto at = port->packets.end();
    if (core_.random.chance(core_.options.faults.shuffled_packet)) {
      at = port->packets.begin() + static_cast<std::ptrdiff_t>(core_.random.below(port->packets.size() + 1));
    }
    port->packets.insert(at, {packet, request, reserve, nullptr});
    core_.wake(port->sleepers);
    if (core_.options.real_threads) core_.changed.notify_all();
  });
}

NTSTATUS SimKernel::dequeue(HANDLE port, std::span<Packet> packets, ULONG& removed,
                            std::optional<nanoseconds> timeout) {
  Core::Lock lock(core_.mutex);
  const NTSTATUS refused = begin(Call::dequeue, core_.options.faults.dequeue_refused);
  if (refused != STATUS_SUCCESS) return refused;
  const auto found = core_.handles.find<Port>(number(port));
  if (found == nullptr) {
    core_.violate("dequeue: there is no port " + hex(number(port)));
    return STATUS_INVALID_HANDLE;
  }
  return await(lock, found, packets, removed, timeout);
}

// The rest of a dequeue.
NTSTATUS SimKernel::await(Core::Lock& lock, const PortPtr& port, std::span<Packet> packets, ULONG& removed,
                          std::optional<nanoseconds> timeout) {
  if (packets.empty()) core_.violate("dequeue: no buffer for a packet");
  removed = 1;  // fact port.timeout_removed
  std::optional<nanoseconds> deadline;
  if (timeout && *timeout < nanoseconds::max() / 2 - core_.now()) {
    const nanoseconds tick = *timeout == 0ns ? 0ns : core_.options.tick;
    const auto ticks = [tick](nanoseconds time) { return tick * (time / tick); };  // rounded down
    deadline = core_.now() + *timeout;
    if (tick > 0ns) deadline = ticks(ticks(core_.now()) + *timeout + tick - 1ns);
  }
  if (deadline && core_.random.chance(core_.options.faults.early_time_out)) {
    *deadline -= core_.random.between(0ns, std::min<nanoseconds>(15ms, *timeout / 2));
  }
  if (core_.is_traced()) {
    core_.trace("dequeue, buffer for " + std::to_string(packets.size()) +
                (timeout ? ", until " + std::to_string(timeout->count()) + " ns from now" : ", without a time-out"));
  }
  for (;;) {
    core_.run_due();
    if (const std::size_t count = take(*port, packets); count > 0) {
      removed = static_cast<ULONG>(count);
      return STATUS_SUCCESS;
    }
    if (deadline && core_.now() >= *deadline) {
      if (core_.is_traced()) core_.trace("dequeue -> STATUS_TIMEOUT");
      return STATUS_TIMEOUT;
    }
    sleep(lock, deadline, *port);
    if (!port->is_open) {
      core_.violate("dequeue: the port was closed while a thread waited at it");
      return STATUS_INVALID_HANDLE;
    }
  }
}

std::size_t SimKernel::take(Port& port, std::span<Packet> packets) {
  const std::size_t count = std::min(packets.size(), port.packets.size());
  for (std::size_t i = 0; i < count; i++) {
    if (port.packets.front().notice != nullptr) take_notice(port.packets.front());
    auto& [info, request, reserve, notice, wait] = port.packets.front();
    if (wait != nullptr && wait->state == WaitPacket::State::queued) wait->state = WaitPacket::State::idle;
    if (reserve != nullptr) reserve->is_queued = false;
    if (request != nullptr) {
      give_back(*request);
      returned_entries_ += request->entries.size();
    }
    if (core_.is_traced()) {
      core_.trace("packet key " + hex(number(info.KeyContext)) + " status " +
                  hex(static_cast<std::uint32_t>(info.IoStatusBlock.Status)) +
                  (request == nullptr ? "" : " #" + std::to_string(request->id)));
    }
    packets[i] = info;
    port.packets.pop_front();
  }
  return count;
}

// Until something is due or the time is over, whichever comes first; it may also return for nothing.
void SimKernel::sleep(Core::Lock& lock, std::optional<nanoseconds> until, Port& port) {
  if (auto* const scheduler = core_.timeline->scheduler) {
    lock.unlock();
    scheduler->sleep(port.sleepers, until, "an event or a wake of a Poller");
    lock.lock();
    return;
  }
  const auto due = core_.next_due();
  const auto next = !until ? due : !due ? until : std::min(*due, *until);
  if (core_.options.real_threads) {
    using Clock = std::chrono::steady_clock;
    // A long time-out would overflow in some standard libraries: an hour at a time.
    const nanoseconds latest = core_.now() + 1h;
    core_.changed.wait_until(
        lock, Clock::time_point(std::chrono::duration_cast<Clock::duration>(next ? std::min(*next, latest) : latest)));
    return;
  }
  if (core_.options.when_asleep) {
    lock.unlock();
    const bool did_something = core_.options.when_asleep();
    lock.lock();
    if (did_something) return;
  }
  if (!next) {
    core_.violate("asleep for ever");
    throw AsleepForEver();
  }
  core_.jump_to(*next);
}

void SimKernel::close(HANDLE closed) noexcept {
  const Core::Lock lock(core_.mutex);
  counts_[std::to_underlying(Call::close)]++;
  core_.run_due();
  if (core_.is_traced()) core_.trace("close " + hex(number(closed)));
  const Object& object = core_.handles.at(number(closed));
  const bool is_ours = std::holds_alternative<std::shared_ptr<Port>>(object) ||
                       std::holds_alternative<std::shared_ptr<Helper>>(object) ||
                       std::holds_alternative<std::shared_ptr<Reserve>>(object) ||
                       std::holds_alternative<std::shared_ptr<Waitable>>(object) ||
                       std::holds_alternative<std::shared_ptr<WaitPacket>>(object);
  if (!is_ours) {
    core_.violate("close: " + hex(number(closed)) + " is no handle that is open, or a socket");
    return;
  }
  const Object gone = core_.handles.close(number(closed));
  handles_--;
  if (const auto* port = std::get_if<std::shared_ptr<Port>>(&gone)) close_port(**port);
  if (const auto* helper = std::get_if<std::shared_ptr<Helper>>(&gone)) close_helper(**helper, closed);
  if (const auto* wait = std::get_if<std::shared_ptr<WaitPacket>>(&gone)) close_wait_packet(**wait);
  core_.run_due();
}

void SimKernel::close_port(Port& port) noexcept {
  port.is_open = false;
  // These packets are never dequeued. A caller cannot know that the kernel has released their memory, so it must not
  // have freed it either.
  for (const auto& queued : std::exchange(port.packets, {})) {
    if (queued.request != nullptr) core_.violate("a port was closed with the packet of a poll in it");
  }
  core_.wake(port.sleepers);
  if (core_.options.real_threads) core_.changed.notify_all();
}

// The last handle (fact close.helper). Wine ends what is pending on it; under Windows it goes on, and was seen to
// complete by its own time-out. Either way a packet comes, and the backend closes no helper before it has them all.
void SimKernel::close_helper(const Helper& helper, HANDLE closed) noexcept {
  const auto on_it = pending_of(helper);
  if (!on_it.empty()) {
    core_.violate("helper " + hex(number(closed)) + " was closed while " + std::to_string(on_it.size()) +
                  " polls were pending on it");
  }
  if (core_.is_windows()) return;
  constexpr auto STATUS_HANDLES_CLOSED = static_cast<NTSTATUS>(0x8000000A);
  for (const auto& request : on_it) complete(request, STATUS_HANDLES_CLOSED);
}

std::uint32_t SimKernel::thread_id() {
  if (!core_.options.real_threads) return thread_id_;
  static std::atomic<std::uint32_t> threads = 0;
  thread_local const std::uint32_t mine = ++threads;
  return mine;
}

std::chrono::nanoseconds SimKernel::now() {
  const Core::Lock lock(core_.mutex);
  return core_.now();
}

void SimKernel::run_for(nanoseconds time) {
  const Core::Lock lock(core_.mutex);
  const nanoseconds end = core_.now() + time;
  core_.run_due();
  while (core_.next_due() && *core_.next_due() <= end) {
    core_.jump_to(*core_.next_due());
    core_.run_due();
  }
  core_.jump_to(end);
}

void SimKernel::settle() {
  const Core::Lock lock(core_.mutex);
  core_.run_due();
  while (core_.next_due()) {
    core_.jump_to(*core_.next_due());
    core_.run_due();
  }
}

void SimKernel::set_faults(const Faults& faults) {
  const Core::Lock lock(core_.mutex);
  core_.options.faults = faults;
}

void SimKernel::set_when_asleep(std::function<bool()> function) {
  const Core::Lock lock(core_.mutex);
  core_.options.when_asleep = std::move(function);
}

void SimKernel::set_delays(Delay flight, Delay completion, Delay packet) {
  const Core::Lock lock(core_.mutex);
  core_.options.flight = flight;
  core_.options.completion = completion;
  core_.options.packet = packet;
}

}  // namespace reactor::sim
