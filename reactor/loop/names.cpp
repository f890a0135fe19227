// SPDX-License-Identifier: MIT
#include <reactor/loop/names.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/questions.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/net/names.hpp>

namespace reactor {

namespace {

// Numbers need no resolver.
std::optional<Address> number(const std::string& host, std::uint16_t port) {
  const std::string text = std::to_string(port);
  if (const auto ipv4 = Address::parse(host + ":" + text); ipv4 && host.find('*') == std::string::npos) return *ipv4;
  if (const auto ipv6 = Address::parse("[" + host + "]:" + text)) return *ipv6;
  return std::nullopt;
}

}  // namespace

// Without c-ares, every question is the system's.
#ifdef REACTOR_LOOP_CARES
Resolver::Resolver(Loop& loop, ResolverOptions options) : options_(std::move(options)) {
  if (options_.by_system) thread_ = std::make_shared<detail::ResolverThread>(loop.core());
}
#else
Resolver::Resolver(Loop& loop, ResolverOptions options)
    : options_(std::move(options)), thread_(std::make_shared<detail::ResolverThread>(loop.core())) {}
#endif

Resolver::Resolver(Resolver&&) noexcept = default;
Resolver& Resolver::operator=(Resolver&& other) noexcept {
  if (thread_) thread_->end();
  options_ = std::move(other.options_);
  thread_ = std::move(other.thread_);
  return *this;
}
Resolver::~Resolver() {
  if (thread_) thread_->end();
}

Task<Result<std::vector<Address>>> Resolver::resolve(std::string host, std::uint16_t port) {
  std::vector<Address> addresses;
  if (const auto address = number(host, port)) {
    addresses.push_back(*address);
    co_return addresses;
  }
  if (auto known = sys::addresses_at_once(host, port)) co_return std::move(*known);
#ifdef REACTOR_LOOP_CARES
  if (!thread_) co_return co_await detail::ask_cares(std::move(host), port, options_.servers);
#endif
  co_return co_await detail::ask_thread(thread_, std::move(host), port);
}

namespace {

struct Race {
  std::vector<Address> left;  // the next one last
  On<TcpStream> winner;
  std::error_code last_error = failure(std::errc::invalid_argument).error();
  std::size_t running = 0;
  Condition changed;
};

Task<> attempt(Race& race, Address to) {
  auto connected = co_await connect(to);
  --race.running;
  if (connected) {
    if (!race.winner.is_open()) race.winner = std::move(*connected);
  } else {
    race.last_error = connected.error();
  }
  race.changed.notify_all();
}

// Of one family and the other by turns, beginning with the family that is preferred.
std::vector<Address> by_turns(std::vector<Address> addresses) {
  std::vector<Address> first;
  std::vector<Address> second;
  for (const Address& address : addresses) {
    (address.family() == addresses.front().family() ? first : second).push_back(address);
  }
  std::vector<Address> ordered;
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) ordered.push_back(first[i]);
    if (i < second.size()) ordered.push_back(second[i]);
  }
  return ordered;
}

}  // namespace

Task<Result<On<TcpStream>>> connect_any(std::vector<Address> addresses, std::chrono::milliseconds stagger) {
  Race race;
  race.left = by_turns(std::move(addresses));
  std::ranges::reverse(race.left);
  TaskGroup attempts(co_await this_task(), OnFailure::keep_going);
  while (!race.winner.is_open() && (!race.left.empty() || race.running != 0)) {
    if (!race.left.empty()) {
      ++race.running;
      attempts.spawn(attempt(race, race.left.back()));
      race.left.pop_back();
    }
    const auto time = race.left.empty() ? Clock::duration::max() : Clock::duration(stagger);
    const auto changed = co_await with_timeout(time, race.changed.wait());
    if (!changed && changed.error() == std::errc::operation_canceled) {
      race.last_error = changed.error();
      break;
    }
  }
  attempts.stop();
  const auto joined = co_await attempts.join();
  if (!joined) co_return failure(joined.error());
  if (!race.winner.is_open()) co_return failure(race.last_error);
  co_return std::move(race.winner);
}

Task<Result<On<TcpStream>>> connect(Resolver& resolver, std::string host, std::uint16_t port) {
  auto addresses = co_await resolver.resolve(std::move(host), port);
  if (!addresses) co_return failure(addresses.error());
  co_return co_await connect_any(std::move(*addresses));
}

}  // namespace reactor
