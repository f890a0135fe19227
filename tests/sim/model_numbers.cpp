// SPDX-License-Identifier: MIT
//
// The program as the C API plays it: registrations named by their socket's number, events in epoll's bits.
#include <utility>

#include <reactor/afd/epoll_bits.hpp>

#include "model_checker.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace reactor::nt;
using afd::Epoll;

namespace {

// A hang-up of the reading side is asked for with reading, as Interest::readable does.
std::uint32_t bits_of(Interest interest, Mode mode) {
  const auto bit = [&](Interest direction, std::uint32_t bits) {
    return (interest & direction) == Interest::none ? 0 : bits;
  };
  return bit(Interest::readable, Epoll::in | Epoll::rdhup) | bit(Interest::writable, Epoll::out) |
         bit(Interest::priority, Epoll::pri) | (mode == Mode::oneshot ? Epoll::oneshot : 0);
}

// An error is also what was asked for, and no more: the rest of what a Poller reports with it is added, so that the
// model judges both alike.
Readiness readiness_of(std::uint32_t bits, bool is_refusal) {
  using enum Readiness;
  Readiness readiness = none;
  if ((bits & Epoll::in) != 0) readiness = readiness | readable;
  if ((bits & Epoll::out) != 0) readiness = readiness | writable;
  if ((bits & Epoll::pri) != 0) readiness = readiness | priority;
  if ((bits & Epoll::rdhup) != 0 && !is_refusal) readiness = readiness | read_closed;
  if ((bits & Epoll::err) == 0) return readiness;
  return readiness | readable | writable | failed | (is_refusal ? none : hung_up);
}

class BitsSink final : public afd::EventSink {
 public:
  explicit BitsSink(std::span<Event> events) noexcept : EventSink(events.size()), events_(events) {}

 private:
  afd::Directions write(std::size_t index, const afd::Answer& answer) noexcept override {
    const std::uint32_t bits = afd::epoll_events(answer);
    if (bits == 0) return afd::Directions::none;
    const Readiness readiness = readiness_of(bits, answer.events == 0);
    const bool is_failure = (readiness & Readiness::failed) != Readiness::none;
    events_[index] = Event(answer.token, readiness, is_failure ? answer.status : STATUS_SUCCESS);
    return answer.directions;
  }

  std::span<Event> events_;
};

}  // namespace

Result<WaitResult> Checker::wait_in_backend(std::span<Event> buffer, std::optional<nanoseconds> timeout) {
  if (by_number_ == nullptr) return backend_->wait(buffer, timeout);
  BitsSink sink(buffer);
  return by_number_->wait(sink, timeout);
}

Result<RegistrationId> Checker::add_in_backend(SocketNumber socket, Token token, Interest interest, Mode mode) {
  const auto number = static_cast<NativeSocket>(socket);
  if (by_number_ == nullptr) return backend_->add(number, token, interest, mode);
  return by_number_->add(number, afd::epoll_watch(bits_of(interest, mode), std::to_underlying(token)));
}

// The number is open: others are refused by the C API itself. It may mean another socket
// than the one that was added: what is registered by that number means it from now on (a number is not an identity).
void Checker::modify_number(SocketNumber number, Interest interest, Mode mode) {
  const Socket socket{number, net_.base_of(number), net_.endpoint(number)};
  if (conflicts(socket)) return;
  mark(socket.polled);
  see_denials();
  Registered* reg = find_open(socket);
  if (reg != nullptr && reg->number != number) reg = nullptr;
  const Token token{reg == nullptr ? ~0ULL : token_of(*reg)};
  const std::uint64_t refused_before = kernel_.counted().refused_bases;
  const auto first_before = kernel_.expect_first(socket.polled);
  const auto done = by_number_->modify(static_cast<NativeSocket>(number),
                                       afd::epoll_watch(bits_of(interest, mode), std::to_underlying(token)));
  if (!done) {
    kernel_.restore_first(socket.polled, first_before);
    require(done.error() == std::errc::no_such_file_or_directory, "modify by number failed");
    const bool is_base_unknown = kernel_.counted().refused_bases > refused_before;
    require(reg == nullptr || reg->state == State::closed || is_base_unknown, "a registered number is not known");
    if (reg != nullptr && !is_base_unknown) mark_retired(token_of(*reg));
    return;
  }
  require(reg != nullptr, "a number that is not registered was modified");
  const bool is_rearmed = reg->mode != Mode::level && reg->disarmed != 0;
  if (reg->state == State::closed) {
    reg->state = State::live;
    live_++;
    closed_--;
  }
  reg->place = *done;
  reg->endpoint = socket.endpoint;
  reg->is_reused = false;
  reg->not_afd = NotAfd::no;
  reg->interest = interest;
  reg->mode = mode;
  reg->disarmed = reg->disarmed_before = 0;
  restart_history(*reg);
  if (is_rearmed) was_rearmed(token_of(*reg));
  was_marked(*reg, is_rearmed);
}

void Checker::remove_number(SocketNumber number) {
  const Socket socket{number, net_.base_of(number), net_.endpoint(number)};
  see_denials();
  Registered* reg = find_open(socket);
  if (reg != nullptr && reg->number != number) reg = nullptr;
  const std::uint64_t refused_before = kernel_.counted().refused_bases;
  const auto done = by_number_->remove(static_cast<NativeSocket>(number));
  if (done) {
    require(reg != nullptr, "a number that is not registered was removed");
    return mark_retired(token_of(*reg));
  }
  require(done.error() == std::errc::no_such_file_or_directory, "remove by number failed");
  const bool is_base_unknown = kernel_.counted().refused_bases > refused_before;
  require(reg == nullptr || reg->state == State::closed || is_base_unknown, "a registered number is not known");
  if (reg != nullptr && !is_base_unknown) mark_retired(token_of(*reg));
}

}  // namespace reactor::sim::model
