// SPDX-License-Identifier: MIT
#include <reactor/loop/names.hpp>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/time.hpp>
#include <reactor/net/names.hpp>

namespace reactor {

namespace {

/// What one task waits for. The answer is posted to the loop, so only the loop's thread touches it.
struct Question {
  std::string host;
  std::uint16_t port = 0;
  std::optional<Result<std::vector<Address>>> answer;
  Condition has_answer;
};

// Numbers need no resolver.
std::optional<Address> number(const std::string& host, std::uint16_t port) {
  const std::string text = std::to_string(port);
  if (const auto ipv4 = Address::parse(host + ":" + text); ipv4 && host.find('*') == std::string::npos) return *ipv4;
  if (const auto ipv6 = Address::parse("[" + host + "]:" + text)) return *ipv6;
  return std::nullopt;
}

}  // namespace

/// The thread, and what it has to do. Lives until both the resolver and the thread have let go.
class Resolver::Helper : public std::enable_shared_from_this<Resolver::Helper> {
 public:
  explicit Helper(detail::Core& core) noexcept : core_(&core) {}

  void ask(std::shared_ptr<Question> question) {
    const std::lock_guard lock(mutex_);
    questions_.push_back(std::move(question));
    if (!has_thread_) {
      std::thread([own = shared_from_this()] { own->work(); }).detach();
      has_thread_ = true;
    }
    changed_.notify_one();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    has_ended_ = true;
    changed_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return has_ended_ || !questions_.empty(); });
      if (has_ended_) return;
      std::shared_ptr<Question> question = std::move(questions_.front());
      questions_.pop_front();
      lock.unlock();
      auto answer = sys::addresses_of(question->host, question->port);
      lock.lock();
      if (has_ended_) return;  // the loop may have ended too
      auto deliver = [question = std::move(question), answer = std::move(answer)]() mutable {
        question->answer = std::move(answer);
        question->has_answer.notify_all();
      };
      detail::post(*core_, std::make_unique<detail::Posted<decltype(deliver)>>(std::move(deliver)));
    }
  }

  detail::Core* core_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Question>> questions_;
  bool has_thread_ = false;
  bool has_ended_ = false;
};

Resolver::Resolver(Loop& loop) : helper_(new Helper(loop.core())) {}
Resolver::Resolver(Resolver&&) noexcept = default;
Resolver& Resolver::operator=(Resolver&& other) noexcept {
  if (helper_) helper_->end();
  helper_ = std::move(other.helper_);
  return *this;
}
Resolver::~Resolver() {
  if (helper_) helper_->end();
}

Task<Result<std::vector<Address>>> Resolver::resolve(std::string host, std::uint16_t port) {
  std::vector<Address> addresses;
  if (const auto address = number(host, port)) {
    addresses.push_back(*address);
    co_return addresses;
  }
  if (auto known = sys::addresses_at_once(host, port)) co_return std::move(*known);
  std::shared_ptr<Question> question(new Question);
  question->host = std::move(host);
  question->port = port;
  helper_->ask(question);
  while (!question->answer) {
    const auto waited = co_await question->has_answer.wait();
    if (!waited) co_return failure(waited.error());
  }
  auto answer = std::move(question->answer).value_or(failure(std::errc::host_unreachable));
  if (answer && answer->empty()) co_return failure(std::errc::host_unreachable);
  co_return answer;
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
