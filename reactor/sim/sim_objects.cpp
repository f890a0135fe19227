// SPDX-License-Identifier: MIT
//
// Objects that can be waited for, wait packets by their documentation (what it leaves open is WaitReadings), and the
// waits of the system's pool.
#include <reactor/sim/sim_objects.hpp>

#include <algorithm>
#include <utility>

#include <reactor/nt/status.hpp>
#include <reactor/sim/sim_kernel.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using reactor::failure;
using PacketState = WaitPacket::State;

WaitReadings wait_readings_of(const Options& options) {
  if (options.waits) return *options.waits;
  Random random(options.seed ^ 0x7761697473);
  return {.pending_may_be_lost = random.chance(500), .close_keeps_queued = random.chance(500)};
}

HANDLE SimKernel::create_object(Waitable::Kind kind, int signals) {
  const Core::Lock lock(core_.mutex);
  handles_++;
  return handle(core_.handles.open(std::make_shared<Waitable>(Waitable{.kind = kind, .signals = signals})));
}

void SimKernel::signal(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  const auto found = core_.handles.find<Waitable>(number(object));
  if (found == nullptr) throw std::logic_error("signal: no such object");
  signal(*found);
  core_.run_due();
}

void SimKernel::signal(Waitable& object) {
  object.signals = object.kind == Waitable::Kind::semaphore ? object.signals + 1 : 1;
  while (!object.waits.empty() && object.take()) {
    const auto wait = std::move(object.waits.front());
    object.waits.pop_front();
    fire(wait);
  }
}

void SimKernel::reset(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  if (const auto found = core_.handles.find<Waitable>(number(object))) found->signals = 0;
}

bool SimKernel::try_wait(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  const auto found = core_.handles.find<Waitable>(number(object));
  return found != nullptr && found->take();
}

int SimKernel::signals(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  const auto found = core_.handles.find<Waitable>(number(object));
  return found == nullptr ? 0 : found->signals;
}

std::size_t SimKernel::waits_on(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  const auto found = core_.handles.find<Waitable>(number(object));
  return found == nullptr ? 0 : found->waits.size();
}

SimKernel::Result<HANDLE> SimKernel::duplicate(HANDLE object) {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::duplicate, core_.options.faults.wait_refused);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  const Object& found = core_.handles.at(number(object));
  if (std::holds_alternative<std::monostate>(found)) return failure(make_win32_error(6));  // ERROR_INVALID_HANDLE
  handles_++;
  auto waitable = core_.handles.find<Waitable>(number(object));
  // A reserve stands for all that cannot be waited for.
  return handle(waitable == nullptr ? core_.handles.open(std::make_shared<Reserve>())
                                    : core_.handles.open(std::move(waitable)));
}

SimKernel::Result<HANDLE> SimKernel::create_timer() {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::create_timer, core_.options.faults.wait_refused);
  if (!core_.options.has_timers) return failure(make_win32_error(87));  // ERROR_INVALID_PARAMETER
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  handles_++;
  return handle(core_.handles.open(std::make_shared<Waitable>(Waitable{.kind = Waitable::Kind::auto_reset})));
}

NTSTATUS SimKernel::set_timer(HANDLE timer, nanoseconds time) {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS refused = begin(Call::set_timer, core_.options.faults.wait_refused);
  if (refused != STATUS_SUCCESS) return refused;
  const auto found = core_.handles.find<Waitable>(number(timer));
  if (found == nullptr) {
    core_.violate("set_timer: there is no timer " + hex(number(timer)));
    return STATUS_INVALID_HANDLE;
  }
  found->signals = 0;
  core_.after(time, [this, found, setting = ++found->settings] {
    if (found->settings == setting) signal(*found);
  });
  return STATUS_SUCCESS;
}

SimKernel::Result<HANDLE> SimKernel::create_wait_packet() {
  const Core::Lock lock(core_.mutex);
  const NTSTATUS status = begin(Call::create_wait_packet, core_.options.faults.wait_refused);
  if (!core_.options.has_wait_packets) return failure(std::errc::function_not_supported);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  handles_++;
  return handle(core_.handles.open(std::make_shared<WaitPacket>()));
}

NTSTATUS SimKernel::associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                              bool& was_signalled) {
  const Core::Lock lock(core_.mutex);
  was_signalled = false;
  const NTSTATUS refused = begin(Call::associate, core_.options.faults.wait_refused);
  if (refused != STATUS_SUCCESS) return refused;
  const auto wait = core_.handles.find<WaitPacket>(number(wait_packet));
  if (wait == nullptr || wait->is_pooled) {
    core_.violate("associate: there is no wait packet " + hex(number(wait_packet)));
    return STATUS_INVALID_HANDLE;
  }
  if (wait->state != PacketState::idle) {
    core_.violate("associate: the wait packet " + hex(number(wait_packet)) + " is in use");
    return STATUS_INVALID_PARAMETER;
  }
  const NTSTATUS status = start_wait(wait, port, object, key, context, was_signalled);
  core_.run_due();
  return status;
}

