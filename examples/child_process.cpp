// SPDX-License-Identifier: MIT
// Waits for a child process, for its output and for a socket in one loop:  child_process [--self-test]
#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <reactor/poller.hpp>
#include <reactor/socket.hpp>

namespace {

using namespace std::chrono_literals;
using reactor::Event, reactor::Interest, reactor::Poller, reactor::Token, reactor::UdpSocket;

template <class T>
T value_or_exit(reactor::Result<T> result, const char* what) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "child_process: %s: %s\n", what, result.error().message().c_str());
  std::exit(1);
}

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "child_process: %s failed\n", what);
  std::exit(1);
}

#ifdef _WIN32

/// This program once more, with `--child`. Its output comes by a named pipe, since only that can be read overlapped.
class Child {
 public:
  Child(Poller& poller, Token of_end, Token of_output) : poller_(poller) {
    static int number = 0;
    const std::wstring name =
        L"\\\\.\\pipe\\child_process." + std::to_wstring(GetCurrentProcessId()) + L"." + std::to_wstring(++number);
    constexpr DWORD mode = PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE;
    pipe_ = CreateNamedPipeW(name.c_str(), mode, PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 0, 4096, 0, nullptr);
    require(pipe_ != INVALID_HANDLE_VALUE, "CreateNamedPipe");
    require(poller_.associate(pipe_, of_output).has_value(), "associate");
    start(name);
    end_ = value_or_exit(poller_.add_handle(process_, of_end), "add_handle");
    begin_read();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  ~Child() {
    end_read();
    CloseHandle(pipe_);
    CloseHandle(process_);
  }

  /// Of an event of the output: appends what has come, and reads on. False: that was all.
  bool take_output(const Event& event, std::string& text) {
    is_reading_ = false;
    const auto completion = event.completion();
    if (!completion || event.error()) return false;  // the pipe is broken: the child has closed its end
    text.append(buffer_.data(), completion->bytes);
    return begin_read();
  }

  /// Once it has ended.
  [[nodiscard]] int exit_code() const {
    DWORD code = 0;
    require(GetExitCodeProcess(process_, &code) != 0, "GetExitCodeProcess");
    return static_cast<int>(code);
  }

 private:
  void start(const std::wstring& pipe_name) {
    SECURITY_ATTRIBUTES inherited{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
    HANDLE output = CreateFileW(pipe_name.c_str(), GENERIC_WRITE, 0, &inherited, OPEN_EXISTING, 0, nullptr);
    require(output != INVALID_HANDLE_VALUE, "CreateFile");
    std::array<wchar_t, 1024> path{};
    require(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())) != 0, "GetModuleFileName");
    std::wstring command = L"\"" + std::wstring(path.data()) + L"\" --child";
    STARTUPINFOW how{};
    how.cb = sizeof how;
    how.dwFlags = STARTF_USESTDHANDLES;
    how.hStdOutput = output;
    PROCESS_INFORMATION made{};
    require(CreateProcessW(nullptr, command.data(), nullptr, nullptr, TRUE, 0, nullptr, nullptr, &how, &made) != 0,
            "CreateProcess");
    CloseHandle(made.hThread);
    CloseHandle(output);  // else the pipe would never end
    process_ = made.hProcess;
  }

  /// One read at a time. Its end is an event, also if it has something at once.
  bool begin_read() {
    overlapped_ = {};
    is_reading_ = ReadFile(pipe_, buffer_.data(), static_cast<DWORD>(buffer_.size()), nullptr, &overlapped_) != 0 ||
                  GetLastError() == ERROR_IO_PENDING;
    return is_reading_;
  }

  /// The buffer is the kernel's until the event of the read has come, so it is waited for. Other events are of no use
  /// any more.
  void end_read() {
    CancelIoEx(pipe_, &overlapped_);
    while (is_reading_) {
      std::array<Event, 4> buffer;
      const auto events = value_or_exit(poller_.wait(buffer, 30s), "wait");
      require(!events.empty(), "cancel");
      for (const Event& event : events) {
        const auto completion = event.completion();
        if (completion && completion->overlapped == &overlapped_) is_reading_ = false;
      }
    }
  }

  Poller& poller_;
  HANDLE pipe_ = nullptr, process_ = nullptr;
  OVERLAPPED overlapped_{};
  std::array<char, 4096> buffer_{};
  bool is_reading_ = false;
  reactor::Registration end_;
};

#else

/// This program once more, with `--child`. A pidfd says when it has ended, and its output comes by a pipe.
class Child {
 public:
  Child(Poller& poller, Token of_end, Token of_output) {
    start();
    process_ = static_cast<int>(::syscall(SYS_pidfd_open, id_, 0));
    require(process_ >= 0, "pidfd_open");
    end_ = value_or_exit(poller.add_handle(process_, of_end), "add_handle");
    output_ready_ = value_or_exit(poller.add_handle(output_, of_output), "add_handle");
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    (void)end_.remove();
    (void)output_ready_.remove();
    ::close(process_);
    ::close(output_);
  }

