// SPDX-License-Identifier: MIT
//
// Waiting for objects by a port: wait packets where ntdll has them, and the waits of the system's pool. Each test is
// named after its row of docs/kernel-facts.md. Where there are no wait packets (Wine 8 and 10), the tests of them pass
// without any check.
#include <optional>

#include "kernel/bench.hpp"

using namespace conformance;

namespace {

constexpr ULONG_PTR wait_key = 0x5151;
void* const context = reinterpret_cast<void*>(std::uintptr_t{0x99AA});

/// A wait packet, and what is asked of it.
template <class System>
struct Packets : Bench<System> {
  using Object = conformance::System::Object;
  std::vector<HANDLE> opened;

  ~Packets() {
    for (const HANDLE packet : opened) {
      static_cast<void>(this->kernel.disassociate(packet, true));
      this->kernel.close(packet);
    }
  }
  HANDLE packet() {
    const auto made = this->kernel.create_wait_packet();
    REQUIRE(made.has_value());
    opened.push_back(*made);
    return *made;
  }
  NTSTATUS associate(HANDLE wait_packet, HANDLE object, bool* was_signalled = nullptr) {
    bool signalled = false;
    const NTSTATUS status = this->kernel.associate(wait_packet, this->port, object, wait_key, context, signalled);
    if (was_signalled != nullptr) *was_signalled = signalled;
    return status;
  }
  /// The packet of a wait comes.
  bool comes() {
    const auto packet = this->take();
    if (!packet) return false;
    CHECK(packet->KeyContext == reinterpret_cast<void*>(wait_key));
    CHECK(packet->ApcContext == context);
    CHECK(packet->IoStatusBlock.Status == STATUS_SUCCESS);
    CHECK(packet->IoStatusBlock.Information == 0);
    return true;
  }
};

}  // namespace

TEST_CASE_TEMPLATE("wait.associate, wait.signal, wait.once, wait.again: one packet for one association", System,
                   ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE packet = b.packet(), event = b.system.object(System::Object::auto_reset);
  bool was_signalled = true;
  const NTSTATUS status = b.associate(packet, event, &was_signalled);
  b.fact("wait.associate", "an event that is not set is associated", code(status));
  REQUIRE(status == STATUS_SUCCESS);
  CHECK_FALSE(was_signalled);
  CHECK(b.is_quiet());
  b.system.set(event);
  const bool came = b.comes();
  b.fact("wait.signal", "it is set: a packet comes", yes_no(came));
  CHECK(came);
  b.system.set(event);
  const bool is_quiet = b.is_quiet();
  b.fact("wait.once", "set once more: another packet", yes_no(!is_quiet));
  CHECK(is_quiet);
  const NTSTATUS again = b.associate(packet, event, &was_signalled);
  b.fact("wait.again", "the same wait packet is associated again", code(again));
  CHECK(again == STATUS_SUCCESS);
  CHECK(was_signalled);
  CHECK(b.comes());
}

TEST_CASE_TEMPLATE("wait.signalled: of an object that is signalled already a packet is queued all the same", System,
                   ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  for (const auto kind : {System::Object::manual_reset, System::Object::auto_reset, System::Object::semaphore}) {
    bool was_signalled = false;
    REQUIRE(b.associate(b.packet(), b.system.object(kind, true), &was_signalled) == STATUS_SUCCESS);
    const bool came = b.comes();
    if (kind == System::Object::auto_reset) {
      b.fact("wait.signalled", "an event that is set is associated: AlreadySignaled, a packet comes",
             yes_no(was_signalled) + ", " + yes_no(came));
    }
    CHECK(was_signalled);
    CHECK(came);
  }
}

