// SPDX-License-Identifier: MIT
//
// What AFD does with what it is asked: polls and cancels. sim_answer.cpp is how a poll completes.
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

constexpr auto STATUS_INVALID_PARAMETER = static_cast<NTSTATUS>(0xC000000D);
constexpr ULONG handles_max = 4096;       // more is taken for a number that was never written
constexpr ULONG_PTR canary = 0xC0FFEE11;  // in the Information of a status block that the kernel holds

}  // namespace

std::size_t Request::answers() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(entries, [](const Entry& entry) { return entry.events != 0; }));
}

NTSTATUS SimKernel::poll(HANDLE helper, IO_STATUS_BLOCK& iosb, AFD_POLL_INFO& poll, ULONG size_bytes, void* context) {
  const Core::Lock lock(core_.mutex);
  NTSTATUS status = begin(Call::poll, 0);
  if (status == STATUS_SUCCESS) status = drawn_refusal();
  if (status != STATUS_SUCCESS) {
    if (core_.is_traced()) core_.trace("poll FAILS " + text_of(status));
    return status;
  }
  if ((status = judge(poll, size_bytes)) != STATUS_SUCCESS) return status;

  const auto request = std::make_shared<Request>();
  request->id = ++last_request_;
  request->helper = helper;
  request->owner = core_.handles.find<Helper>(number(helper));
  request->iosb = &iosb;
  request->poll = &poll;
  request->context = context;
  request->poll_bytes = size_bytes;
  const auto* bytes = reinterpret_cast<const std::byte*>(&poll);
  if (core_.options.checks_caller) request->as_asked.assign(bytes, bytes + size_bytes);
  for (const auto& entry : std::span(entries_of(poll), poll.NumberOfHandles)) {
    request->entries.push_back({entry.Handle, entry.Events, nullptr});
  }
  if (request->owner == nullptr) {
    core_.violate("poll: there is no helper " + hex(number(helper)));
    return STATUS_INVALID_HANDLE;
  }
  status = look_up(*request);
  if (status == STATUS_SUCCESS) {
    if (core_.options.checks_caller) check_memory(*request);
    if (core_.options.checks_caller) check_rules(*request);
    const bool is_empty = poll.Timeout != 0 && core_.random.chance(core_.options.faults.empty_answer);
    empty_answers_ += is_empty ? 1 : 0;
    const bool at_once = is_empty || note_ready(*request, false) || poll.Timeout == 0;
    status = at_once ? STATUS_SUCCESS : STATUS_PENDING;
    if (!at_once && context == nullptr) {
      core_.violate("poll: it has to wait and has no context, so it ends with its thread and brings no packet");
    }
    hold(request);
    if (at_once) complete(request, STATUS_SUCCESS, true);
    if (!at_once) schedule_faults(request);
  }
  if (core_.is_traced()) {
    std::string line = "poll #" + std::to_string(request->id) + " on " + hex(number(helper)) + ":";
    for (const auto& entry : request->entries) line += " " + hex(number(entry.handle)) + " " + event_names(entry.mask);
    core_.trace(line + " -> " + text_of(status));
  }
  core_.run_due();
  return status;
}

NTSTATUS SimKernel::drawn_refusal() {
  const Faults& faults = core_.options.faults;
  if (core_.random.chance(faults.poll_refused)) return shortages[core_.random.below(shortages.size())];
  if (core_.random.chance(faults.poll_denied)) return STATUS_ACCESS_DENIED;
  return core_.random.chance(faults.poll_invalid) ? STATUS_INVALID_HANDLE : STATUS_SUCCESS;
}

