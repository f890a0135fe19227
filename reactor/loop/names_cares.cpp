// SPDX-License-Identifier: MIT
// c-ares reports which sockets it waits for (its socket-state callback), and is called when one of them is ready or its
// time-out has passed. Each question has a channel of its own, so giving it up is destroying that.
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <ares.h>
#include <sys/time.h>

#include <reactor/loop/condition.hpp>
#include <reactor/loop/group.hpp>
#include <reactor/loop/questions.hpp>
#include <reactor/loop/signals.hpp>
#include <reactor/loop/time.hpp>

namespace reactor::detail {

namespace {

std::error_code error_of(int status) noexcept {
  switch (status) {
    case ARES_ENOMEM: return failure(std::errc::not_enough_memory).error();
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL: return failure(std::errc::resource_unavailable_try_again).error();
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return failure(std::errc::operation_canceled).error();
    default: return failure(std::errc::host_unreachable).error();
  }
}

class Channel {
 public:
  explicit Channel(const ThisTask& within) noexcept : watching_(within, OnFailure::keep_going) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    if (channel_ != nullptr) ares_destroy(channel_);  // closes its sockets, and calls both callbacks
  }

  [[nodiscard]] Result<> open(const Addresses& servers) {
    ares_options options{};
    options.sock_state_cb = [](void* self, ares_socket_t socket, int reads, int writes) {
      static_cast<Channel*>(self)->on_socket(socket, reads != 0, writes != 0);
    };
    options.sock_state_cb_data = this;
    if (const int status = ares_init_options(&channel_, &options, ARES_OPT_SOCK_STATE_CB); status != ARES_SUCCESS) {
      return failure(error_of(status));
    }
    if (servers.empty()) return {};
    std::string list;
    for (const Address& server : servers) list.append(list.empty() ? "" : ",").append(server.text());
    const int status = ares_set_servers_ports_csv(channel_, list.c_str());
    if (status != ARES_SUCCESS) return failure(std::errc::invalid_argument);
    return {};
  }

  void ask(const std::string& host, std::uint16_t port) {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = ARES_AI_NUMERICSERV;
    const auto answered = [](void* self, int status, int, ares_addrinfo* found) {
      static_cast<Channel*>(self)->on_answer(status, found);
    };
    ares_getaddrinfo(channel_, host.c_str(), std::to_string(port).c_str(), &hints, answered, this);
  }

  [[nodiscard]] const std::optional<Result<Addresses>>& answer() const noexcept { return answer_; }
  /// Until the answer has come, or the next time-out is another one.
  [[nodiscard]] auto wait() { return with_timeout(time_left(), changed_.wait()); }
  void process_timeouts() { ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD); }

 private:
  struct Watched {
    explicit Watched(ares_socket_t of) : socket(of), watch(of) {}
    ares_socket_t socket;
    std::optional<Watch> watch;  // none: closed
    bool wants_read = false, wants_write = false;
    bool is_reading = false, is_writing = false;  // a task waits
  };

  [[nodiscard]] Clock::duration time_left() {
    timeval time{};
    if (ares_timeout(channel_, nullptr, &time) == nullptr) return Clock::duration::max();
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  }

  void on_socket(ares_socket_t socket, bool reads, bool writes) noexcept {
    Watched* watched = nullptr;
    for (Watched& each : sockets_) {
      if (each.watch && each.socket == socket) watched = &each;
    }
    if (watched == nullptr) {
      if (!reads && !writes) return;
      watched = &sockets_.emplace_back(socket);
    }
    watched->wants_read = reads;
    watched->wants_write = writes;
    if (!reads && !writes) return watched->watch.reset();  // it is about to be closed
    if (reads && !std::exchange(watched->is_reading, true)) watching_.spawn(read(*watched));
    if (writes && !std::exchange(watched->is_writing, true)) watching_.spawn(write(*watched));
  }

  void on_answer(int status, ares_addrinfo* found) noexcept {
    const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> owner(found, ares_freeaddrinfo);
    if (status == ARES_SUCCESS) {
      Addresses addresses;
      for (const ares_addrinfo_node* each = found->nodes; each != nullptr; each = each->ai_next) {
        const std::span bytes(reinterpret_cast<const std::byte*>(each->ai_addr), std::size_t{each->ai_addrlen});
        if (const auto address = Address::from_native(bytes)) addresses.push_back(*address);
      }
      answer_ = std::move(addresses);
    } else {
      answer_ = failure(error_of(status));
    }
    changed_.notify_all();
  }

  Task<> read(Watched& watched) {
    while (watched.watch && watched.wants_read) {
      const auto ready = co_await watched.watch->readable();
      if (!ready || !watched.watch) co_return;
      ares_process_fd(channel_, watched.socket, ARES_SOCKET_BAD);
      changed_.notify_all();
    }
    watched.is_reading = false;
  }

  Task<> write(Watched& watched) {
    while (watched.watch && watched.wants_write) {
      const auto ready = co_await watched.watch->writable();
      if (!ready || !watched.watch) co_return;
      ares_process_fd(channel_, ARES_SOCKET_BAD, watched.socket);
      changed_.notify_all();
    }
    watched.is_writing = false;
  }

  std::list<Watched> sockets_;
  std::optional<Result<Addresses>> answer_;
  Condition changed_;
  TaskGroup watching_;  // its tasks use what stands above
  ares_channel channel_ = nullptr;
};

}  // namespace

Task<Result<Addresses>> ask_cares(std::string host, std::uint16_t port, Addresses servers) {
  Channel channel(co_await this_task());
  const auto opened = channel.open(servers);
  if (!opened) co_return failure(opened.error());
  channel.ask(host, port);
  while (!channel.answer()) {
    const auto waited = co_await channel.wait();
    if (waited) continue;
    if (waited.error() != std::errc::timed_out) co_return failure(waited.error());
    channel.process_timeouts();
  }
  auto answer = channel.answer().value_or(failure(std::errc::host_unreachable));
  if (answer && answer->empty()) co_return failure(std::errc::host_unreachable);
  co_return answer;
}

}  // namespace reactor::detail