TEST_CASE_TEMPLATE("wait.given_up: an auto-reset event is reset when its packet is queued, not when it is dequeued",
                   System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE event = b.system.object(System::Object::auto_reset),
               semaphore = b.system.object(System::Object::semaphore),
               manual = b.system.object(System::Object::manual_reset);
  REQUIRE(b.associate(b.packet(), event) == STATUS_SUCCESS);
  b.system.set(event);
  const bool is_set = b.system.try_wait(event);
  b.fact("wait.given_up", "an auto-reset event whose packet is queued is set", yes_no(is_set));
  CHECK_FALSE(is_set);
  CHECK(b.comes());
  REQUIRE(b.associate(b.packet(), semaphore) == STATUS_SUCCESS);
  b.system.set(semaphore);
  CHECK_FALSE(b.system.try_wait(semaphore));
  CHECK(b.comes());
  REQUIRE(b.associate(b.packet(), manual) == STATUS_SUCCESS);
  b.system.set(manual);
  CHECK(b.system.try_wait(manual));
  CHECK(b.comes());
}

TEST_CASE_TEMPLATE("wait.two: each signal of an auto-reset event goes to one of its waits", System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE event = b.system.object(System::Object::auto_reset);
  REQUIRE(b.associate(b.packet(), event) == STATUS_SUCCESS);
  REQUIRE(b.associate(b.packet(), event) == STATUS_SUCCESS);
  b.system.set(event);
  CHECK(b.comes());
  const bool is_quiet = b.is_quiet();
  b.fact("wait.two", "two wait packets on an auto-reset event, set once: a second packet comes", yes_no(!is_quiet));
  CHECK(is_quiet);
  b.system.set(event);
  CHECK(b.comes());
}

TEST_CASE_TEMPLATE("wait.in_use, wait.in_use_queued: a wait packet serves one association at a time", System,
                   ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE packet = b.packet(), event = b.system.object(System::Object::manual_reset);
  REQUIRE(b.associate(packet, event) == STATUS_SUCCESS);
  const NTSTATUS waiting = b.associate(packet, event);
  b.fact("wait.in_use", "associated while it is associated", code(waiting));
  b.system.set(event);
  const NTSTATUS queued = b.associate(packet, event);
  b.fact("wait.in_use_queued", "associated while its packet is queued", code(queued));
  CHECK(b.comes());
  b.system.forget_violations();
  CHECK_FALSE(NT_SUCCESS(waiting));
  if (!b.system.is_unknown()) CHECK_FALSE(NT_SUCCESS(queued));
}

TEST_CASE_TEMPLATE("wait.cancel, wait.cancel_idle, wait.cancel_dequeued: a wait that is cancelled brings no packet",
                   System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE packet = b.packet(), event = b.system.object(System::Object::auto_reset);
  const NTSTATUS idle = b.kernel.disassociate(packet, false);
  b.fact("wait.cancel_idle", "cancelled, never associated", code(idle));
  CHECK(idle == STATUS_CANCELLED);
  REQUIRE(b.associate(packet, event) == STATUS_SUCCESS);
  const NTSTATUS waiting = b.kernel.disassociate(packet, false);
  b.fact("wait.cancel", "cancelled before the event is set", code(waiting));
  CHECK(waiting == STATUS_SUCCESS);
  b.system.set(event);
  CHECK(b.is_quiet());
  CHECK(b.system.try_wait(event));
  b.system.set(event);
  CHECK(b.associate(packet, event) == STATUS_SUCCESS);
  CHECK(b.comes());
  const NTSTATUS after = b.kernel.disassociate(packet, false);
  b.fact("wait.cancel_dequeued", "cancelled, its packet was dequeued", code(after));
  if (!b.system.is_unknown()) CHECK(after == STATUS_CANCELLED);
}

