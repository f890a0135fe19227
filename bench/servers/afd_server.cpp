// SPDX-License-Identifier: MIT
// AFD_POLL without a library, to measure what each way of waiting costs when connections are few: a poll for each
// socket and a dequeue with a buffer for one packet or for many, or one synchronous poll for all sockets.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include <reactor/nt/kernel.hpp>

#include "../common/synchronous_afd.hpp"
#include "service.hpp"

namespace bench {

namespace {

using namespace reactor::nt;

ULONG mask_of(Interest interest) {
  const auto wants = [interest](Interest direction) { return (interest & direction) != Interest::none; };
  constexpr ULONG always = AFD_POLL_DISCONNECT | AFD_POLL_ABORT | AFD_POLL_LOCAL_CLOSE | AFD_POLL_CONNECT_FAIL;
  return always | (wants(Interest::readable) ? AFD_POLL_RECEIVE | AFD_POLL_ACCEPT : 0) |
         (wants(Interest::writable) ? AFD_POLL_SEND : 0);
}

bool is_readable(ULONG events) { return (events & ~AFD_POLL_SEND) != 0; }

/// A connection, or the listener, which has no Echo.
struct Member {
  std::unique_ptr<Echo> echo;
  HANDLE base = nullptr;
  Interest interest = Interest::readable;
  IO_STATUS_BLOCK iosb{};
  AfdPollOne poll{};
};

class AfdServer {
 public:
  explicit AfdServer(Service& service) : service_(service), kernel_(*value_or_fail(system_kernel(), "the kernel")) {}

  /// A poll for each socket, as in wepoll: all polls are submitted before the next wait.
  [[noreturn]] void serve_by_packets(std::size_t packets_max) {
    const HANDLE port = value_or_fail(kernel_.create_port(), "create_port");
    const HANDLE helper = value_or_fail(kernel_.open_helper(port, 1), "open_helper");
    std::vector<FILE_IO_COMPLETION_INFORMATION> packets(packets_max);
    std::vector<Member*> to_arm{join(nullptr)};
    service_.open([](Json&) {});
    while (true) {
      for (Member* member : to_arm) arm(helper, *member);
      to_arm.clear();
      ULONG count = 0;
      if (kernel_.dequeue(port, packets, count, std::nullopt) != STATUS_SUCCESS) fail("dequeue");
      for (const auto& packet : std::span(packets).first(count)) {
        auto* member = static_cast<Member*>(packet.ApcContext);
        if (member->echo == nullptr) {
          service_.accept_all([&](Echo echo) { to_arm.push_back(join(std::make_unique<Echo>(std::move(echo)))); });
        }
        if (member->echo == nullptr || on_ready(*member, member->poll.handle.Events)) {
          to_arm.push_back(member);
        } else {
          leave(member);
        }
      }
    }
  }

  /// One poll that lists all sockets and returns when one of them is ready.
  [[noreturn]] void serve_synchronously() {
    SynchronousAfd afd(kernel_);
    join(nullptr);
    service_.open([](Json&) {});
    while (true) {
      const auto ready = afd.poll(members_, [](const auto& member) {
        return AFD_POLL_HANDLE_INFO{member->base, mask_of(member->interest), 0};
      });
      // Both are in the same order. New members are appended; those that leave are erased after the loop.
      std::size_t at = 0;
      bool has_closed = false;
      for (const AFD_POLL_HANDLE_INFO& entry : ready) {
        while (members_[at]->base != entry.Handle) at++;
        if (members_[at]->echo == nullptr) {
          service_.accept_all([&](Echo echo) { join(std::make_unique<Echo>(std::move(echo))); });
        } else if (!on_ready(*members_[at], entry.Events)) {
          members_[at]->echo.reset();
          members_[at]->base = nullptr;
          has_closed = true;
        }
      }
      if (!has_closed) continue;
      const auto closed = std::erase_if(members_, [](const auto& member) { return member->base == nullptr; });
      service_.counters().closed.add(closed);
    }
  }

 private:
  Member* join(std::unique_ptr<Echo> echo) {
    const auto socket = echo ? echo->stream().native() : service_.listener().native();
    auto member = std::make_unique<Member>();
    member->echo = std::move(echo);
    member->base = value_or_fail(kernel_.base_socket(static_cast<SocketNumber>(socket)), "base_socket");
    return members_.emplace_back(std::move(member)).get();
  }

  void leave(Member* member) {
    std::erase_if(members_, [member](const auto& each) { return each.get() == member; });
    service_.counters().closed.add(1);
  }

  bool on_ready(Member& member, ULONG events) {
    const auto interest = member.echo->ready(service_.counters(), is_readable(events));
    member.interest = interest.value_or(Interest::none);
    return interest.has_value();
  }

  void arm(HANDLE helper, Member& member) {
    member.poll = {{poll_never_times_out, 1, 0}, {member.base, mask_of(member.interest), 0}};
    if (!NT_SUCCESS(kernel_.poll(helper, member.iosb, member.poll.info, sizeof member.poll, &member))) fail("poll");
  }

  Service& service_;
  Kernel& kernel_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace

void serve_afd(Service& service) {
  AfdServer server(service);
  const std::string& kind = service.settings().kind;
  if (kind == "afd-synchronous") server.serve_synchronously();
  server.serve_by_packets(kind == "afd-1-packet" ? 1 : 256);
}

}  // namespace bench
