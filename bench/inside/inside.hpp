// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <reactor/poller.hpp>

namespace bench {

/// Where sockets are registered: one for each kind that is compared.
class Registrar {
 public:
  Registrar() = default;
  Registrar(const Registrar&) = delete;
  Registrar& operator=(const Registrar&) = delete;
  virtual ~Registrar() = default;

  virtual void add(reactor::NativeSocket socket) = 0;  ///< for reading; nothing will come
  virtual void remove_all() = 0;
  /// Until the kernel has been asked what is to be asked, or has given back all it held.
  virtual void settle() = 0;
  /// For registrations, by the kind's own count; 0 if it has none.
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

/// Null for a kind that this build or this system does not have.
[[nodiscard]] std::unique_ptr<Registrar> make_registrar(std::string_view kind);
[[nodiscard]] std::unique_ptr<Sleeper> make_sleeper(std::string_view kind);

/// Peers, in files of their own.
[[nodiscard]] std::unique_ptr<Registrar> make_asio_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_asio_sleeper();
[[nodiscard]] std::unique_ptr<Registrar> make_libevent_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_uv_sleeper();
[[nodiscard]] std::unique_ptr<Registrar> make_epoll_registrar();
[[nodiscard]] std::unique_ptr<Registrar> make_wepoll_registrar();
[[nodiscard]] std::unique_ptr<Sleeper> make_epoll_sleeper();

}  // namespace bench
