// SPDX-License-Identifier: MIT
#pragma once

// How names are resolved. Not installed.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <reactor/address.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/task.hpp>
#include <reactor/result.hpp>

namespace reactor::detail {

using Addresses = std::vector<Address>;

struct Question;

/// getaddrinfo on a thread of its own, one question after the other. Lives until both the resolver and the thread have
/// let go.
class ResolverThread : public std::enable_shared_from_this<ResolverThread> {
 public:
  explicit ResolverThread(Core& core) noexcept : core_(&core) {}

  void ask(std::shared_ptr<Question> question);
  void end();

 private:
  void work();

  Core* core_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Question>> questions_;
  bool has_thread_ = false;
  bool has_ended_ = false;
};

[[nodiscard]] Task<Result<Addresses>> ask_thread(std::shared_ptr<ResolverThread> thread, std::string host,
                                                 std::uint16_t port);

/// By c-ares, on the loop's own thread. `servers`: none for those of the system's configuration.
[[nodiscard]] Task<Result<Addresses>> ask_cares(std::string host, std::uint16_t port, Addresses servers);

}  // namespace reactor::detail
