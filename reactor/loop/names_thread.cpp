// SPDX-License-Identifier: MIT
#include <optional>
#include <thread>
#include <utility>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/questions.hpp>
#include <reactor/net/names.hpp>

namespace reactor::detail {

/// What one task waits for. The answer is posted to the loop, so only the loop's thread touches it.
struct Question {
  std::string host;
  std::uint16_t port = 0;
  std::optional<Result<Addresses>> answer;
  Condition has_answer;
};

void ResolverThread::ask(std::shared_ptr<Question> question) {
  const std::lock_guard lock(mutex_);
  questions_.push_back(std::move(question));
  if (!has_thread_) {
    std::thread([own = shared_from_this()] { own->work(); }).detach();
    has_thread_ = true;
  }
  changed_.notify_one();
}

void ResolverThread::end() {
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  changed_.notify_one();
}

void ResolverThread::work() {
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
    post(*core_, std::make_unique<Posted<decltype(deliver)>>(std::move(deliver)));
  }
}

Task<Result<Addresses>> ask_thread(std::shared_ptr<ResolverThread> thread, std::string host, std::uint16_t port) {
  std::shared_ptr<Question> question(new Question);
  question->host = std::move(host);
  question->port = port;
  thread->ask(question);
  while (!question->answer) {
    const auto waited = co_await question->has_answer.wait();
    if (!waited) co_return failure(waited.error());
  }
  auto answer = std::move(question->answer).value_or(failure(std::errc::host_unreachable));
  if (answer && answer->empty()) co_return failure(std::errc::host_unreachable);
  co_return answer;
}

}  // namespace reactor::detail