NTSTATUS SimKernel::start_wait(const std::shared_ptr<WaitPacket>& wait, HANDLE port, HANDLE object, ULONG_PTR key,
                               void* context, bool& was_signalled) {
  const auto at = core_.handles.find<Port>(number(port));
  if (at == nullptr) {
    core_.violate("a wait for an object: there is no port " + hex(number(port)));
    return STATUS_INVALID_HANDLE;
  }
  if (std::holds_alternative<std::monostate>(core_.handles.at(number(object)))) return STATUS_INVALID_HANDLE;
  const auto target = core_.handles.find<Waitable>(number(object));
  if (target == nullptr) return STATUS_OBJECT_TYPE_MISMATCH;
  if (target->kind == Waitable::Kind::mutex) return static_cast<NTSTATUS>(0xC00000F1);  // STATUS_INVALID_PARAMETER_3
  wait->port = at;
  wait->object = target;
  wait->info = {handle(key), context, {{STATUS_SUCCESS}, 0}};
  wait->associations++;
  was_signalled = target->take();
  if (was_signalled) {
    fire(wait);
  } else {
    wait->state = PacketState::waiting;
    target->waits.push_back(wait);
  }
  return STATUS_SUCCESS;
}

// The object was signalled, and has given up what a wait takes.
void SimKernel::fire(const std::shared_ptr<WaitPacket>& wait) {
  wait->state = PacketState::signalled;
  core_.after(core_.draw(core_.options.completion) + core_.draw(core_.options.packet),
              [this, wait, association = wait->associations] {
                if (wait->state == PacketState::signalled && wait->associations == association) queue_wait(wait);
              });
}

void SimKernel::queue_wait(const std::shared_ptr<WaitPacket>& wait) {
  if (!wait->port->is_open || (wait->is_closed && !wait_readings_.close_keeps_queued)) return;
  wait->state = PacketState::queued;
  auto& packets = wait->port->packets;
  auto at = packets.end();
  if (core_.random.chance(core_.options.faults.shuffled_packet)) {
    at = packets.begin() + static_cast<std::ptrdiff_t>(core_.random.below(packets.size() + 1));
  }
  packets.insert(at, {wait->info, nullptr, nullptr, nullptr, wait});
  core_.wake(wait->port->sleepers);
  if (core_.options.real_threads) core_.changed.notify_all();
}

NTSTATUS SimKernel::disassociate(HANDLE wait_packet, bool removes_queued) {
  const Core::Lock lock(core_.mutex);
  counts_[std::to_underlying(Call::disassociate)]++;
  core_.run_due();
  const auto wait = core_.handles.find<WaitPacket>(number(wait_packet));
  if (wait == nullptr || wait->is_pooled) {
    core_.violate("disassociate: there is no wait packet " + hex(number(wait_packet)));
    return STATUS_INVALID_HANDLE;
  }
  switch (wait->state) {
    case PacketState::idle: return STATUS_CANCELLED;
    case PacketState::waiting:
      std::erase(wait->object->waits, wait);
      wait->state = PacketState::idle;
      return STATUS_SUCCESS;
    case PacketState::queued:
      if (!removes_queued) break;
      std::erase_if(wait->port->packets, [&](const auto& queued) { return queued.wait == wait; });
      wait->state = PacketState::idle;
      return STATUS_SUCCESS;
    case PacketState::signalled: break;
  }
  if (wait_readings_.pending_may_be_lost && core_.random.chance(500)) {
    std::erase_if(wait->port->packets, [&](const auto& queued) { return queued.wait == wait; });
    wait->state = PacketState::queued;  // and nothing dequeues it
  }
  return STATUS_PENDING;
}

void SimKernel::close_wait_packet(WaitPacket& wait) noexcept {
  wait.is_closed = true;
  // Not known whether that ends the wait.
  if (wait.state == PacketState::waiting) core_.violate("a wait packet was closed while it is associated");
  if (wait.state != PacketState::queued || wait_readings_.close_keeps_queued) return;
  std::erase_if(wait.port->packets, [&](const auto& queued) { return queued.wait.get() == &wait; });
}

SimKernel::Result<HANDLE> SimKernel::begin_wait(HANDLE port, HANDLE object, ULONG_PTR key, void* context) {
  const Core::Lock lock(core_.mutex);
  NTSTATUS status = begin(Call::begin_wait, core_.options.faults.wait_refused);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  auto wait = std::make_shared<WaitPacket>();
  wait->is_pooled = true;
  bool was_signalled = false;
  status = start_wait(wait, port, object, key, context, was_signalled);
  if (status != STATUS_SUCCESS) return failure(make_error(status));
  handles_++;
  const auto opened = core_.handles.open(std::move(wait));
  core_.run_due();
  return handle(opened);
}

// A packet that the pool's thread was about to post is posted first; one that is queued stays.
bool SimKernel::end_wait(HANDLE ended) noexcept {
  const Core::Lock lock(core_.mutex);
  counts_[std::to_underlying(Call::end_wait)]++;
  core_.run_due();
  const auto wait = core_.handles.find<WaitPacket>(number(ended));
  if (wait == nullptr || !wait->is_pooled) {
    core_.violate("end_wait: there is no wait " + hex(number(ended)));
    return false;
  }
  core_.handles.close(number(ended));
  handles_--;
  const bool is_waiting = wait->state == PacketState::waiting;
  if (is_waiting) std::erase(wait->object->waits, wait);
  if (wait->state == PacketState::signalled) queue_wait(wait);
  wait->state = PacketState::idle;
  return !is_waiting;
}

}  // namespace reactor::sim
