// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/address.hpp>
#include <reactor/loop/export.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/sockets.hpp>
#include <reactor/loop/task.hpp>

namespace reactor {

/// Finds the addresses of names, without blocking the loop: by the system's resolver (getaddrinfo), on a helper thread
/// of its own that is started when the first name is asked for. Numeric addresses never leave the loop's thread.
///
/// On the thread of its loop only, which it must not outlive. Destroying it does not wait for an answer that is under
/// way: the helper thread ends by itself after it.
class REACTOR_LOOP_API Resolver {
 public:
  explicit Resolver(Loop& loop);             ///< for tasks on this loop
  Resolver(Resolver&&) noexcept;             ///< the other one may only be assigned to or destroyed
  Resolver& operator=(Resolver&&) noexcept;  ///< the same
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  /// The addresses of a host, in the system's order of preference, with this port. `host` is a name ("example.org"), or
  /// a number ("127.0.0.1", "::1"). Errors: host_unreachable when there is no such name or it has no address,
  /// resource_unavailable_try_again when no answer came, not_enough_memory. Cancelled: the answer is dropped.
  [[nodiscard]] Task<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port);

  class Helper;

 private:
  std::shared_ptr<Helper> helper_;
};

/// Connects to the first of the addresses that accepts, as RFC 8305 says ("happy eyeballs"): the families take turns,
/// the next attempt begins `stagger` after the one before or as soon as that fails, and the others are cancelled when
/// one has connected. Error: that of the last attempt that failed; invalid_argument without addresses. Cancelled: all
/// attempts are given up.
[[nodiscard]] REACTOR_LOOP_API Task<Result<On<TcpStream>>> connect_any(
    std::vector<Address> addresses, std::chrono::milliseconds stagger = std::chrono::milliseconds(250));

/// Resolves the name and connects to it. Errors: those of Resolver::resolve and of connect_any. `resolver` must live
/// until then. Give it a time-out: `co_await with_timeout(10s, connect(resolver, "example.org", 80))`.
[[nodiscard]] REACTOR_LOOP_API Task<Result<On<TcpStream>>> connect(Resolver& resolver, std::string host,
                                                                   std::uint16_t port);

}  // namespace reactor
