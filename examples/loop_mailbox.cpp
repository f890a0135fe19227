// SPDX-License-Identifier: MIT
// The mailbox example with a Loop: lines come in over TCP, worker threads turn them into upper case, and the replies go
// back in order. loop_mailbox [ADDRESS]
#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/loop.hpp>
#include <reactor/loop/reader.hpp>
#include <reactor/loop/sockets.hpp>

#include "loop_support.hpp"

namespace {

using namespace reactor;

/// Threads that run jobs.
class Workers {
 public:
  Workers() {
    for (std::thread& thread : threads_) thread = std::thread([this] { work(); });
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void run(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_ending_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool is_ending_ = false;
  std::array<std::thread, 3> threads_;
};

std::string upper(std::string line) {
  for (char& c : line) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return line;
}

/// Runs on a worker, while the task waits. The answer lives until the worker has given it, also if the task is stopped.
Task<Result<std::string>> upper_by_worker(Loop& loop, Workers& workers, std::string line) {
  struct Answer {
    std::string text;
    bool has_come = false;
    Condition changed;
  };
  const std::shared_ptr<Answer> answer(new Answer);
  workers.run([&loop, answer, line = std::move(line)] {
    loop.post([answer, text = upper(line)]() mutable {
      answer->text = std::move(text);
      answer->has_come = true;
      answer->changed.notify_all();
    });
  });
  while (!answer->has_come) {
    if (const auto waited = co_await answer->changed.wait(); !waited) co_return failure(waited.error());
  }
  co_return std::move(answer->text);
}

Task<> serve(Loop& loop, Workers& workers, On<TcpStream> stream) {
  BufferedReader reader(stream);
  for (;;) {
    const auto line = co_await reader.read_line();
    if (!line) co_return;
    auto reply = co_await upper_by_worker(loop, workers, std::string(*line) + '\n');
    if (!reply) co_return;
    if (const auto sent = co_await stream.send(*reply); !sent) co_return;
  }
}

Task<Result<>> accept_all(Loop& loop, Workers& workers, On<TcpListener> listener) {
  TaskGroup clients(co_await this_task());
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return failure(accepted.error());
    clients.spawn(serve(loop, workers, std::move(accepted->stream)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto loop = example::value_or_exit(Loop::create(), "loop");
  auto listener = example::listen(argc > 1 ? argv[1] : "127.0.0.1:0");
  Workers workers;  // declared after the loop, so its threads end first
  return loop.run(accept_all(loop, workers, std::move(listener))) ? 0 : 1;
}