TEST_CASE_TEMPLATE("wait.cancel_queued, wait.cancel_removes: a packet that is queued", System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE event = b.system.object(System::Object::auto_reset);
  const HANDLE kept = b.packet();
  REQUIRE(b.associate(kept, event) == STATUS_SUCCESS);
  b.system.set(event);
  const NTSTATUS status = b.kernel.disassociate(kept, false);
  const bool came = b.take(quiet_time).has_value();
  b.fact("wait.cancel_queued", "cancelled, its packet stays: the status, a packet comes",
         code(status) + ", " + yes_no(came));
  CHECK((status == STATUS_PENDING || b.system.is_unknown()));
  const HANDLE removed = b.packet();
  REQUIRE(b.associate(removed, event) == STATUS_SUCCESS);
  b.system.set(event);
  const NTSTATUS removal = b.kernel.disassociate(removed, true);
  const bool still_comes = b.take(quiet_time).has_value();
  const bool is_set = b.system.try_wait(event);
  b.fact("wait.cancel_removes", "cancelled, its packet goes: the status, a packet comes, the event is set",
         code(removal) + ", " + yes_no(still_comes) + ", " + yes_no(is_set));
  if (b.system.is_unknown()) return;
  CHECK(removal == STATUS_SUCCESS);
  CHECK_FALSE(still_comes);
  CHECK_FALSE(is_set);  // the signal is lost
}

TEST_CASE_TEMPLATE("wait.mutex, wait.bad: what is refused", System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const NTSTATUS mutex = b.associate(b.packet(), b.system.object(System::Object::mutex));
  b.fact("wait.mutex", "a mutex", code(mutex));
  CHECK_FALSE(NT_SUCCESS(mutex));
  const HANDLE packet = b.packet(), closed = b.system.object(System::Object::auto_reset);
  b.system.close_object(closed);
  const NTSTATUS gone = b.associate(packet, closed);
  b.fact("wait.bad", "a handle that was closed", code(gone));
  CHECK(gone == STATUS_INVALID_HANDLE);
}

TEST_CASE_TEMPLATE("wait.closed, wait.close_packet: handles are closed meanwhile", System, ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const HANDLE event = b.system.object(System::Object::auto_reset);
  const auto other = b.kernel.duplicate(event);
  REQUIRE(other.has_value());
  REQUIRE(b.associate(b.packet(), *other) == STATUS_SUCCESS);
  b.kernel.close(*other);
  b.system.set(event);
  const bool came = b.comes();
  b.fact("wait.closed", "its handle is closed, the event set by another: a packet comes", yes_no(came));
  CHECK(came);
  const auto packet = b.kernel.create_wait_packet();
  REQUIRE(packet.has_value());
  REQUIRE(b.associate(*packet, event) == STATUS_SUCCESS);
  b.system.set(event);
  b.kernel.close(*packet);
  const bool still_comes = b.take(quiet_time).has_value();
  b.fact("wait.close_packet", "the wait packet is closed while its packet is queued: it comes", yes_no(still_comes));
}

// Timers of high resolution (PollerOptions::high_resolution).
TEST_CASE_TEMPLATE("timer.create, timer.set, timer.once, timer.anew, timer.later, timer.expired: a timer", System,
                   ALL_KERNELS) {
  Packets<System> b;
  if (!b.kernel.has_wait_packets()) return;
  const auto made = b.kernel.create_timer();
  b.fact("timer.create", "a timer of high resolution is created", yes_no(made.has_value()));
  if (b.system.is_simulated()) REQUIRE(made.has_value());
  if (!made) return;  // Windows before 10 1803
  const HANDLE timer = *made, packet = b.packet();
  const auto set = [&](std::chrono::nanoseconds time) { REQUIRE(b.kernel.set_timer(timer, time) == STATUS_SUCCESS); };
  const auto ms_until_packet = [&] {
    const auto begin = b.kernel.now();
    CHECK(b.comes());
    return std::chrono::duration<double, std::milli>(b.kernel.now() - begin).count();
  };
  set(3ms);
  REQUIRE(b.associate(packet, timer) == STATUS_SUCCESS);
  const double first_ms = ms_until_packet();
  b.fact("timer.set", "set for 3 ms: its packet comes after less than 10 ms", yes_no(first_ms < 10));
  CHECK(first_ms >= 2);
  REQUIRE(b.associate(packet, timer) == STATUS_SUCCESS);
  const bool is_quiet = b.is_quiet();
  b.fact("timer.once", "associated again: another packet", yes_no(!is_quiet));
  CHECK(is_quiet);
  set(3ms);
  const double anew_ms = ms_until_packet();
  b.fact("timer.anew", "set for 3 ms while it is associated: its packet comes after less than 10 ms",
         yes_no(anew_ms < 10));
  set(40ms);
  REQUIRE(b.associate(packet, timer) == STATUS_SUCCESS);
  set(3min);
  const bool is_later = b.is_quiet();
  b.fact("timer.later", "set for 40 ms, associated, set for 3 min: a packet after 50 ms", yes_no(!is_later));
  CHECK(is_later);
  REQUIRE(b.kernel.disassociate(packet, true) == STATUS_SUCCESS);
  set(1ns);
  CHECK(b.is_quiet());
  REQUIRE(b.associate(packet, timer) == STATUS_SUCCESS);
  const bool came = b.comes();
  b.fact("timer.expired", "associated when it has expired: a packet comes", yes_no(came));
  b.kernel.close(timer);
}

