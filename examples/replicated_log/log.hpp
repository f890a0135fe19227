// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/address.hpp>
#include <reactor/poller.hpp>

/// A log that three servers keep. A client sends each entry to all of them, and is content when two have said that they
/// have it. An answer that does not come in time is asked for again.
namespace replicated_log {

struct Entry {
  std::uint64_t number;
  std::string text;

  friend bool operator==(const Entry&, const Entry&) = default;
};

/// A server's log: on disk in earnest, so it outlives the server.
using Log = std::vector<Entry>;

enum class Mistake : std::uint8_t {
  none,
  appends_again,  ///< the server appends what it is sent, and does not ask whether it has that already
};

class Server {
 public:
  Server(const reactor::Address& at, Log& log, Mistake mistake);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] reactor::Address address() const;
  [[nodiscard]] reactor::Waker waker() const;
  void run();  ///< until it is woken

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// True: two of the servers have the entry. False: not after so many tries; it may be in some logs all the same.
[[nodiscard]] bool append(std::span<const reactor::Address> servers, const Entry& entry, int tries_max,
                          std::chrono::milliseconds time_out = std::chrono::milliseconds(100));

}  // namespace replicated_log
