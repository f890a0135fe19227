// SPDX-License-Identifier: MIT
//
// What the program's threads do, except waits.
#include <algorithm>
#include <bit>
#include <system_error>
#include <utility>

#include <reactor/nt/status.hpp>

#include "model_checker.hpp"

namespace reactor::sim::model {

using namespace reactor;
using namespace reactor::nt;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t waits_within_waits = 3;

Mode mode_of(std::uint8_t b) {
  constexpr std::array modes{Mode::level, Mode::oneshot, Mode::edge, Mode::level};
  return modes[(b >> 3) & 3];
}
Interest interest_of(std::uint8_t b) { return static_cast<Interest>(b & 7); }

}  // namespace

// One step; with it, those that other threads do meanwhile.
void Checker::run_step() {
  const Step& step = program_.steps[next_step_++];
  if (log_ != nullptr) {
    note("step ", std::to_string(next_step_ - 1), " by thread ", std::to_string(thread_of(step)), " ", describe(step));
  }
  kernel_.allow(20'000 + 100 * sockets_.size());
  // Another thread for each wait within a wait; some steps are done by one that has never waited.
  const std::uint32_t outer = std::exchange(thread_, thread_of(step));
  sim_.play_thread(thread_);
  perform(step);
  check_books();
  thread_ = outer;
  sim_.play_thread(outer);
}

std::uint32_t Checker::thread_of(const Step& step) const {
  const auto depth = static_cast<std::uint32_t>(asleep_.size());
  return 1 + depth + ((step.c & 64) != 0 ? 10 : 0);
}

void Checker::perform(const Step& step) {
  switch (step.op) {
    case Op::open: return open(step);
    case Op::wake: return wake();
    case Op::wait:
      if (asleep_.size() < waits_within_waits) wait(step);
      return;
    case Op::pass: return sim_.run_for(step.a * 50us);
    case Op::stale: return stale(step);
    case Op::packet: return post_junk(step);
    case Op::object: return object(step);
    case Op::checkpoint: return asleep_.empty() ? pause(1 + step.a % 64) : void();
    case Op::modify: return modify(step);
    case Op::drained:
      if (!open_.empty()) drained(registered_[open_[step.a % open_.size()]], interest_of(step.b));
      return;
    case Op::remove: return open_.empty() ? void() : remove(open_[step.a % open_.size()]);
    default: break;
  }
  if (!sockets_.empty()) perform_on_socket(step, step.a % sockets_.size());
}

void Checker::perform_on_socket(const Step& step, std::size_t at) {
  const SocketNumber number = sockets_[at].number;
  switch (step.op) {
    case Op::add: return add(step);
    case Op::close: return step.b % 4 == 3 ? close_and_reuse(at, step.b) : close(at, step.b % 4 == 2, step.b % 4 == 0);
    case Op::inherit: return inherit(step);
    case Op::send: return send(sockets_[at], step.b);
    case Op::recv: return recv(sockets_[at], std::size_t{1} << (step.b % 18));
    case Op::shutdown: return static_cast<void>(net_.shutdown(number));
    case Op::urgent:
      return step.b % 2 == 0 ? static_cast<void>(net_.send_urgent(number))
                             : static_cast<void>(net_.recv_urgent(number));
    case Op::connect: return connect(step);
    case Op::accept: return accept(number);
    case Op::end_poll:
      return static_cast<void>(sim_.end_poll(sockets_[at].polled, step.b % 2 == 0 ? STATUS_CANCELLED : STATUS_SUCCESS));
    case Op::burst: return burst(at, step.b == 255 ? sockets_.size() : 1 + step.b % 48);
    default: return;
  }
}

void Checker::open(const Step& step) {
  if (sockets_.size() + 2 > program_.sockets_max) return;
  const Socket* other = sockets_.empty() ? nullptr : &sockets_[step.b % sockets_.size()];
  switch (step.a % 16) {
    case 8: return keep(net_.listener(1 + step.b % 4));
    case 9: return keep(net_.tcp());
    case 10:
    case 11: return keep(net_.udp());
    case 12: return other == nullptr ? void() : duplicate(*other);
    case 13: {
      const auto [a, b] = net_.tcp_pair();
      keep(net_.layered(a));
      return keep(b);
    }
    case 14: {
      const SocketNumber hidden = net_.hidden();
      const auto added =
          backend_->add(static_cast<NativeSocket>(hidden), Token{~0ULL}, Interest::readable, Mode::level);
      require(!added && added.error() == std::errc::not_supported, "a hidden base socket is not_supported");
      return static_cast<void>(net_.close(hidden));
    }
    case 15: return step.b % 4 == 0 ? keep(net_.not_afd()) : open_pair();
    default: return open_pair();
  }
}

void Checker::open_pair() {
  const auto [a, b] = net_.tcp_pair();
  keep(a);
  keep(b);
}

void Checker::keep(SocketNumber number) {
  if (number == 0) return;
  sockets_.push_back({number, net_.base_of(number), net_.endpoint(number)});
  for (const std::uint32_t token : open_) {
    Registered& reg = registered_[token];
    if (reg.state == State::closed && reg.polled == sockets_.back().polled) reg.is_reused = true;
  }
}

// Its number may be the one of a registration whose socket was closed. Then that registration may poll this socket too,
// while it is polled through another number. Where that mixes up both results, nothing can be required.
void Checker::duplicate(const Socket& socket) {
  const SocketNumber number = net_.duplicate(socket.number);
  const auto is_polled = [&](std::uint32_t token) { return registered_[token].polled == number; };
  if (entangles() && std::ranges::any_of(open_, is_polled)) return static_cast<void>(net_.close(number));
  keep(number);
}

bool Checker::entangles() const { return program_.options.flavour == Flavour::windows && program_.options.entangles; }

// Another number means the same socket, and two polls of it would mix up their results.
bool Checker::conflicts(const Socket& socket) {
  if (!entangles()) return false;
  for (const std::uint32_t token : open_) {
    const Registered& reg = registered_[token];
    if (reg.polled == socket.polled) continue;
    if (reg.endpoint == socket.endpoint) return true;
    if (reg.state == State::closed && net_.endpoint(reg.polled) == socket.endpoint) return true;
  }
  return !socket.endpoint->polls.empty() && sim_.pending_on(socket.polled) == 0;
}

void Checker::add(const Step& step) {
  const Socket& socket = step.c == 255 ? sockets_.back() : sockets_[step.a % sockets_.size()];
  if (!conflicts(socket)) add(Socket(socket), interest_of(step.b), mode_of(step.b));
}

void Checker::add(const Socket& socket, Interest interest, Mode mode) {
  see_denials();
  if (by_number_ != nullptr && mode == Mode::edge) mode = Mode::level;  // EPOLLET is refused
  const auto token = static_cast<std::uint32_t>(registered_.size());
  const auto added = add_to_backend(socket, token, interest, mode);
  if (!added) return judge_refused_add(added.error());
  // A number is not an identity: events of what the number meant before are not delivered any more.
  if (std::uint32_t before = 0; find_open(socket, &before) != nullptr) {
    replaced_++;
    mark_retired(before);
  }
  note("  registered ", std::to_string(token), " for ", hex(socket.number));
  registered_.push_back({.place = *added,
                         .number = socket.number,
                         .polled = socket.polled,
                         .endpoint = socket.endpoint,
                         .interest = interest,
                         .mode = mode});
  open_.push_back(token);
  live_++;
  Registered& reg = registered_.back();
  restart_history(reg);
  was_marked(reg, false);
}

Result<RegistrationId> Checker::add_to_backend(const Socket& socket, std::uint32_t token, Interest interest,
                                               Mode mode) {
  mark(socket.polled);
  const auto first_before = kernel_.expect_first(socket.polled);
  auto added = add_in_backend(socket.number, Token{token}, interest, mode);
  if (!added) kernel_.restore_first(socket.polled, first_before);
  return added;
}

// The old registration of that number, if there is one, goes on.
void Checker::judge_refused_add(std::error_code why) const {
  require(why != std::errc::file_exists, "add failed because of an old registration (a number is not an identity)");
  const Faults& faults = program_.options.faults;
  if (why == make_error(STATUS_INSUFFICIENT_RESOURCES)) return require(faults.helper_refused > 0, "add failed");
  require(why == std::errc::not_supported && faults.base_refused > 0, "add failed");
}

// A wait may have to cancel its pending poll. One without a pending poll is counted as unarmed when a wait begins.
void Checker::mark(SocketNumber polled) {
  if (!asleep_.empty() || is_out(polled)) marked_++;
}

// Its socket has to be polled: by this call, by a sleeping thread, or by the next wait.
void Checker::was_marked(Registered& reg, bool is_rearmed) {
  reg.may_repeat = true;
  const bool is_own = reg.deferral && !reg.deferral->is_of_any && reg.deferral->thread == thread_;
  if (!between_waits_[thread_].left.empty() && (is_rearmed || !is_own)) defer(reg, true);
  see_denials();
}

void Checker::modify(const Step& step) {
  if (open_.empty()) return;
  Registered& reg = registered_[open_[step.a % open_.size()]];
  modify(reg, interest_of(step.b), step.b >= 128 ? std::nullopt : std::optional(mode_of(step.b)));
}

void Checker::modify(Registered& reg, Interest interest, std::optional<Mode> mode) {
  if (by_number_ != nullptr) {  // the C API refuses a number that is not open by itself
    if (mode == Mode::edge) mode = Mode::level;
    return net_.is_open(reg.number) ? modify_number(reg.number, interest, mode.value_or(reg.mode)) : void();
  }
  mark(reg.polled);
  const auto modified = backend_->modify(reg.place, interest, mode);
  if (!modified) {
    require(modified.error() == std::errc::bad_file_descriptor && reg.state == State::closed, "modify failed");
    return mark_retired(token_of(reg));
  }
  const bool is_rearmed = reg.mode != Mode::level && reg.disarmed != 0;  // not if another thread has done that already
  reg.interest = interest;
  reg.mode = mode.value_or(reg.mode);
  reg.disarmed = reg.not_afd == NotAfd::no ? 0 : 0xFF;
  reg.disarmed_before = 0;
  if (is_rearmed) was_rearmed(token_of(reg));
  was_marked(reg, is_rearmed);
}

void Checker::drained(Registered& reg, Interest directions) {
  if (by_number_ != nullptr) return;  // the C API has no such call
  mark(reg.polled);
  const auto done = backend_->drained(reg.place, directions);
  if (!done) {
    require(done.error() == std::errc::bad_file_descriptor && reg.state == State::closed, "drained failed");
    return mark_retired(token_of(reg));
  }
  const bool is_rearmed = reg.mode == Mode::edge && (reg.disarmed & std::to_underlying(directions)) != 0;
  if (reg.mode == Mode::edge && reg.not_afd == NotAfd::no) {
    reg.disarmed &= static_cast<std::uint8_t>(~std::to_underlying(directions));
  }
  if (!is_rearmed) return;
  if (reg.disarmed == 0) was_rearmed(token_of(reg));
  was_marked(reg, true);
}

void Checker::remove(std::uint32_t token) {
  if (by_number_ != nullptr && net_.is_open(registered_[token].number)) {
    remove_number(registered_[token].number);
    if (registered_[token].state == State::retired) return;
  }
  // Also for the C API when it has no number any more: so that it is retired now, and not when its close is noticed.
  require(backend_->remove(registered_[token].place).has_value(), "remove failed");
  mark_retired(token);
}

void Checker::close(std::size_t socket, bool is_reset, bool removes) {
  const Socket gone = sockets_[socket];
  sockets_[socket] = sockets_.back();
  sockets_.pop_back();
  std::uint32_t token = 0;
  if (Registered* reg = find_open(gone, &token)) {
    if (removes) {
      remove(token);
    } else if (reg->state == State::live) {
      reg->state = State::closed;
      live_--;
      closed_++;
    }
  }
  require((is_reset ? net_.reset(gone.number) : net_.close(gone.number)).has_value(), "the simulated close failed");
}

// A number is not an identity: it means another socket at once, while the old one may stay open in a child or a
// duplicate.
void Checker::close_and_reuse(std::size_t socket, std::uint8_t how) {
  const SocketNumber number = sockets_[socket].number;
  if ((how >> 2) % 4 == 1) static_cast<void>(net_.inherit(number));
  const bool has_place = sockets_.size() + 2 <= program_.sockets_max;
  if ((how >> 2) % 4 == 2 && has_place) duplicate(sockets_[socket]);
  socket = static_cast<std::size_t>(std::ranges::find(sockets_, number, &Socket::number) - sockets_.begin());
  close(socket, false, false);
  switch (has_place ? (how >> 4) % 4 : 0) {
    case 0: keep(net_.udp()); break;
    case 1: open_pair(); break;
    case 2: keep(net_.listener(2)); break;
    default: sockets_.empty() ? keep(net_.tcp()) : duplicate(Socket(sockets_[how % sockets_.size()]));
  }
  const auto fresh = std::ranges::find(sockets_, number, &Socket::number);
  if (fresh == sockets_.end() || how >= 192 || conflicts(*fresh)) return;
  add(Socket(*fresh), (how & 64) != 0 ? Interest::writable : Interest::readable, Mode::level);
}

// A handle of the socket in another process keeps it open, though no number of this one means it.
void Checker::inherit(const Step& step) {
  constexpr std::size_t inherited_max = 16;
  if (step.b % 4 == 0 || net_.inherited() >= inherited_max) return net_.end_child();
  static_cast<void>(net_.inherit(sockets_[step.a % sockets_.size()].number));
}

void Checker::connect(const Step& step) {
  const SocketNumber client = net_.tcp();
  keep(client);
  const auto listener =
      std::ranges::find(sockets_, SocketState::listening, [](const Socket& s) { return s.endpoint->state; });
  const bool is_answered = listener != sockets_.end() && step.b % 4 != 0;
  const std::uint16_t no_listener = step.b % 8 == 0 ? SimNet::unanswered_port : std::uint16_t{1};
  static_cast<void>(net_.connect(client, is_answered ? net_.port_of(listener->number) : no_listener));
  if (step.c % 2 == 0 && !conflicts(sockets_.back())) {
    add(Socket(sockets_.back()), Interest::writable, mode_of(step.c));
  }
  if (sockets_.size() > program_.sockets_max) close(sockets_.size() - 1, false, true);
}

void Checker::accept(SocketNumber listener) {
  const auto accepted = net_.accept(listener);
  if (!accepted) return;
  if (sockets_.size() >= program_.sockets_max) return static_cast<void>(net_.close(*accepted));
  keep(*accepted);
}

void Checker::send(const Socket& socket, std::uint8_t how) {
  if (socket.endpoint->state != SocketState::datagram) {
    return static_cast<void>(net_.send(socket.number, std::size_t{1} << (how % 14)));
  }
  // A datagram to a closed port causes an error (kernel-facts: udp.unreachable).
  const std::uint16_t port = how % 2 == 0 ? SimNet::unanswered_port : socket.endpoint->port;
  static_cast<void>(net_.send_to(socket.number, port, how % 3));
}

void Checker::recv(const Socket& socket, std::size_t bytes) { static_cast<void>(net_.recv(socket.number, bytes)); }

void Checker::burst(std::size_t first, std::size_t count) {
  for (std::size_t i = 0; i < std::min(count, sockets_.size()); i++) {
    const Socket& socket = sockets_[(first + i) % sockets_.size()];
    if (socket.endpoint->state == SocketState::datagram) {
      static_cast<void>(net_.send_to(socket.number, socket.endpoint->port, i % 3));
    } else {
      static_cast<void>(net_.send(socket.number, 1));
    }
  }
}

// Nothing after remove: what is retired stays retired, whichever registration has its slot.
void Checker::stale(const Step& step) {
  if (registered_.empty()) return;
  const Registered& reg = registered_[step.a % registered_.size()];
  if (reg.state != State::retired) return;
  switch (step.b % 3) {
    case 0:
      return require(backend_->modify(reg.place, Interest::writable, {}).error() == std::errc::bad_file_descriptor,
                     "modify of a retired registration is bad_file_descriptor");
    case 1:
      return require(backend_->drained(reg.place, Interest::readable).error() == std::errc::bad_file_descriptor,
                     "drained of a retired registration is bad_file_descriptor");
    default: return require(backend_->remove(reg.place).has_value(), "remove of a retired registration succeeds");
  }
}

// Packets are checked: another program posts to the port. No index and no generation gets as large as these contexts
// say; one half of some is as small as real ones are.
void Checker::post_junk(const Step& step) {
  static constexpr std::array keys{afd::PacketKey::poll, afd::PacketKey::group, afd::PacketKey{0}, afd::PacketKey{7}};
  constexpr std::uint64_t large = 0x7FFFFFF0;
  const std::uint64_t small = step.b % 64;
  const std::array contexts{(large << 32) | small, (small << 32) | large, (large << 32) | large | small,
                            std::uint64_t{reinterpret_cast<std::uintptr_t>(this)}};
  void* const context = reinterpret_cast<void*>(static_cast<std::uintptr_t>(contexts[step.c % 4]));
  const auto key = std::to_underlying(keys[step.a % keys.size()]);
  junk_posts_++;
  if (NT_SUCCESS(sim_.post(kernel_.port(), nullptr, key, context))) junk_++;
}

}  // namespace reactor::sim::model
