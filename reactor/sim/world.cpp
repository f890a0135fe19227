// SPDX-License-Identifier: MIT
#include <reactor/sim/world.hpp>

#include <algorithm>
#include <array>
#include <cstdio>

#include <reactor/net/system.hpp>
#include <reactor/sim/sockaddr.hpp>
#include <reactor/sim/world_state.hpp>

namespace reactor::sim {

namespace {

thread_local WorldState* current_world = nullptr;

Options options_of(const WorldOptions& chosen, const HostOptions& host) {
  Options options;
  options.flavour = chosen.rules == Rules::of_windows ? Flavour::windows : Flavour::epoll;
  options.send_capacity = host.send_buffer_bytes;
  options.receive_capacity = host.receive_buffer_bytes;
  // Two polls on one socket are what an old Windows gets wrong: a fault, and not how a host is.
  options.entangles = false;
  options.checks_caller = false;  // the library is checked elsewhere
  options.completion = {chosen.completion.low, chosen.completion.high};
  options.faults.poll_refused = options.faults.post_refused = chosen.faults.refused_memory;
  return options;
}

Name ip_from(std::string_view text, std::size_t size) {
  Name name;
  name.kind = size == 4 ? Name::Kind::ipv4 : Name::Kind::ipv6;
  if (!sys::ip_from_text(text, std::as_writable_bytes(std::span(name.ip)).first(size))) {
    throw std::invalid_argument("not an IP address: " + std::string(text));
  }
  return name;
}

}  // namespace

WorldState* WorldState::current() noexcept { return current_world; }

WorldState::WorldState(World& of, std::uint64_t chosen_seed, const WorldOptions& chosen)
    : world(of),
      seed(chosen_seed),
      options(chosen),
      timeline(std::make_shared<Timeline>(chosen_seed, false)),
      outer_(current_world),
      sleepers_([](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : a.second->id < b.second->id;
      }) {
  timeline->scheduler = this;
  trace.is_recorded = options.records_trace;
  current_world = this;
  schedule_faults();
}

// All programs are unwound, which may take simulated time.
WorldState::~WorldState() {
  is_ending_ = true;
  scripts_.clear();
  for (const auto& host : hosts) kill(host->state());
  for (const auto& host : hosts) host->state().paused_until = {};
  for (int rounds = 0; !fibers_.empty() && rounds < 10; rounds++) {
    for (const auto& host : hosts) kill(host->state());
    advance(std::nullopt, nullptr, true);
  }
  for (auto& fiber : fibers_) static_cast<void>(fiber.release());  // it catches everything, and waits on
  hosts.clear();
  current_world = outer_;
}

Host& WorldState::add_host(std::string name, std::string_view ipv4, const HostOptions& chosen) {
  auto state = std::make_unique<HostState>();
  HostState& host = *state;
  host.world = this;
  host.name = std::move(name);
  host.index = hosts.size();
  host.descriptors_max = chosen.descriptors_max;
  Name v4;
  v4.kind = Name::Kind::ipv4;
  v4.ip[0] = 10;
  for (std::size_t number = hosts.size() + 1; ipv4.empty(); number++) {
    v4.ip[2] = static_cast<std::uint8_t>(number / 250);
    v4.ip[3] = static_cast<std::uint8_t>(number % 250 + (number >= 250 ? 1 : 0));
    if (host_of(v4) == nullptr) break;
  }
  if (!ipv4.empty()) v4 = ip_from(ipv4, 4);
  Name v6;
  v6.kind = Name::Kind::ipv6;
  v6.ip[0] = 0xFD;
  std::copy_n(v4.ip.begin(), 4, v6.ip.begin() + 12);
  if (!chosen.ipv6.empty()) v6 = ip_from(chosen.ipv6, 16);
  if (host_of(v4) != nullptr || host_of(v6) != nullptr) throw std::invalid_argument("two hosts with one address");

  const Options inside = options_of(options, chosen);
  if (options.rules == Rules::of_windows) {
    host.kernel = std::make_unique<SimKernel>(timeline, inside, this);
  } else {
    host.linux_host = std::make_unique<LinuxHost>(timeline, inside, this);
  }
  host.stack().name = host.name;
  host.stack().addresses = {v4, v6};
  host.stack().index = host.index;
  by_ip_[{reinterpret_cast<const char*>(v4.ip.data()), 4}] = &host;
  by_ip_[{reinterpret_cast<const char*>(v6.ip.data()), 16}] = &host;
  hosts.push_back(std::make_unique<Host>(std::move(state)));
  host.host = hosts.back().get();
  return *hosts.back();
}

Host& WorldState::find_host(std::string_view name) {
  const auto found = std::ranges::find(hosts, name, [](const auto& host) -> std::string_view { return host->name(); });
  if (found == hosts.end()) throw std::out_of_range("no host of that name: " + std::string(name));
  return **found;
}

void WorldState::note(HostState* host, std::string_view text) {
  trace.note(elapsed(), host == nullptr ? std::string_view("*") : std::string_view(host->name), text);
}

void WorldState::crash(HostState& host, Crash how) {
  if (!host.stack().is_up) return;
  note(&host, how == Crash::power_cut ? "CRASH: power cut" : "CRASH: its programs are killed");
  kill(host);
  host.stack().lose_all(how == Crash::process_kill);
  host.core().handles.close_sockets();
  host.open_sockets = 0;
  host.stack().is_up = how == Crash::process_kill;  // its system goes on
  host.is_down = true;
  if (running_ != nullptr && running_->host == &host) throw ProgramKilled();
}

void WorldState::restart(HostState& host) {
  if (!host.is_down) return;
  note(&host, "restarted");
  host.is_down = false;
  host.stack().is_up = true;
  host.paused_until = {};
  for (const auto& program : host.programs) begin(host, program);
}

void WorldState::pause(HostState& host, nanoseconds time) {
  note(&host, "paused for " + std::to_string(std::chrono::duration<double>(time).count()) + " s");
  host.paused_until = std::max(host.paused_until, timeline->now() + time);
}

bool WorldState::write_svg(const std::string& path, std::size_t rows_max) const {
  std::vector<std::string> names;
  for (const auto& host : hosts) names.push_back(host->name());
  return trace.write_svg(path, rows_max, names, [this](const Name& name) {
    const HostState* const host = host_of(name);
    return host == nullptr ? std::string() : host->name;
  });
}

// Host.

Host::Host(std::unique_ptr<HostState> state) noexcept : state_(std::move(state)) {}
Host::~Host() = default;

Host& Host::run(std::function<void()> program) { return run({}, std::move(program)); }
Host& Host::serve(std::function<void()> program) { return serve({}, std::move(program)); }

Host& Host::run(std::string name, std::function<void()> program) {
  state_->world->add_program(*state_, {std::move(name), std::move(program), false});
  return *this;
}

Host& Host::serve(std::string name, std::function<void()> program) {
  state_->world->add_program(*state_, {std::move(name), std::move(program), true});
  return *this;
}

const std::string& Host::name() const noexcept { return state_->name; }
std::size_t Host::index() const noexcept { return state_->index; }
Address Host::address(std::uint16_t port) const { return address_from(state_->stack().addresses[0], port); }
Address Host::address_ipv6(std::uint16_t port) const { return address_from(state_->stack().addresses[1], port); }
void Host::crash(Crash how) { state_->world->crash(*state_, how); }
void Host::restart() { state_->world->restart(*state_); }
bool Host::is_up() const noexcept { return !state_->is_down; }
void Host::pause(std::chrono::nanoseconds time) { state_->world->pause(*state_, time); }
void Host::set_descriptors_max(std::size_t count) { state_->descriptors_max = count; }

std::size_t Host::open_descriptors() const { return state_->open_sockets; }

// World.

World::World(std::uint64_t seed, const WorldOptions& options)
    : state_(std::make_unique<WorldState>(*this, seed, options)) {}
World::~World() = default;

World* World::current() noexcept { return current_world == nullptr ? nullptr : &current_world->world; }

Host& World::host(std::string name, std::string_view ipv4, const HostOptions& options) {
  return state_->add_host(std::move(name), ipv4, options);
}
Host& World::find(std::string_view name) { return state_->find_host(name); }

void World::run_for(nanoseconds time) { state_->advance(state_->timeline->now() + time, nullptr, false); }

void World::run_until_idle() {
  state_->advance(std::nullopt, nullptr, true);
  if (state_->has_deadlock()) throw state_->failure_of("deadlock: all wait for ever" + state_->who_waits());
}

void World::run_until(const std::function<bool()>& is_true, nanoseconds limit) {
  state_->advance(state_->timeline->now() + limit, is_true, true);
  if (is_true()) return;
  throw state_->failure_of("what run_until waits for does not come" + state_->who_waits());
}

World::nanoseconds World::elapsed() const noexcept { return state_->elapsed(); }
void World::after(nanoseconds time, std::function<void()> action) { state_->after(time, std::move(action)); }

void World::set_link(const Host& a, const Host& b, const Link& link) {
  set_link_one_way(a, b, link);
  set_link_one_way(b, a, link);
}
void World::set_link_one_way(const Host& from, const Host& to, const Link& link) {
  state_->way(from.index(), to.index()).link = link;
}
void World::partition(const Host& a, const Host& b) {
  state_->cut(a, b, true);
  state_->cut(b, a, true);
}
void World::partition_one_way(const Host& from, const Host& to) { state_->cut(from, to, true); }
void World::heal(const Host& a, const Host& b) {
  state_->cut(a, b, false);
  state_->cut(b, a, false);
}
void World::heal_all() { state_->heal_all(); }

std::uint64_t World::seed() const noexcept { return state_->seed; }
std::size_t World::random(std::size_t count) { return state_->timeline->random.below(count); }
std::uint64_t World::trace_hash() const noexcept { return state_->trace.hash(); }
void World::note(std::string_view text) { state_->note(state_->here(), text); }
void World::record_trace() { state_->trace.is_recorded = true; }
std::string World::trace_text() const { return state_->trace.text(); }
bool World::write_pcapng(const std::string& path) const { return state_->trace.write_pcapng(path); }
bool World::write_svg(const std::string& path, std::size_t rows_max) const { return state_->write_svg(path, rows_max); }

}  // namespace reactor::sim
