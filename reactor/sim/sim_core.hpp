// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <reactor/nt/kernel.hpp>

#include <reactor/sim/sim_faults.hpp>
#include <reactor/sim/sim_random.hpp>

// What the parts of the simulator share. Not for tests: they have SimKernel and SimNet.

namespace reactor::sim {

struct Endpoint;
struct Port;
struct Helper;

/// What NtAllocateReserveObject makes: serves one queued packet at a time.
struct Reserve {
  bool is_queued = false;
};

/// A socket with a layered provider on top: its base, or none when the provider hides it.
struct Layered {
  reactor::nt::SocketNumber base = 0;
};

using Object = std::variant<std::monostate, std::shared_ptr<Port>, std::shared_ptr<Helper>, std::shared_ptr<Reserve>,
                            std::shared_ptr<Endpoint>, Layered>;

/// One table for all handles of the process, as on Windows: multiples of 4, and what was closed last is used first.
class HandleTable {
 public:
  std::uintptr_t open(Object object) {
    std::uintptr_t number = 0;
    if (free_.empty()) {
      number = last_ += 4;
    } else {
      number = free_.back();
      free_.pop_back();
    }
    open_[number] = std::move(object);
    return number;
  }
  /// The object that was open there; monostate when none was.
  Object close(std::uintptr_t number) {
    const auto found = open_.find(number);
    if (found == open_.end()) return {};
    Object object = std::move(found->second);
    open_.erase(found);
    free_.push_back(number);
    return object;
  }
  [[nodiscard]] const Object& at(std::uintptr_t number) const {
    static const Object none;
    const auto found = open_.find(number);
    return found == open_.end() ? none : found->second;
  }
  template <class T>
  [[nodiscard]] std::shared_ptr<T> find(std::uintptr_t number) const {
    const auto* found = std::get_if<std::shared_ptr<T>>(&at(number));
    return found == nullptr ? nullptr : *found;
  }
  template <class Function>
  void for_each(Function&& function) const {
    for (const auto& [number, object] : open_) function(object);
  }

 private:
  std::map<std::uintptr_t, Object> open_;
  std::vector<std::uintptr_t> free_;
  std::uintptr_t last_ = 0x100;
};

/// The lock, the clock, what is due, the handles, chance, and what was done wrong.
class Core {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  using Lock = std::unique_lock<std::mutex>;

  explicit Core(Options chosen) : options(std::move(chosen)), random(options.seed) {}

  std::mutex mutex;  // guards all of the simulator
  std::condition_variable changed;
  Options options;
  Random random;
  HandleTable handles;
  std::vector<std::string> violations;

  [[nodiscard]] bool is_windows() const { return options.flavour == Flavour::windows; }
  [[nodiscard]] nanoseconds draw(const Delay& delay) { return random.between(delay.low, delay.high); }

  [[nodiscard]] nanoseconds now() const {
    return options.real_threads ? nanoseconds(std::chrono::steady_clock::now().time_since_epoch()) : clock_;
  }
  /// Simulated time only; never back.
  void jump_to(nanoseconds time) { clock_ = std::max(clock_, time); }

  /// `what` is done when it is time, in order of time; of what is due at the same time, in the order of these calls.
  void after(nanoseconds delay, std::function<void()> what) {
    due_.emplace(now() + delay, std::move(what));
    if (options.real_threads) changed.notify_all();
  }
  void run_due() {
    while (!due_.empty() && due_.begin()->first <= now()) {
      const auto what = std::move(due_.begin()->second);
      due_.erase(due_.begin());
      what();
    }
  }
  [[nodiscard]] std::optional<nanoseconds> next_due() const {
    return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
  }

  void violate(std::string what) {
    if (is_traced()) trace("VIOLATION " + what);
    if (violations.size() < 100) violations.push_back(std::move(what));
  }

  [[nodiscard]] bool is_traced() const { return options.trace != nullptr; }
  void trace(const std::string& line) const;

 private:
  nanoseconds clock_{std::chrono::hours(1)};
  std::multimap<nanoseconds, std::function<void()>> due_;
};

/// A number as tests and traces write it.
[[nodiscard]] std::string hex(std::uintptr_t number);
[[nodiscard]] std::string event_names(reactor::nt::ULONG events);

}  // namespace reactor::sim
