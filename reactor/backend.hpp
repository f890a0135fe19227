// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include <reactor/event.hpp>
#include <reactor/poller.hpp>
#include <reactor/result.hpp>

namespace reactor {

/// Names a registration for as long as its backend lives.
struct RegistrationId {
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;  ///< never 0 of a registration, never used twice
};

/// What a wait came to.
struct WaitResult {
  std::size_t events = 0;
  bool woken = false;  ///< a wake was consumed
};

/// What a backend has to supply. Not for programs: Poller, Registration and Waker are.
///
/// All but wait's callers may be on any thread at any time. A registration that is retired (removed, or its socket was
/// closed) is refused with bad_file_descriptor, but for remove, which then has nothing left to do.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual Result<RegistrationId> add(NativeSocket socket, Token token, Interest interest, Mode mode) = 0;
  /// Without an interest, or a mode, what it has.
  [[nodiscard]] virtual Result<> modify(RegistrationId id, std::optional<Interest> interest,
                                        std::optional<Mode> mode) = 0;
  [[nodiscard]] virtual Result<> drained(RegistrationId id, Interest direction) = 0;
  [[nodiscard]] virtual Result<> remove(RegistrationId id) = 0;

  /// Of what else can be waited for: armed once. A handle that is null or no handle has to be refused here.
  [[nodiscard]] virtual Result<RegistrationId> add_handle(NativeHandle handle, Token token) {
    static_cast<void>(handle), static_cast<void>(token);
    return failure(std::errc::function_not_supported);
  }
  /// Packets with this key are events with that token from now on. Error: invalid_argument when there is no such key.
  [[nodiscard]] virtual Result<std::uintptr_t> completion_key(Token token) {
    static_cast<void>(token);
    return failure(std::errc::function_not_supported);
  }
  /// What ends on the handle queues packets with the key of the token. As for add_handle: any handle.
  [[nodiscard]] virtual Result<> associate(NativeHandle handle, Token token) {
    static_cast<void>(handle), static_cast<void>(token);
    return failure(std::errc::function_not_supported);
  }
  /// remove, and whether a signal was taken that no wait has reported.
  [[nodiscard]] virtual Result<bool> withdraw(RegistrationId id) {
    const auto removed = remove(id);
    if (!removed) return failure(removed.error());
    return false;
  }

  /// Poller has checked the arguments: `buffer` is not empty, `timeout` not negative.
  [[nodiscard]] virtual Result<WaitResult> wait(std::span<Event> buffer,
                                                std::optional<std::chrono::nanoseconds> timeout) = 0;
  /// Takes no lock: it may interrupt any other function, in a signal handler.
  virtual void wake() noexcept = 0;
  /// What another loop watches. A backend that runs on a simulated kernel has none.
  [[nodiscard]] virtual Result<NativeHandle> native_handle() { return failure(std::errc::function_not_supported); }
  [[nodiscard]] virtual Stats stats() const noexcept = 0;

  /// Gives everything back to the system; called once, by ~Poller. Only errors come of what is asked afterwards.
  virtual void close() noexcept = 0;
};

/// The system's own: epoll on Linux, AFD on Windows.
[[nodiscard]] Result<std::shared_ptr<Backend>> create_backend(const PollerOptions& options);

}  // namespace reactor