TEST_CASE_TEMPLATE("pool.wait: a wait of the pool posts one packet, and its end returns that", System, ALL_KERNELS) {
  Packets<System> b;
  for (const auto kind : {System::Object::manual_reset, System::Object::auto_reset, System::Object::semaphore}) {
    const HANDLE object = b.system.object(kind);
    const auto wait = b.kernel.begin_wait(b.port, object, wait_key, context);
    REQUIRE(wait.has_value());
    b.system.meanwhile([&] { b.system.set(object); });
    CHECK(b.comes());
    b.system.join();
    CHECK(b.kernel.end_wait(*wait));
    CHECK(b.system.try_wait(object) == (kind == System::Object::manual_reset));
    const auto signalled = b.kernel.begin_wait(b.port, object, wait_key, context);
    REQUIRE(signalled.has_value());
    if (kind != System::Object::manual_reset) b.system.set(object);
    CHECK(b.comes());
    CHECK(b.kernel.end_wait(*signalled));
  }
  CHECK(b.is_quiet());
}

TEST_CASE_TEMPLATE("pool.end: a wait that has ended takes no signal, and one that took it has posted", System,
                   ALL_KERNELS) {
  Packets<System> b;
  const HANDLE event = b.system.object(System::Object::auto_reset);
  const auto unused = b.kernel.begin_wait(b.port, event, wait_key, context);
  REQUIRE(unused.has_value());
  CHECK_FALSE(b.kernel.end_wait(*unused));
  b.system.set(event);
  CHECK(b.system.try_wait(event));
  const auto used = b.kernel.begin_wait(b.port, event, wait_key, context);
  REQUIRE(used.has_value());
  b.system.set(event);
  const bool was_signalled = b.kernel.end_wait(*used);
  CHECK(b.take(was_signalled ? std::chrono::nanoseconds(deadline) : quiet_time).has_value() == was_signalled);
  const bool is_set = b.system.try_wait(event);
  if (b.system.expect() == Expect::windows) {
    CHECK(is_set == !was_signalled);
  } else {  // Wine drops a signal that comes at the moment at which the wait ends (reactor/nt/object_waits.cpp)
    CHECK_FALSE((is_set && was_signalled));
    if (!is_set && !was_signalled) MESSAGE("the signal is lost");
  }
}

TEST_CASE_TEMPLATE("pool.refused: a mutex, and a handle that was closed", System, ALL_KERNELS) {
  Packets<System> b;
  CHECK_FALSE(b.kernel.begin_wait(b.port, b.system.object(System::Object::mutex), wait_key, context).has_value());
  const HANDLE closed = b.system.object(System::Object::auto_reset);
  b.system.close_object(closed);
  CHECK_FALSE(b.kernel.begin_wait(b.port, closed, wait_key, context).has_value());
  const auto duplicate = b.kernel.duplicate(closed);
  REQUIRE_FALSE(duplicate.has_value());
  CHECK(duplicate.error() == std::errc::bad_file_descriptor);
}
