// SPDX-License-Identifier: MIT
#include <reactor/sim/check_processes.hpp>

#include <utility>

#ifndef _WIN32
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace reactor::sim {

namespace {

Report one_after_the_other(unsigned count, const Work& work) {
  Report all;
  for (unsigned which = 0; which < count && !all.has_failed; which++) {
    volatile std::uint64_t seed = 0;
    Report one = work(which, seed);
    one.seeds_run += all.seeds_run;
    all = std::move(one);
  }
  return all;
}

}  // namespace

#ifdef _WIN32

Report in_processes(unsigned count, const Work& work) { return one_after_the_other(count, work); }

#else

namespace {

struct Child {
  pid_t process = -1;
  int pipe = -1;
  std::string received;
};

void put(std::string& out, std::uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
void put(std::string& out, const std::string& text) {
  put(out, text.size());
  out += text;
}
std::uint64_t get_number(const std::string& from, std::size_t& at) {
  std::uint64_t value = 0;
  if (from.size() - at >= sizeof value) std::memcpy(&value, from.data() + at, sizeof value);
  at += sizeof value;
  return value;
}
std::string get_text(const std::string& from, std::size_t& at) {
  const auto size = static_cast<std::size_t>(get_number(from, at));
  std::string text = at > from.size() ? std::string() : from.substr(at, size);
  at += size;
  return text;
}

std::string packed(const Report& report) {
  std::string bytes;
  put(bytes, report.has_failed ? 1 : 0);
  put(bytes, report.seed);
  put(bytes, report.seeds_run);
  put(bytes, report.message);
  put(bytes, report.trace);
  return bytes;
}

Report unpacked(const std::string& bytes) {
  Report report;
  std::size_t at = 0;
  report.has_failed = get_number(bytes, at) != 0;
  report.seed = get_number(bytes, at);
  report.seeds_run = get_number(bytes, at);
  report.message = get_text(bytes, at);
  report.trace = get_text(bytes, at);
  return report;
}

/// Memory that the processes share.
class Shared {
 public:
  explicit Shared(std::size_t count) : bytes_(count * sizeof(std::uint64_t)) {
    void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) seeds_ = static_cast<volatile std::uint64_t*>(memory);
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    if (seeds_ != nullptr) ::munmap(const_cast<std::uint64_t*>(seeds_), bytes_);
  }
  [[nodiscard]] volatile std::uint64_t* seeds() const noexcept { return seeds_; }

 private:
  std::size_t bytes_;
  volatile std::uint64_t* seeds_ = nullptr;
};

[[noreturn]] void be_child(int pipe, unsigned which, volatile std::uint64_t& seed, const Work& work) {
  const std::string bytes = packed(work(which, seed));
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t written = ::write(pipe, bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno != EINTR) break;
    if (written > 0) at += static_cast<std::size_t>(written);
  }
  std::fflush(nullptr);
  ::_exit(0);  // nothing of the parent's is to be undone
}

Child start(unsigned which, volatile std::uint64_t& seed, const Work& work) {
  std::array<int, 2> ends{-1, -1};
  Child child;
  if (::pipe(ends.data()) != 0) return child;
  std::fflush(nullptr);  // or the child would print it again
  child.process = ::fork();
  if (child.process == 0) {
    ::close(ends[0]);
    be_child(ends[1], which, seed, work);
  }
  ::close(ends[1]);
  child.pipe = ends[0];
  if (child.process > 0) return child;
  ::close(ends[0]);
  return {};
}

/// What it said, or how it ended if it said nothing.
Report finish(Child& child, std::uint64_t seed) {
  ::close(child.pipe);
  child.pipe = -1;
  int status = 0;
  while (::waitpid(child.process, &status, 0) < 0 && errno == EINTR) continue;
  if (!child.received.empty()) return unpacked(child.received);
  Report report;
  report.has_failed = true;
  report.seed = seed;
  report.message = WIFSIGNALED(status) ? "the process was ended by signal " + std::to_string(WTERMSIG(status))
                                       : "the process ended with code " + std::to_string(WEXITSTATUS(status));
  return report;
}

}  // namespace

Report in_processes(unsigned count, const Work& work) {
  const Shared shared(count);
  if (shared.seeds() == nullptr) return one_after_the_other(count, work);
  std::vector<Child> children;
  for (unsigned which = 0; which < count; which++) children.push_back(start(which, shared.seeds()[which], work));
  if (std::ranges::any_of(children, [](const Child& child) { return child.pipe < 0; })) {  // no process can be had
    for (Child& child : children) {
      if (child.pipe >= 0) static_cast<void>(::kill(child.process, SIGKILL));
      if (child.pipe >= 0) static_cast<void>(finish(child, 0));
    }
    return one_after_the_other(count, work);
  }
  Report all;
  for (unsigned left = count; left > 0;) {
    std::vector<pollfd> watched;
    for (const Child& child : children) watched.push_back({child.pipe, POLLIN, 0});
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < children.size(); i++) {
      if (children[i].pipe < 0 || watched[i].revents == 0) continue;
      std::array<char, 65536> bytes;
      const ssize_t size = ::read(children[i].pipe, bytes.data(), bytes.size());
      if (size > 0) children[i].received.append(bytes.data(), static_cast<std::size_t>(size));
      if (size > 0 || (size < 0 && errno == EINTR)) continue;
      left--;
      Report one = finish(children[i], shared.seeds()[i]);
      one.seeds_run += all.seeds_run;
      const bool is_first = one.has_failed && !all.has_failed;
      all.seeds_run = one.seeds_run;
      if (!is_first) continue;
      all = std::move(one);
      for (const Child& other : children) {
        if (other.pipe >= 0) ::kill(other.process, SIGKILL);
      }
    }
  }
  return all;
}

#endif

}  // namespace reactor::sim
