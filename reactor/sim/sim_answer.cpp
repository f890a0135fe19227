// SPDX-License-Identifier: MIT
//
// How a poll completes: what happens to its sockets, and when its memory is the caller's again.
#include <algorithm>
#include <cstring>
#include <utility>

#include <reactor/sim/sim_kernel.hpp>
#include <reactor/sim/sim_memory.hpp>

namespace reactor::sim {

using namespace reactor::nt;
using namespace std::chrono_literals;
using State = Request::State;

namespace {

constexpr int behind_the_answer = 0xA5;

void count_down(std::unordered_map<std::uintptr_t, std::size_t>& counts, std::uintptr_t key) {
  const auto found = counts.find(key);
  if (--found->second == 0) counts.erase(found);
}

}  // namespace

// Notes what is so now beside what has been noted; true when there is an answer. A poll that was pending answers for a
// socket that it lists twice once, and for one that was reset with what the reset brought.
bool SimKernel::note_ready(Request& request, bool was_pending) {
  for (auto& entry : request.entries) {
    if (entry.endpoint->closed) continue;
    entry.endpoint->history |= net_.events_of(*entry.endpoint);
    const ULONG events = net_.events_of(*entry.endpoint) & entry.mask;
    if (events == 0 || (was_pending && is_settled(request, entry))) continue;
    entry.events |= events;
    entry.status = SimNet::status_of(*entry.endpoint, events);
    if ((events & AFD_POLL_ABORT) != 0) entry.endpoint->reset_is_reported = true;
  }
  return request.answers() > 0;
}

bool SimKernel::is_settled(const Request& request, const Request::Entry& entry) {
  if ((entry.events & AFD_POLL_ABORT) != 0) return true;
  return std::ranges::any_of(request.entries, [&](const auto& other) {
    return &other != &entry && other.endpoint == entry.endpoint && other.events != 0;
  });
}

// Some of them complete meanwhile.
std::vector<SimKernel::RequestPtr> SimKernel::polls_of(const Endpoint& endpoint) {
  std::vector<RequestPtr> found;
  for (Request* const request : endpoint.polls) found.push_back(request->shared_from_this());
  return found;
}

void SimKernel::socket_changed(Endpoint& endpoint) {
  endpoint.history |= net_.events_of(endpoint);
  notice_changed(endpoint);
  if (endpoint.polls.empty() || endpoint.closed) return;
  const ULONG events = net_.events_of(endpoint);
  if (endpoint.polls.size() == 1) return event(endpoint.polls.front()->shared_from_this(), endpoint, events);
  for (const auto& request : polls_of(endpoint)) event(request, endpoint, events);
}

void SimKernel::socket_closed(Endpoint& endpoint) {
  notice_closed(endpoint);
  for (const auto& request : polls_of(endpoint)) {
    if (request->state != State::completed) event(request, endpoint, AFD_POLL_LOCAL_CLOSE);
  }
}

// The entry of a request that an event of a socket goes to: of a socket that is listed twice one of the two, it is not
// known which. Null: none asked for it.
Request::Entry* SimKernel::entry_for(Request& request, const Endpoint& endpoint, ULONG events) {
  std::vector<Request::Entry*> found;
  for (auto& entry : request.entries) {
    if (entry.endpoint.get() != &endpoint || (events & (entry.mask | AFD_POLL_LOCAL_CLOSE)) == 0) continue;
    if (entry.events != 0) return &entry;
    found.push_back(&entry);
  }
  if (found.empty()) return nullptr;
  return found.size() == 1 ? found.front() : found[core_.random.below(found.size())];
}

// Something happened to a socket that this poll lists.
void SimKernel::event(const RequestPtr& request, Endpoint& endpoint, ULONG events) {
  if (request->is_deaf || request->state == State::completed) return;
  Request::Entry* const entry = entry_for(*request, endpoint, events);
  if (entry == nullptr) return;
  const bool is_close = (events & AFD_POLL_LOCAL_CLOSE) != 0;
  const bool is_reset = endpoint.reset && (entry->mask & AFD_POLL_ABORT) != 0 && !is_close;
  const ULONG wanted = is_reset ? events & entry->mask & (AFD_POLL_ABORT | endpoint.reset_adds)
                                : events & (entry->mask | AFD_POLL_LOCAL_CLOSE);
  // LOCAL_CLOSE stands alone (fact close.pending): whatever was to be reported is obsolete.
  entry->events = is_close ? AFD_POLL_LOCAL_CLOSE : entry->events | wanted;
  entry->status = SimNet::status_of(endpoint, wanted);
  if ((wanted & AFD_POLL_ABORT) != 0) endpoint.reset_is_reported = true;
  if (request->state == State::completing && !is_close) return;
  request->state = State::completing;
  // A close completes its polls before it returns (fact cancel.closed): a cancel after it comes too late.
  if (is_close) return complete(swapped(request), STATUS_SUCCESS);
  core_.after(core_.draw(core_.options.completion), [this, request] {
    if (request->state != State::completing) return;
    // What has become ready since: Wine's poll is over with its first event.
    if (core_.is_windows()) static_cast<void>(note_ready(*request, true));
    complete(swapped(request), STATUS_SUCCESS);
  });
}

// Row 8 of the facts: the one of two polls that gets this one's result. The other waits on, or gets what was meant for
// it.
SimKernel::RequestPtr SimKernel::swapped(const RequestPtr& request) {
  const auto twin = request->twin.lock();
  request->twin.reset();
  if (twin == nullptr || twin->state == State::completed) return request;
  for (auto& entry : request->entries) {
    for (auto& other : twin->entries) {
      if (entry.endpoint == other.endpoint) std::swap(entry.events, other.events);
    }
  }
  twin->twin.reset();
  if (twin->state == State::completing) return request;
  request->state = State::waiting;
  return twin;
}

// No more events, no more cancel. What is answered is settled; it is written when the packet is taken.
void SimKernel::complete(const RequestPtr& request, NTSTATUS status, bool in_the_call) {
  detach(*request);
  request->state = State::completed;
  request->result = status;
  if (status != STATUS_SUCCESS) {
    for (auto& entry : request->entries) entry.events = 0;
  }
  if (core_.is_traced()) {
    std::string line = "complete #" + std::to_string(request->id) + " " + text_of(status);
    for (const auto& entry : request->entries) {
      if (entry.events != 0) line += " " + hex(number(entry.handle)) + " " + event_names(entry.events);
    }
    core_.trace(line);
  }
  const Helper& helper = *request->owner;
  const std::size_t answers = request->answers();
  if (request->context == nullptr || (in_the_call && helper.skips)) {
    inline_answers_ += answers;
    return give_back(*request);
  }
  const ULONG_PTR information = NT_SUCCESS(status) ? sizeof(AFD_POLL_INFO) + answers * sizeof(AFD_POLL_HANDLE_INFO) : 0;
  const Packet packet{reinterpret_cast<void*>(helper.key), request->context, {{status}, information}};
  // A synchronous completion has queued its packet when the call returns.
  queue_packet(helper.port, packet, request, in_the_call ? 0ns : core_.draw(core_.options.packet));
}

void SimKernel::detach(Request& request) {
  if (request.place + 1 < pending_.size()) {
    pending_[request.place] = std::move(pending_.back());
    pending_[request.place]->place = request.place;
  }
  pending_.pop_back();
  for (const auto& entry : request.entries) {
    std::erase(entry.endpoint->polls, &request);
    if (core_.options.checks_caller) count_down(asked_, number(entry.handle));
  }
}

// The memory is the caller's again.
void SimKernel::give_back(Request& request) {
  release_memory(request);
  const auto* now = reinterpret_cast<const std::byte*>(request.poll);
  if (std::memcmp(request.iosb, &request.iosb_as_held, sizeof *request.iosb) != 0)
    core_.violate("a status block was changed while the kernel held it");
  if (core_.options.checks_caller && !std::equal(request.as_asked.begin(), request.as_asked.end(), now)) {
    core_.violate("a request was changed while the kernel held it");
  }
  write_answer(request);
  held_.erase(number(request.iosb));
  if (!core_.options.checks_caller) return;
  for (const auto& entry : request.entries) count_down(held_sockets_, number(entry.handle));
  held_memory_.erase(number(request.iosb));
  held_memory_.erase(number(request.poll));
}

void SimKernel::release_memory(const Request& request) noexcept {
  unguard(request.iosb, sizeof *request.iosb);
  unguard(request.poll, request.poll_bytes);
}

void SimKernel::write_answer(Request& request) {
  request.iosb->Status = request.result;
  request.iosb->Information = 0;
  if (!NT_SUCCESS(request.result)) return;  // METHOD_BUFFERED: nothing is copied back
  auto* out = entries_of(*request.poll);
  ULONG count = 0;
  for (const auto& entry : request.entries) {
    if (entry.events != 0) out[count++] = {entry.handle, entry.events, entry.status};
  }
  request.poll->NumberOfHandles = count;
  const std::size_t answered = sizeof(AFD_POLL_INFO) + count * sizeof(AFD_POLL_HANDLE_INFO);
  std::memset(reinterpret_cast<std::byte*>(request.poll) + answered, behind_the_answer, request.poll_bytes - answered);
  request.iosb->Information = answered;
}

}  // namespace reactor::sim
