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
#include <reactor/sim/sim_time.hpp>

// What the parts of the simulator share. Not for tests: they have SimKernel and SimNet.

namespace reactor::sim {

struct Endpoint;
struct Port;
struct Helper;
struct Waitable;
struct WaitPacket;

/// What NtAllocateReserveObject makes: serves one queued packet at a time.
struct Reserve {
  bool is_queued = false;
};

/// A socket with a layered provider on top: its base, or none when the provider hides it.
struct Layered {
  reactor::nt::SocketNumber base = 0;
};

using Object = std::variant<std::monostate, std::shared_ptr<Port>, std::shared_ptr<Helper>, std::shared_ptr<Reserve>,
                            std::shared_ptr<Endpoint>, Layered, std::shared_ptr<Waitable>, std::shared_ptr<WaitPacket>>;

/// One table for all handles of the process. As on Windows: multiples of 4, and what was closed last is used first. As
/// on Linux: the lowest number that is free.
class HandleTable {
 public:
  void number_as_linux() {
    last_ = 2;
    step_ = 1;
  }
  std::uintptr_t open(Object object) {
    std::uintptr_t number = 0;
    if (free_.empty()) {
      number = last_ += step_;
    } else if (step_ == 1) {
      std::ranges::pop_heap(free_, std::greater());
      number = free_.back();
      free_.pop_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    const std::size_t place = number / step_;
    if (place >= open_.size()) open_.resize(place + 1);
    open_[place] = std::move(object);
    count_++;
    return number;
  }
  /// The object that was open there; monostate when none was.
  Object close(std::uintptr_t number) {
    if (std::holds_alternative<std::monostate>(at(number))) return {};
    Object object = std::exchange(open_[number / step_], {});
    release_number(number);
    return object;
  }
  [[nodiscard]] const Object& at(std::uintptr_t number) const {
    static const Object none;
    return number % step_ == 0 && number / step_ < open_.size() ? open_[number / step_] : none;
  }
  template <class T>
  [[nodiscard]] std::shared_ptr<T> find(std::uintptr_t number) const {
    const auto* found = std::get_if<std::shared_ptr<T>>(&at(number));
    return found == nullptr ? nullptr : *found;
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  void close_sockets();
  template <class Function>
  void for_each(Function&& function) const {
    for (const auto& object : open_) function(object);  // of the free ones too, which are nothing
  }

 private:
  void release_number(std::uintptr_t number) {
    count_--;
    free_.push_back(number);
    if (step_ == 1) std::ranges::push_heap(free_, std::greater());
  }

  std::vector<Object> open_;  // by number
  std::size_t count_ = 0;
  std::vector<std::uintptr_t> free_;
  std::uintptr_t last_ = 0x100, step_ = 4;
};

/// What the parts of one host share: its handles and options, what was done wrong; and, with all hosts of the
/// simulation, the timeline.
class Core {
 public:
  using nanoseconds = std::chrono::nanoseconds;
  using Lock = std::unique_lock<std::mutex>;

  explicit Core(Options chosen) : Core(std::make_shared<Timeline>(chosen.seed, chosen.real_threads), chosen) {}
  Core(std::shared_ptr<Timeline> shared, Options chosen)
      : timeline(std::move(shared)),
        mutex(timeline->mutex),
        changed(timeline->changed),
        random(timeline->random),
        options(std::move(chosen)) {}

  std::shared_ptr<Timeline> timeline;
  std::mutex& mutex;
  std::condition_variable& changed;
  Random& random;
  Options options;
  HandleTable handles;
  std::vector<std::string> violations;

  [[nodiscard]] bool is_windows() const { return options.flavour == Flavour::windows; }
  [[nodiscard]] bool is_epoll() const { return options.flavour == Flavour::epoll; }
  [[nodiscard]] nanoseconds draw(const Delay& delay) { return random.between(delay.low, delay.high); }

  [[nodiscard]] nanoseconds now() const { return timeline->now(); }
  void jump_to(nanoseconds time) { timeline->jump_to(time); }
  void after(nanoseconds delay, std::function<void()> what) { timeline->after(delay, std::move(what)); }
  void run_due() { timeline->run_due(); }
  [[nodiscard]] std::optional<nanoseconds> next_due() const { return timeline->next_due(); }
  void wake(WaitQueue& queue) {
    if (!queue.fibers.empty()) timeline->scheduler->wake(queue);
  }

  void violate(std::string what) {
    if (is_traced()) trace("VIOLATION " + what);
    if (violations.size() < 100) violations.push_back(std::move(what));
  }

  [[nodiscard]] bool is_traced() const { return options.trace != nullptr; }
  void trace(const std::string& line) const;
};

/// A number as tests and traces write it.
[[nodiscard]] std::string hex(std::uintptr_t number);
[[nodiscard]] std::string event_names(reactor::nt::ULONG events);

}  // namespace reactor::sim