// What a caller must never hand in.
NTSTATUS SimKernel::judge(const AFD_POLL_INFO& poll, ULONG size_bytes) {
  const std::size_t needed = sizeof poll + std::size_t{poll.NumberOfHandles} * sizeof(AFD_POLL_HANDLE_INFO);
  if (size_bytes < sizeof poll || poll.NumberOfHandles == 0 || poll.NumberOfHandles > handles_max) {
    core_.violate("poll: NumberOfHandles is " + std::to_string(poll.NumberOfHandles));
    return STATUS_INVALID_PARAMETER;
  }
  if (size_bytes != needed) {
    core_.violate("poll: size_bytes is " + std::to_string(size_bytes) + " for " + std::to_string(poll.NumberOfHandles) +
                  " handles");
    if (size_bytes < needed) return STATUS_INVALID_PARAMETER;
  }
  if (poll.Timeout > 0 && poll.Timeout != poll_never_times_out) core_.violate("poll: a time-out by the calendar");
  return STATUS_SUCCESS;
}

// One that is no socket refuses all of them (facts bad.*, many.closed). Of a helper the real kernel answers itself, on
// every system; of the number on top of a layered socket nothing is known.
NTSTATUS SimKernel::look_up(Request& request) {
  for (auto& entry : request.entries) {
    const Object& object = core_.handles.at(number(entry.handle));
    if (std::holds_alternative<std::monostate>(object)) return STATUS_INVALID_HANDLE;
    if (core_.is_windows() && std::holds_alternative<std::shared_ptr<Port>>(object)) return STATUS_INVALID_HANDLE;
    entry.endpoint = core_.handles.find<Endpoint>(number(entry.handle));
    if (entry.endpoint == nullptr) return STATUS_OBJECT_TYPE_MISMATCH;
    if (entry.endpoint->state == SocketState::not_afd) {
      return core_.is_windows() ? STATUS_INVALID_HANDLE : STATUS_OBJECT_TYPE_MISMATCH;
    }
  }
  return STATUS_SUCCESS;
}

// One poll per socket: a socket number is in at most one pending poll, whatever it meant when that was submitted. That
// two numbers mean one socket, the caller cannot know.
void SimKernel::check_rules(const Request& request) {
  for (std::size_t i = 0; i < request.entries.size(); i++) {
    const HANDLE socket = request.entries[i].handle;
    for (std::size_t j = 0; j < i; j++) {
      if (request.entries[j].handle == socket) core_.violate("poll: one socket is listed twice");
    }
    if (asked_.contains(number(socket))) {
      core_.violate("poll: two polls are pending on socket " + hex(number(socket)));
    }
  }
}

// Kernel owns its memory: nothing else may use what the kernel holds.
void SimKernel::check_memory(const Request& request) {
  const auto overlaps = [this](const void* begin, std::size_t bytes) {
    const auto after = held_memory_.lower_bound(number(begin) + bytes);
    return after != held_memory_.begin() && std::prev(after)->second > number(begin);
  };
  if (overlaps(request.iosb, sizeof *request.iosb)) core_.violate("poll: its status block is the kernel's already");
  if (overlaps(request.poll, request.poll_bytes)) core_.violate("poll: its buffer is the kernel's already");
}

void SimKernel::hold(const RequestPtr& request) {
  const auto timeout = request->poll->Timeout;
  request->iosb->Information = canary;
  request->iosb_as_held = *request->iosb;
  if (core_.options.guards_memory) {
    guard(request->iosb, sizeof *request->iosb);
    guard(request->poll, request->poll_bytes);
  }
  held_[number(request->iosb)] = request;
  request->place = pending_.size();
  pending_.push_back(request);
  if (core_.options.checks_caller) {
    held_memory_[number(request->iosb)] = number(request->iosb) + sizeof(IO_STATUS_BLOCK);
    held_memory_[number(request->poll)] = number(request->poll) + request->poll_bytes;
    for (const auto& entry : request->entries) {
      asked_[number(entry.handle)]++;
      held_sockets_[number(entry.handle)]++;
    }
  }
  if (timeout == 0) return;
  if (core_.is_windows() && core_.options.entangles) {
    for (const auto& entry : request->entries) {
      if (!entry.endpoint->polls.empty()) entangle(entry.endpoint->polls.front()->shared_from_this(), request);
    }
  }
  for (const auto& entry : request->entries) entry.endpoint->polls.push_back(request.get());
  if (timeout == poll_never_times_out) return;
  core_.after(nanoseconds(-timeout * 100), [this, request] {
    if (request->state == State::waiting) complete(request, STATUS_TIMEOUT);
  });
}

