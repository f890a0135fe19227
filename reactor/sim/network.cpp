// SPDX-License-Identifier: MIT
//
// What is between the hosts, and the faults that come by themselves.
#include <algorithm>
#include <cmath>

#include <reactor/sim/world_state.hpp>

namespace reactor::sim {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

namespace {

constexpr Span loopback_latency{};  // as on Linux: what is sent has arrived when the send returns

std::string key_of(const Name& name) {
  const std::size_t size = name.kind == Name::Kind::ipv4 ? 4 : 16;
  return {reinterpret_cast<const char*>(name.ip.data()), size};
}

}  // namespace

HostState* WorldState::host_of(const Name& name) const {
  const auto found = by_ip_.find(key_of(name));
  return found == by_ip_.end() ? nullptr : found->second;
}

Stack* WorldState::find(const Name& name) {
  HostState* const host = host_of(name);
  return host == nullptr ? nullptr : &host->stack();
}

WorldState::Way& WorldState::way(std::size_t from, std::size_t to) {
  if (from >= ways_.size()) ways_.resize(from + 1);
  auto& there = ways_[from];
  if (to >= there.size()) there.resize(to + 1);
  auto& one = there[to];
  if (one == nullptr) one = std::make_unique<Way>(Way{options.link, false, {}});
  return *one;
}

bool WorldState::is_linked(const Stack& from, const Stack& to) { return !way(from.index, to.index).is_cut; }

nanoseconds WorldState::latency(const Stack& from, const Stack& to, std::size_t bytes) {
  if (&from == &to) return draw(loopback_latency);
  Way& one = way(from.index, to.index);
  nanoseconds time = draw(one.link.latency);
  if (one.link.bytes_per_second > 0) {
    const auto now = timeline->now();
    const double seconds = static_cast<double>(bytes + 40) / static_cast<double>(one.link.bytes_per_second);
    one.free_at = std::max(one.free_at, now) + nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
    time += one.free_at - now;
  }
  return time;
}

nanoseconds WorldState::transit(const Stack& from, const Stack& to, std::size_t bytes) {
  nanoseconds time = latency(from, to, bytes);
  if (&from == &to) return time;
  const int lost = way(from.index, to.index).link.lost;
  // Sent again after the time-out of TCP, which doubles.
  for (nanoseconds timeout = 200ms; timeout < 10s && chance(lost); timeout *= 2) time += timeout;
  return time;
}

void WorldState::datagram_transits(const Stack& from, const Stack& to, std::size_t bytes,
                                   std::vector<nanoseconds>& out) {
  const Link& link = way(from.index, to.index).link;
  if (chance(link.lost)) return;
  const int copies = chance(link.repeated) ? 2 : 1;
  for (int i = 0; i < copies; i++) {
    nanoseconds time = latency(from, to, bytes);
    if (chance(link.reordered)) time += timeline->random.between(0ns, 20ms);
    out.push_back(time);
  }
}

void WorldState::note(Fate fate, Packet packet, const Stack& at, const Name& from, const Name& to, std::size_t bytes,
                      std::span<const std::byte> data) {
  trace.packet(elapsed(), at.name, fate, packet, from, to, bytes, data);
}

void WorldState::cut(const Host& from, const Host& to, bool is_cut) {
  way(from.index(), to.index()).is_cut = is_cut;
  note(nullptr, (is_cut ? "cut: " : "healed: ") + from.name() + " -> " + to.name());
}

void WorldState::heal_all() {
  for (const auto& there : ways_) {
    for (const auto& one : there) {
      if (one != nullptr) one->is_cut = false;
    }
  }
  note(nullptr, "healed: everything");
}

void WorldState::fault_later(int per_hour, const std::function<void()>& fault) {
  if (per_hour <= 0) return;
  // Times between that an hour has so many of, drawn as of a Poisson process.
  const double drawn = (static_cast<double>(timeline->random.below(1'000'000)) + 0.5) / 1e6;
  const double seconds = -std::log(drawn) * 3600.0 / per_hour;
  after(
      nanoseconds(static_cast<std::int64_t>(seconds * 1e9)),
      [this, per_hour, fault] {
        if (!hosts.empty()) fault();
        fault_later(per_hour, fault);
      },
      false);
}

void WorldState::schedule_faults() {
  const auto any_host = [this]() -> Host& { return *hosts[timeline->random.below(hosts.size())]; };
  fault_later(options.faults.crashes, [this, any_host] {
    Host& host = any_host();
    if (!host.is_up()) return;
    host.crash(timeline->random.below(2) == 0 ? Crash::power_cut : Crash::process_kill);
    after(draw(options.faults.down), [&host] { host.restart(); });
  });
  fault_later(options.faults.partitions, [this, any_host] {
    Host& a = any_host();
    Host& b = any_host();
    if (&a == &b) return;
    const bool is_one_way = timeline->random.below(3) == 0;
    cut(a, b, true);
    if (!is_one_way) cut(b, a, true);
    after(draw(options.faults.down), [this, &a, &b] {
      cut(a, b, false);
      cut(b, a, false);
    });
  });
  fault_later(options.faults.pauses, [this, any_host] { any_host().pause(draw(options.faults.down)); });
}

}  // namespace reactor::sim
