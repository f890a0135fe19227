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

namespace detail {
class ResolverThread;
}

/// How names are resolved; the defaults are right for programs.
struct ResolverOptions {
  /// Ask the system's resolver (getaddrinfo) even where c-ares is built in: for names that DNS and the hosts file do
  /// not have, such as those of mDNS.
  bool by_system = false;
  /// DNS servers to ask in the place of those that the system is configured with. By c-ares only.
  std::vector<Address> servers;
};

/// Finds the addresses of names, without blocking the loop. Numeric addresses are no question and wait for nothing.
///
/// Where the library was built with c-ares (CMake option REACTOR_CARES), that asks DNS servers and the hosts file on
/// the loop's own thread; any number of questions are under way at a time. Else the system's resolver (getaddrinfo) is
/// called on a helper thread, which is started for the first name: one question after the other.
///
/// On the thread of its loop only, which it must not outlive, and it must outlive its questions. Destroying it does not
/// wait for the helper thread, which ends by itself after it.
class REACTOR_LOOP_API Resolver {
 public:
  explicit Resolver(Loop& loop, ResolverOptions options = {});  ///< for tasks on this loop
  Resolver(Resolver&&) noexcept;                                ///< the other one may only be assigned to or destroyed
  Resolver& operator=(Resolver&&) noexcept;                     ///< the same
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();

  /// The addresses of a host, in the system's order of preference, with this port. `host` is a name ("example.org"), or
  /// a number ("127.0.0.1", "::1"). Errors: host_unreachable when there is no such name or it has no address,
  /// resource_unavailable_try_again when no answer came, not_enough_memory. Cancelled: the question is given up, and an
  /// answer that comes later is dropped.
  [[nodiscard]] Task<Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port);

 private:
  ResolverOptions options_;
  std::shared_ptr<detail::ResolverThread> thread_;  // none: by c-ares
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
