// SPDX-License-Identifier: MIT
#include <reactor/loop/handles.hpp>

#include <thread>

#include "socket_support.hpp"

#ifdef _WIN32
#include <reactor/nt/windows.hpp>
#else
#include <csignal>
#include <cstdint>

#include <spawn.h>
#include <sys/eventfd.h>
#include <unistd.h>
#endif

namespace {

using namespace loop_test;

// An auto-reset event; an eventfd.
class Bell {
 public:
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
#ifdef _WIN32
  Bell() : native_(::CreateEventW(nullptr, FALSE, FALSE, nullptr)) {}
  ~Bell() { ::CloseHandle(native_); }
  void ring() const { CHECK(::SetEvent(native_) != 0); }
  // What a wait takes by itself.
  void clear() const {}
  [[nodiscard]] bool rings() const { return ::WaitForSingleObject(native_, 0) == 0; }
#else
  Bell() : native_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Bell() { ::close(native_); }
  void ring() const {
    const std::uint64_t one = 1;
    CHECK(::write(native_, &one, sizeof one) == sizeof one);
  }
  void clear() const { CHECK(rings()); }
  [[nodiscard]] bool rings() const {
    std::uint64_t count = 0;
    return ::read(native_, &count, sizeof count) == sizeof count;
  }
#endif
  [[nodiscard]] NativeHandle native() const { return native_; }

 private:
  NativeHandle native_;
};

// A process that ends with this code.
class Child {
 public:
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
#ifdef _WIN32
  explicit Child(int code) {
    STARTUPINFOW startup{};
    startup.cb = sizeof startup;
    std::wstring line = L"cmd.exe /c exit " + std::to_wstring(code);
    REQUIRE(::CreateProcessW(nullptr, line.data(), nullptr, nullptr, FALSE, 0, nullptr, nullptr, &startup, &started_) !=
            0);
  }
  ~Child() {
    ::CloseHandle(started_.hThread);
    ::CloseHandle(started_.hProcess);
  }
  [[nodiscard]] NativeProcess native() const { return started_.hProcess; }

 private:
  PROCESS_INFORMATION started_{};
#else
  explicit Child(int code) : Child("exit " + std::to_string(code)) {}
  explicit Child(std::string line) {
    std::string shell = "sh";
    std::string option = "-c";
    std::array<char*, 4> arguments{shell.data(), option.data(), line.data(), nullptr};
    REQUIRE(::posix_spawn(&pid_, "/bin/sh", nullptr, nullptr, arguments.data(), nullptr) == 0);
  }
  ~Child() = default;
  [[nodiscard]] NativeProcess native() const { return pid_; }

 private:
  pid_t pid_ = 0;
#endif
};

TEST_CASE("handles: signalled before and during the wait, by this thread and by another") {
  run([]() -> Task<> {
    const Bell bell;
    HandleWatch watch(bell.native());
    bell.ring();
    must(co_await with_timeout(10s, watch.signalled()));
    bell.clear();
    CHECK(error_of(co_await with_timeout(1ms, watch.signalled())) == errc::timed_out);
    std::thread other([&] { bell.ring(); });
    must(co_await with_timeout(10s, watch.signalled()));
    other.join();
    bell.clear();
    CHECK(error_of(co_await with_timeout(1ms, watch.signalled())) == errc::timed_out);
    CHECK_FALSE(watch.withdraw());
    CHECK(error_of(co_await watch.signalled()) == errc::bad_file_descriptor);
  });
}

TEST_CASE("handles: a signal that comes after the wait was cancelled is the next one's") {
  run([]() -> Task<> {
    const Bell bell;
    HandleWatch watch(bell.native());
    CHECK(error_of(co_await with_timeout(1ms, watch.signalled())) == errc::timed_out);
    bell.ring();
    static_cast<void>(co_await sleep_for(20ms));  // the loop takes it meanwhile, or not: it is returned all the same
    must(co_await with_timeout(10s, watch.signalled()));
    bell.clear();
    TaskGroup group(co_await this_task());
    group.spawn([&]() -> Task<> { CHECK(error_of(co_await watch.signalled()) == errc::operation_canceled); });
    static_cast<void>(co_await yield());
    group.stop();
    must(co_await group.join());
  });
}

TEST_CASE("handles: withdraw reports a signal that no wait has returned") {
  run([]() -> Task<> {
    const Bell bell;
    HandleWatch watch(bell.native());
    CHECK(error_of(co_await with_timeout(1ms, watch.signalled())) == errc::timed_out);
    bell.ring();
    static_cast<void>(co_await sleep_for(20ms));
    const bool was_signalled = watch.withdraw();
    CHECK((was_signalled || bell.rings()));
#ifndef _WIN32
    CHECK(was_signalled);  // its event has come, though nothing was taken
#endif
  });
}

TEST_CASE("handles: of two that fire together, the first ends the other, whose signal is not lost") {
  run([]() -> Task<> {
    const Bell one, two;
    HandleWatch first(one.native());
    HandleWatch second(two.native());
    bool is_reported = false;
    TaskGroup group(co_await this_task());
    const auto race = [&](HandleWatch& own, HandleWatch& other) -> Task<> {
      const auto signalled = co_await own.signalled();
      if (signalled) is_reported = other.withdraw();
    };
    group.spawn(race(first, second));
    group.spawn(race(second, first));
    static_cast<void>(co_await yield());
    one.ring();
    two.ring();
    must(co_await group.join());
#ifdef _WIN32
    CHECK((is_reported || one.rings() || two.rings()));
#else
    CHECK(is_reported);  // both are events of one wait
#endif
  });
}

TEST_CASE("handles: one that is closed is refused") {
  run([]() -> Task<> {
    NativeHandle closed{};
    {
      const Bell bell;
      closed = bell.native();
    }
    HandleWatch watch(closed);
    CHECK(error_of(co_await watch.signalled()) == errc::bad_file_descriptor);
  });
}

TEST_CASE("child: its exit code, before, during and after its end") {
  run([]() -> Task<> {
    const Child child(7);
    auto watch = must(ChildWatch::create(child.native()));
    static_cast<void>(co_await with_timeout(1ms, watch.ended()));  // it may have ended already
    CHECK(must(co_await with_timeout(25s, watch.ended())) == 7);
    CHECK(must(co_await watch.ended()) == 7);
  });
}

#ifndef _WIN32
TEST_CASE("child: killed by a signal, and one that something else has waited for") {
  run([]() -> Task<> {
    const Child killed("kill -TERM $$");
    auto watch = must(ChildWatch::create(killed.native()));
    CHECK(must(co_await with_timeout(25s, watch.ended())) == 128 + SIGTERM);
    auto again = ChildWatch::create(killed.native());
    CHECK(error_of(again) == errc::no_such_process);
  });
}
#endif

}  // namespace
