// SPDX-License-Identifier: MIT
// A Task as a sender, against a stand-in for stdexec: see stand_in/stdexec/execution.hpp.
#include <stdexcept>
#include <thread>
#include <variant>

#include <reactor/loop/stdexec.hpp>

#include "socket_support.hpp"

#ifdef __cpp_lib_jthread

namespace {

using namespace loop_test;

struct Stopped {};
using Outcome = std::variant<std::monostate, int, std::error_code, std::exception_ptr, Stopped>;

struct Env {
  std::stop_token stop_token;
};

struct Receiver {
  void set_value(int value) && noexcept { *outcome = value; }
  void set_value() && noexcept { *outcome = 0; }
  void set_error(std::error_code error) && noexcept { *outcome = error; }
  void set_error(std::exception_ptr error) && noexcept { *outcome = std::move(error); }
  void set_stopped() && noexcept { *outcome = Stopped{}; }
  [[nodiscard]] Env get_env() const noexcept { return {token}; }

  Outcome* outcome;
  std::stop_token token;
};

// Runs the task as a sender, until the receiver is completed.
template <class T>
Outcome outcome_of(Loop& loop, Task<T> task, std::stop_token token = {}) {
  Outcome outcome;
  auto operation = as_sender(loop, std::move(task)).connect(Receiver{&outcome, std::move(token)});
  operation.start();
  for (int turns = 0; std::holds_alternative<std::monostate>(outcome) && turns != 1000; ++turns) {
    must(loop.run_once(20s));
  }
  return outcome;
}

Task<int> seven() {
  static_cast<void>(co_await sleep_for(1ms));
  co_return 7;
}
Task<> nothing() { co_return; }
Task<Result<int>> fails(errc why) { co_return failure(why); }
Task<int> throws() {
  static_cast<void>(co_await yield());
  throw std::runtime_error("as it should");
}
Task<Result<>> sleeps() { co_return co_await sleep_for(1h); }

TEST_CASE("a task as a sender completes with its value, its error, or what it has thrown") {
  auto loop = must(Loop::create());
  CHECK(std::get<int>(outcome_of(loop, seven())) == 7);
  CHECK(std::get<int>(outcome_of(loop, nothing())) == 0);
  CHECK(std::get<std::error_code>(outcome_of(loop, fails(errc::timed_out))) == errc::timed_out);
  CHECK_THROWS_AS(std::rethrow_exception(std::get<std::exception_ptr>(outcome_of(loop, throws()))), std::runtime_error);
  CHECK(loop.stats().tasks == 0);
}

TEST_CASE("a sender is stopped by its receiver's token: before it starts, and by another thread") {
  auto loop = must(Loop::create());
  std::stop_source before;
  before.request_stop();
  CHECK(std::holds_alternative<Stopped>(outcome_of(loop, sleeps(), before.get_token())));
  std::stop_source during;
  std::thread other([&] { during.request_stop(); });
  CHECK(std::holds_alternative<Stopped>(outcome_of(loop, sleeps(), during.get_token())));
  other.join();
  CHECK(loop.stats().tasks == 0);
}

TEST_CASE("a sender that is dropped while its task waits destroys the task, and a late stop finds nothing") {
  auto loop = must(Loop::create());
  std::stop_source source;
  Outcome outcome;
  {
    auto operation = as_sender(loop, sleeps()).connect(Receiver{&outcome, source.get_token()});
    operation.start();
    must(loop.run_once(0s));
    CHECK(loop.stats().armed_timers == 1);
  }
  source.request_stop();
  must(loop.run_once(0s));
  CHECK(std::holds_alternative<std::monostate>(outcome));
  CHECK(loop.stats().armed_timers == 0);
}

}  // namespace

#endif
