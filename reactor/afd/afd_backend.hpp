// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include <reactor/afd/core.hpp>
#include <reactor/afd/event_sink.hpp>
#include <reactor/afd/slot.hpp>
#include <reactor/backend.hpp>
#include <reactor/mutex.hpp>
#include <reactor/nt/kernel.hpp>

namespace reactor::afd {

/// Readiness made of AFD_POLL and a completion port, over any nt::Kernel. Portable: on Linux it runs over a simulated
/// one.
///
/// Life of a registration: add marks it; the next wait arms it (if a thread sleeps already: at once); a packet, or the
/// call itself, brings the answer; the answer becomes an event or not; it is marked again. docs/architecture.md has the
/// picture. The parts, each in a file of its own:
///
///     Registry        slots by index and by base socket (Arena, HandleTable)
///     ArmQueue        what is to be armed, in order
///     Polls           submits, cancels and takes back; the only writer of a poll's state (HelperHandles, Group)
///     Groups          which registrations share a poll (GroupPolicy)
///     Dispatcher      what an answer means
///     WaitLoop        one wait
///     WaitingThreads  which threads sleep, which are between two waits
///     Doorbell        wakes
///     HandleWaits     the registrations of objects that are no sockets
///     ProgramPackets  packets of the program's own
///     DeadlineTimers  ends waits at their deadlines, where high_resolution is wanted
///
/// A base socket that is added again while it is registered has a new registration from then on, and the old one is
/// retired: on Windows it cannot be determined whether a handle still means the same socket ("a number is not an
/// identity"). So add never returns file_exists.
class AfdBackend : public Backend {
 public:
  /// The kernel must outlive it.
  [[nodiscard]] static Result<std::shared_ptr<AfdBackend>> create(nt::Kernel& kernel, const PollerOptions& options);

  AfdBackend(nt::Kernel& kernel, nt::HANDLE port, const PollerOptions& options) noexcept;
  ~AfdBackend() override;

  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) override;
  [[nodiscard]] Result<> modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) override;
  [[nodiscard]] Result<> drained(RegistrationId id, Interest direction) override;
  [[nodiscard]] Result<> remove(RegistrationId id) override;
  [[nodiscard]] Result<WaitResult> wait(std::span<Event> buffer,
                                        std::optional<std::chrono::nanoseconds> timeout) override;
  void wake() noexcept override;
  [[nodiscard]] Result<RegistrationId> add_handle(NativeHandle handle, Token token) override;
  [[nodiscard]] Result<bool> withdraw(RegistrationId id) override;
  [[nodiscard]] Result<std::uintptr_t> completion_key(Token token) override;
  [[nodiscard]] Result<> associate(NativeHandle handle, Token token) override;
  [[nodiscard]] Stats stats() const noexcept override;
  [[nodiscard]] Result<NativeHandle> native_handle() override;
  void close() noexcept override;

  // For reactor/epoll.h, in by_number.cpp. A number that is not registered is no_such_file_or_directory, one that is no
  // socket not_a_socket, or what the provider says.
  [[nodiscard]] Result<RegistrationId> add(NativeSocket socket, const Watch& watch);
  /// What was asked for the number until now does not count any more, so that it may mean another socket by now: no
  /// readiness of the one that it means is lost. The result names the registration from now on.
  [[nodiscard]] Result<RegistrationId> modify(NativeSocket socket, const Watch& watch);
  [[nodiscard]] Result<> remove(NativeSocket socket);
  /// One wait delivers it to its sink, once. Errors: bad_file_descriptor when it is retired, not_enough_memory.
  [[nodiscard]] Result<> post(Token token);
  [[nodiscard]] Result<WaitResult> wait(EventSink& sink, std::optional<std::chrono::nanoseconds> timeout);
  [[nodiscard]] nt::HANDLE port() const noexcept { return core_.port.get(); }
  /// From now on everything is bad_file_descriptor, also for threads that wait already. close is to be called once they
  /// all have left.
  void retire() noexcept;

 protected:
  [[nodiscard]] Core& core() noexcept { return core_; }

 private:
  using Lock = std::unique_lock<Mutex>;

  [[nodiscard]] Result<RegistrationId> add_or_throw(NativeSocket socket, const Watch& watch);
  [[nodiscard]] Result<Slot*> slot_for(nt::HANDLE base);
  [[nodiscard]] Slot* find(RegistrationId id) noexcept;
  template <class Function>
  [[nodiscard]] Result<> with_number(NativeSocket socket, Function&& function);
  void mark(Slot& slot, bool is_rearmed);
  void remove(Slot& slot);
  void drain() noexcept;

  mutable Core core_;
};

/// The backend over the real kernel. Fails with function_not_supported when ntdll lacks a function.
[[nodiscard]] Result<std::shared_ptr<AfdBackend>> create_system_backend(const PollerOptions& options);

}  // namespace reactor::afd