  /// Of an event of the output: appends what has come, and waits for more. False: that was all.
  bool take_output(const Event& /*event*/, std::string& text) {
    std::array<char, 4096> buffer{};
    const ssize_t size = ::read(output_, buffer.data(), buffer.size());
    if (size > 0) text.append(buffer.data(), static_cast<std::size_t>(size));
    const bool has_more = size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
    return has_more && output_ready_.rearm().has_value();
  }

  /// Once it has ended.
  [[nodiscard]] int exit_code() const {
    int status = 0;
    require(::waitpid(id_, &status, 0) == id_, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  void start() {
    std::array<int, 2> ends{};
    require(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe2");
    output_ = ends[0];
    require(::fcntl(output_, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    std::string name = "child_process", option = "--child";
    std::array<char*, 3> arguments{name.data(), option.data(), nullptr};
    posix_spawn_file_actions_t actions;
    require(::posix_spawn_file_actions_init(&actions) == 0, "posix_spawn_file_actions_init");
    require(::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0, "adddup2");
    require(::posix_spawn(&id_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ) == 0, "posix_spawn");
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);  // else the pipe would never end
  }

  pid_t id_ = 0;
  int process_ = -1, output_ = -1;
  reactor::Registration end_, output_ready_;
};

#endif

/// Runs a child and answers each datagram with the output that has come so far.
class Runner {
 public:
  [[nodiscard]] reactor::Address address() const { return value_or_exit(socket_.local_address(), "address"); }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] int answers() const noexcept { return answers_; }
  /// It has ended, and all its output has come.
  [[nodiscard]] bool is_done() const noexcept { return exit_code_.has_value() && !has_output_; }
  [[nodiscard]] int exit_code() const noexcept { return exit_code_.value_or(-1); }

  /// False when nothing happened for that time.
  bool run_once(std::chrono::nanoseconds timeout) {
    std::array<Event, 4> buffer;
    const auto events = value_or_exit(poller_.wait(buffer, timeout), "wait");
    for (const Event& event : events) {
      if (event.token() == of_end) exit_code_ = child_.exit_code();
      if (event.token() == of_output) has_output_ = child_.take_output(event, text_);
      if (event.token() == of_socket) answer();
    }
    return !events.empty();
  }

 private:
  static constexpr Token of_end{1}, of_output{2}, of_socket{3};

  void answer() {
    std::array<std::byte, 64> question{};
    const auto received = socket_.receive_from(question);
    if (!received) return;
    const auto text = std::as_bytes(std::span(text_)).first(std::min<std::size_t>(text_.size(), 1024));
    if (socket_.send_to(text, received->from)) ++answers_;
  }

  Poller poller_ = value_or_exit(Poller::create(), "poller");
  UdpSocket socket_ = value_or_exit(UdpSocket::bind(reactor::Address::loopback_ipv4()), "bind");
  reactor::Registration question_ = value_or_exit(poller_.add(socket_.native(), of_socket, Interest::readable), "add");
  Child child_{poller_, of_end, of_output};
  std::string text_;
  std::optional<int> exit_code_;
  bool has_output_ = true;
  int answers_ = 0;
};

/// More than a pipe holds.
constexpr int lines = 20000, code = 7;

int child() {
  for (int i = 0; i < lines; ++i) std::fputs("a line\n", stdout);
  return code;
}

/// The first child is left while it writes, the second writes all.
int self_test() {
  {
    Runner left;
    require(left.run_once(30s), "a child that is left");
  }
  Runner runner;
  const auto client = value_or_exit(UdpSocket::bind(reactor::Address::loopback_ipv4()), "bind");
  require(client.send_to(std::as_bytes(std::span("?", 1)), runner.address()).has_value(), "send");
  while (!runner.is_done() || runner.answers() == 0) {
    if (!runner.run_once(30s)) return std::puts("FAIL child_process: nothing happens"), 1;
  }
  const auto seen = std::ranges::count(runner.text(), '\n');
  if (seen != lines || runner.exit_code() != code) return std::puts("FAIL child_process: its output or its end"), 1;
  return std::puts("PASS child_process"), 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view argument = argc > 1 ? argv[1] : "";
  if (argument == "--child") return child();
  if (argument == "--self-test") return self_test();
  Runner runner;
  std::printf("it answers at %s\n", runner.address().text().c_str());
  while (!runner.is_done()) runner.run_once(std::chrono::hours(1));
  std::printf("%zu bytes of output, exit code %d\n", runner.text().size(), runner.exit_code());
}