// Row 8 of the facts: two polls pending on one socket swap their results or never finish.
void SimKernel::entangle(const RequestPtr& older, const RequestPtr& newer) {
  if (core_.random.below(2) == 0) {
    older->is_deaf = true;
    return;
  }
  older->twin = newer;
  newer->twin = older;
}

// What may happen to a poll though nothing happened to its sockets.
void SimKernel::schedule_faults(const RequestPtr& request) {
  const Faults& faults = core_.options.faults;
  const auto later = [&](NTSTATUS status) {
    core_.after(core_.random.between(0ns, 10ms), [this, request, status] {
      if (request->state == State::waiting) complete(request, status);
    });
  };
  if (core_.random.chance(faults.spurious)) later(STATUS_SUCCESS);
  if (core_.random.chance(faults.unasked_cancel)) later(STATUS_CANCELLED);
}

NTSTATUS SimKernel::cancel(HANDLE helper, IO_STATUS_BLOCK* which) {
  const Core::Lock lock(core_.mutex);
  const Faults& faults = core_.options.faults;
  NTSTATUS status = begin(Call::cancel, faults.cancel_refused);
  if (status != STATUS_SUCCESS) return status;
  const auto owner = core_.handles.find<Helper>(number(helper));
  if (owner == nullptr) {
    core_.violate("cancel: there is no helper " + hex(number(helper)));
    return STATUS_INVALID_HANDLE;
  }
  std::vector<RequestPtr> found;
  if (which == nullptr) {
    found = pending_of(*owner);
  } else if (const auto held = held_.find(number(which)); held != held_.end()) {
    const RequestPtr& request = held->second;
    if (request->owner == owner && request->state != State::completed) found.push_back(request);
  }
  // Fact cancel.all: Wine answers success when all there is is nothing.
  const bool wine_is_content = which == nullptr && !core_.is_windows();
  status = found.empty() && !wine_is_content ? STATUS_NOT_FOUND : STATUS_SUCCESS;
  for (const auto& request : found) {
    if (which != nullptr && core_.random.chance(faults.cancel_late)) {
      status = STATUS_NOT_FOUND;
      complete(request, STATUS_SUCCESS);  // it was just completing, with what had happened so far
    } else {
      complete(request, STATUS_CANCELLED);
    }
  }
  if (core_.is_traced()) {
    core_.trace("cancel on " + hex(number(helper)) + (found.empty() ? "" : " #" + std::to_string(found[0]->id)) +
                " -> " + text_of(status));
  }
  core_.run_due();
  return status;
}

// In the order asked.
std::vector<SimKernel::RequestPtr> SimKernel::pending_of(const Helper& helper) const {
  std::vector<RequestPtr> found;
  for (const auto& request : pending_) {
    if (request->owner.get() == &helper) found.push_back(request);
  }
  std::ranges::sort(found, {}, &Request::id);
  return found;
}

bool SimKernel::end_poll(SocketNumber socket, NTSTATUS status) {
  const Core::Lock lock(core_.mutex);
  core_.run_due();
  RequestPtr first;
  for (const auto& request : pending_) {
    const auto names_it = [&](const auto& entry) { return number(entry.handle) == socket; };
    const bool is_earlier = first == nullptr || request->id < first->id;
    if (is_earlier && std::ranges::any_of(request->entries, names_it)) first = request;
  }
  if (first == nullptr) return false;
  for (auto& entry : first->entries) entry.events = 0;
  complete(first, status);
  core_.run_due();
  return true;
}

}  // namespace reactor::sim
