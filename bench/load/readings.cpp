// SPDX-License-Identifier: MIT
#include "readings.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

#include "../common/arguments.hpp"

namespace bench {

namespace {

std::uint64_t read_clock(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) fail(std::string("clock_gettime: ") + std::strerror(errno));
  return (static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000) + static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

std::uint64_t now_ns() { return read_clock(CLOCK_MONOTONIC); }

std::uint64_t cpu_ns(int pid) {
  clockid_t clock{};
  if (clock_getcpuclockid(pid, &clock) != 0) fail("there is no process " + std::to_string(pid));
  return read_clock(clock);
}

std::uint64_t core_busy_ns(std::uint64_t core) {
  std::ifstream file("/proc/stat");
  const std::string wanted = "cpu" + std::to_string(core);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    // In clock ticks: user, nice, system, idle, waiting for I/O, interrupts, soft interrupts, stolen.
    std::array<std::uint64_t, 8> ticks{};
    fields >> name;
    if (name != wanted) continue;
    for (std::uint64_t& each : ticks) fields >> each;
    const std::uint64_t busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7];
    return busy * (1'000'000'000 / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK)));
  }
  fail("there is no core " + std::to_string(core));
}

std::uint64_t resident_bytes(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/statm";
  unsigned long long pages = 0, resident = 0;
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr || std::fscanf(file, "%llu %llu", &pages, &resident) != 2) fail("cannot read " + path);
  std::fclose(file);
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Control::Control(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval limit{.tv_sec = 20, .tv_usec = 0};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd_ < 0 || setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("the server's control port " + std::to_string(port) + ": " + std::strerror(errno));
  }
}

Control::~Control() { close(fd_); }

std::string Control::stats() {
  if (send(fd_, "stats\n", 6, MSG_NOSIGNAL) != 6) fail("the server has closed its control connection");
  std::string line;
  while (line.empty() || line.back() != '\n') {
    char part[4096];
    const ssize_t size = recv(fd_, part, sizeof part, 0);
    if (size <= 0) fail("the server does not answer on its control connection");
    line.append(part, static_cast<std::size_t>(size));
  }
  line.pop_back();
  return line;
}

std::uint64_t Control::number(std::string_view name) {
  const std::string text = stats();
  const std::string key = '"' + std::string(name) + "\": ";
  const std::size_t at = text.find(key);
  if (at == std::string::npos) fail("the server's answer has no number '" + std::string(name) + "': " + text);
  return std::strtoull(text.c_str() + at + key.size(), nullptr, 10);
}

Reading take_reading(Control& control, const std::vector<std::uint64_t>& pids, std::uint64_t core) {
  Reading reading;
  reading.server = control.stats();
  for (const std::uint64_t pid : pids) reading.cpu_ns.push_back(cpu_ns(static_cast<int>(pid)));
  reading.core_busy_ns = core_busy_ns(core);
  reading.time_ns = now_ns();
  return reading;
}

}  // namespace bench
