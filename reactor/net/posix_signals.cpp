// SPDX-License-Identifier: MIT
#include <reactor/mutex.hpp>
#include <reactor/net/signals.hpp>

#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>

#include <sys/signalfd.h>
#include <unistd.h>

namespace reactor::sys {

namespace {

std::unexpected<std::error_code> last_error(int error) noexcept {
  return failure(std::error_code(error, error_category()));
}

// What each signalfd has blocked, which was not blocked before.
Mutex mutex;
std::map<int, sigset_t>& blocked() {
  static std::map<int, sigset_t> by_descriptor;
  return by_descriptor;
}

}  // namespace

Result<Socket> open_signals(std::span<const int> signals) {
  sigset_t wanted;
  sigset_t before;
  sigset_t added;
  sigemptyset(&wanted);
  sigemptyset(&added);
  for (const int signal : signals) {
    if (sigaddset(&wanted, signal) != 0) return last_error(errno);
  }
  Socket opened(::signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!opened.is_open()) return last_error(errno);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &wanted, &before); error != 0) return last_error(error);
  for (const int signal : signals) {
    if (sigismember(&before, signal) == 0) sigaddset(&added, signal);
  }
  const std::lock_guard lock(mutex);
  blocked()[opened.native()] = added;
  return opened;
}

void forget_signals(NativeSocket socket) noexcept {
  const std::lock_guard lock(mutex);
  const auto found = blocked().find(socket);
  if (found == blocked().end()) return;
  ::pthread_sigmask(SIG_UNBLOCK, &found->second, nullptr);
  blocked().erase(found);
}

Result<int> take_signal(NativeSocket socket) noexcept {
  signalfd_siginfo info{};
  const ssize_t size = ::read(socket, &info, sizeof info);
  if (size < 0) return last_error(errno);
  return static_cast<int>(info.ssi_signo);
}

}  // namespace reactor::sys
