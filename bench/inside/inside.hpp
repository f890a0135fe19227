// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <reactor/poller.hpp>

namespace bench {

/// Registers sockets: one class for each library that is compared.
class Registrar {
 public:
  Registrar() = default;
  Registrar(const Registrar&) = delete;
  Registrar& operator=(const Registrar&) = delete;
  virtual ~Registrar() = default;

  virtual void add(reactor::NativeSocket socket) = 0;  ///< for reading; it never becomes ready
  virtual void remove_all() = 0;
  /// Returns when all kernel calls that add or remove_all leave for later have been made, and what they cancelled has
  /// completed.
  virtual void settle() = 0;
  /// Memory of the registrations, as the library itself counts it; 0 if it does not.
  [[nodiscard]] virtual std::uint64_t memory_bytes() const { return 0; }
};

/// A loop that sleeps until another thread wakes it.
class Sleeper {
 public:
  Sleeper() = default;
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  virtual ~Sleeper() = default;

  virtual void wake() = 0;
  virtual void sleep() = 0;
};

/// Null for a kind that this build does not have.
[[nodiscard]] std::unique_ptr<Registrar> make_registrar(std::string_view kind);
[[nodiscard]] std::unique_ptr<Sleeper> make_sleeper(std::string_view kind);

// The peers, each defined in a file of its own.
[[nodiscard]] std::unique_ptr<Registrar> make_asio_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_asio_sleeper();
[[nodiscard]] std::unique_ptr<Registrar> make_libevent_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_uv_sleeper();
[[nodiscard]] std::unique_ptr<Registrar> make_epoll_registrar();
[[nodiscard]] std::unique_ptr<Registrar> make_wepoll_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_epoll_sleeper();

}  // namespace bench
