// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reactor/afd/afd_backend.hpp>
#include <reactor/event.hpp>

#include <reactor/sim/sim_kernel.hpp>
#include "model_program.hpp"
#include "watched_kernel.hpp"

namespace reactor::sim::model {

/// A rule was broken; says which.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What was done in all runs, since a check of nothing passes too.
struct Totals {
  std::uint64_t runs = 0, steps = 0, waits = 0, events = 0, wakes = 0, kernel_calls = 0, packets = 0;
  std::uint64_t group_arms = 0, group_members = 0, group_members_max = 0;
  std::uint64_t packets_max = 0;  ///< in one dequeue
  std::uint64_t denied = 0;       ///< registrations that ended because a poll was refused though the socket was open
  std::uint64_t replaced = 0;     ///< registrations that ended because their number was added again
  std::uint64_t not_afd = 0;      ///< registrations whose first poll was refused though the socket was open
  std::uint64_t deferred = 0;     ///< times that a ready registration was not armed yet while a thread slept

  Totals& operator+=(const Totals& other) noexcept;
};
[[nodiscard]] std::string describe(const Totals& totals);

/// A socket that the program has open.
struct Socket {
  SocketNumber number = 0;
  SocketNumber polled = 0;  ///< its base
  std::shared_ptr<Endpoint> endpoint;
};

/// What the reference model knows of a registration. Its token is its index in the list of all registrations.
struct Registered {
  enum class State : std::uint8_t {
    live,
    closed,  ///< its number was closed without remove, or may have seemed to be: it is retired as soon as that is
             ///< noticed
    retired,
  };
  /// Its first poll was refused as if its socket were closed, which it was not: it is not AFD's, unless a second one is
  /// accepted.
  enum class NotAfd : std::uint8_t { no, suspected, delivered };

  reactor::RegistrationId place{};
  SocketNumber number = 0, polled = 0;
  std::shared_ptr<Endpoint> endpoint;
  reactor::Interest interest = reactor::Interest::none;
  reactor::Mode mode = reactor::Mode::level;
  std::uint8_t disarmed = 0;  ///< bits of Interest, and `ending`, that are disarmed
  State state = State::live;
  bool is_reused = false;  ///< closed, and its number means another socket: it may report that one
  NotAfd not_afd = NotAfd::no;
  std::uint8_t disarmed_before = 0;  ///< it was suspected
  reactor::nt::ULONG seen = 0;       ///< all events since it was last delivered, beside its endpoint's history

  // The last delivery.
  std::uint64_t delivered_in = 0;  ///< the wait
  std::uint32_t delivered_to = 0;  ///< the thread
  std::chrono::nanoseconds delivered_at{0};
  bool may_repeat = true;  ///< modified or drained since, or a wait has begun that may arm it

  /// It may stay unarmed until a wait of that thread begins, or any if waits do not overlap, or until `grace` is over.
  struct Deferral {
    std::uint32_t thread = 0;
    std::chrono::nanoseconds at{0};
    bool is_of_any = false;  ///< it was marked: until a wait of any thread begins
  };
  std::optional<Deferral> deferral{};
};

/// An object that can be waited for, and its registration.
struct Object {
  reactor::nt::HANDLE handle = nullptr;
  bool is_auto_reset = false;
  std::optional<reactor::RegistrationId> place{};
  bool is_armed = false;
  int owed = 0;          ///< signals that were given to an auto-reset one and not reported
  bool was_set = false;  ///< of the other: at some time since it was armed
};

/// What a thread's last wait delivered and it has not re-armed.
struct Batch {
  std::vector<std::uint32_t> left;
  bool has_level = false;  ///< events that need not be re-armed, so it is not seen when they were dealt with
};

/// How long what is deferred may stay unarmed while a thread sleeps; and how long waits count as overlapping.
inline constexpr std::chrono::milliseconds grace{100};

/// How long a wait that has nothing to report pauses before it fails for a shortage.
inline constexpr std::chrono::milliseconds pause_of_shortage{10};

inline constexpr std::uint8_t ending_bit = 8;  ///< the direction of resets and failures, beside those of Interest

/// The readiness that AFD's events mean, as in docs/semantics.md. The model's own function, so that it can disagree.
[[nodiscard]] reactor::Readiness meaning(reactor::nt::ULONG events);
/// The part of it that a registration wants.
[[nodiscard]] reactor::Readiness wanted(const Registered& reg, reactor::nt::ULONG events);

/// The same without what may be left out: after Mode::edge has reported a failure, there is no I/O that could say
/// would-block, so no program may say drained and wait for more.
[[nodiscard]] reactor::Readiness owed(const Registered& reg, reactor::nt::ULONG events);

/// A backend over a simulated kernel, the program's sockets, and the reference model. Does one step after the other and
/// checks the rules after each; throws Broken.
///
/// While a wait sleeps, the kernel calls the checker, which plays other threads: the following steps that are marked
/// `during`, some of which are waits themselves.
class Checker {
 public:
  using Log = std::function<void(std::string_view)>;

  Checker(const Program& program, const Log* log);
  ~Checker();
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  void run();
  void add_to(Totals& totals) const;

 private:
  using Interest = reactor::Interest;
  using Mode = reactor::Mode;
  using Event = reactor::Event;
  using Readiness = reactor::Readiness;
  using ULONG = reactor::nt::ULONG;
  using NotAfd = Registered::NotAfd;
  using nanoseconds = std::chrono::nanoseconds;
  using State = Registered::State;
  struct Wait {
    std::uint64_t number = 0;
    nanoseconds begin{0};
    std::optional<nanoseconds> timeout;
    std::size_t buffer = 0;
    bool is_asleep = false;  // it has slept in the kernel
    bool was_kept = false;   // by a wait of another thread, played inside it: it may end late
    // When it began.
    WatchedKernel::Counted counted{};
    std::uint64_t returned = 0, unarmed = 0, marked = 0, empties = 0, inlines = 0, owed = 0;
    std::uint64_t of_others = 0;  // calls that other threads made meanwhile
  };

  // model_steps.cpp
  void run_step();
  void perform(const Step& step);
  void perform_on_socket(const Step& step, std::size_t at);
  void open(const Step& step);
  void open_pair();
  void keep(SocketNumber number);
  void duplicate(const Socket& socket);
  void add(const Step& step);
  void add(const Socket& socket, Interest interest, Mode mode);
  void modify(const Step& step);
  void modify(Registered& reg, Interest interest, std::optional<Mode> mode);
  void drained(Registered& reg, Interest directions);
  void remove(std::uint32_t token);
  void close(std::size_t socket, bool is_reset, bool removes);
  void close_and_reuse(std::size_t socket, std::uint8_t how);
  void inherit(const Step& step);
  void judge_refused_add(std::error_code why) const;
  [[nodiscard]] reactor::Result<reactor::RegistrationId> add_to_backend(const Socket& socket, std::uint32_t token,
                                                                        Interest interest, Mode mode);
  void mark(SocketNumber polled);
  void was_marked(Registered& reg, bool is_rearmed);
  void connect(const Step& step);
  void accept(SocketNumber listener);
  void send(const Socket& socket, std::uint8_t how);
  void recv(const Socket& socket, std::size_t bytes);
  void burst(std::size_t first, std::size_t count);
  void stale(const Step& step);
  void post_junk(const Step& step);
  [[nodiscard]] bool conflicts(const Socket& socket);
  [[nodiscard]] bool is_out(SocketNumber polled) { return sim_.held_on(polled) > 0 || sim_.is_noticed(polled); }
  [[nodiscard]] bool entangles() const;
  [[nodiscard]] std::uint32_t thread_of(const Step& step) const;
  [[nodiscard]] std::uint32_t token_of(const Registered& reg) const {
    return static_cast<std::uint32_t>(&reg - registered_.data());
  }

  // model_numbers.cpp
  [[nodiscard]] reactor::Result<reactor::WaitResult> wait_in_backend(std::span<Event> buffer,
                                                                     std::optional<nanoseconds> timeout);
  [[nodiscard]] reactor::Result<reactor::RegistrationId> add_in_backend(SocketNumber socket, reactor::Token token,
                                                                        Interest interest, Mode mode);
  void modify_number(SocketNumber number, Interest interest, Mode mode);
  void remove_number(SocketNumber number);

  // model_objects.cpp
  void object(const Step& step);
  void add_object(Object& object);
  void rearm_object(Object& object);
  void remove_object(Object& object, bool asks);
  void signal_object(Object& object);
  void was_armed(Object& object);
  void judge_object(const Event& event);
  [[nodiscard]] bool is_fired(const Object& object);
  void check_objects();
  void end_objects();
  void close_objects();
  [[nodiscard]] std::size_t objects_fired();
  [[nodiscard]] static bool is_object(const Event& event) { return std::to_underlying(event.token()) >> 40 == 1; }

  // model_wait.cpp
  void wake();
  void wait(const Step& step);
  [[nodiscard]] std::size_t wait_once(std::span<Event> buffer, std::optional<nanoseconds> timeout);
  [[nodiscard]] bool while_asleep();
  void judge(Wait& wait, std::span<const Event> events, bool is_woken);
  void judge_event(const Wait& wait, const Event& event);
  void judge_repetition(const Wait& wait, const Registered& reg);
  void judge_not_afd(Registered& reg, const Event& event);
  void judge_error_event(const Event& event);
  void judge_readiness(const Registered& reg, Readiness reported) const;
  void judge_failure(const Wait& wait, std::error_code why);
  void disarm(Registered& reg, Readiness reported) const;
  [[nodiscard]] nanoseconds lateness() const;
  void judge_wakes(Wait& wait, bool is_empty, bool is_woken);
  void judge_calls(const Wait& wait, std::size_t events, bool has_failed);
  [[nodiscard]] std::size_t unarmed();
  void judge_no_events(std::string_view where, std::size_t sleepers);
  [[nodiscard]] bool is_excused(const Registered& reg, std::size_t sleepers);
  [[nodiscard]] ULONG could_be(const Registered& reg) const { return reg.seen | reg.endpoint->history; }
  void restart_history(Registered& reg);
  void defer(Registered& reg, bool is_of_any);
  void end_deferrals();
  void was_rearmed(std::uint32_t token);
  void serve(std::span<const Event> events, std::uint8_t how);
  void serve(const Event& event, std::uint8_t how);

  // model_check.cpp
  void check_books();
  void check_counts(const reactor::Stats& stats);
  void checkpoint(std::size_t buffer);
  [[nodiscard]] bool is_owed(std::uint32_t token) const;
  void pause(std::size_t buffer);
  void finish();
  void check_idle();
  void remove_everything();
  void calm();

  [[nodiscard]] Registered* find_open(const Socket& socket, std::uint32_t* token = nullptr);
  [[nodiscard]] Socket* find_socket(const std::shared_ptr<Endpoint>& endpoint);
  void mark_retired(std::uint32_t token);
  void see_denials();
  void see_denial(const Denial& denial);
  void clear_suspects();
  static void clear_suspicion(Registered& reg);
  [[nodiscard]] bool checks(Rule rule) const noexcept { return program_.checks(rule); }
  void require(bool is_so, std::string_view rule) const {
    if (!is_so) fail(rule);
  }
  [[noreturn]] void fail(std::string_view rule) const;
  template <class... Parts>
  void note(const Parts&... parts) const {
    if (log_ == nullptr) return;
    std::string text;
    (text.append(parts), ...);
    (*log_)(text);
  }

  const Program& program_;
  const Log* log_;
  SimKernel sim_;
  WatchedKernel kernel_;
  SimNet& net_;
  std::shared_ptr<reactor::Backend> backend_;
  reactor::afd::AfdBackend* by_number_ = nullptr;  // the same, where the program is one of the C API
  std::vector<Socket> sockets_;
  std::vector<Registered> registered_;
  std::vector<std::uint32_t> open_;  // tokens of those that are not retired
  std::vector<std::uint32_t> suspects_;
  std::vector<Object> objects_;
  std::size_t objects_live_ = 0;
  std::size_t live_ = 0, closed_ = 0;

  std::size_t next_step_ = 0;
  std::uint64_t waits_ = 0, events_ = 0, errors_ = 0, junk_ = 0, junk_posts_ = 0;
  std::uint64_t marked_ = 0, marked_before_wait_ = 0;  // calls that may cost a wait a cancel
  std::vector<Wait*> asleep_;                          // the waits that have begun, the innermost last
  std::uint32_t thread_ = 1;                           // that does the step
  std::map<std::uint32_t, Batch> between_waits_;       // by thread; cleared by its next wait
  bool is_quiet_ = false;                              // no other thread does anything now
  bool is_wake_owed_ = false;
  nanoseconds woken_at_{0};
  std::optional<nanoseconds> overlapped_at_;  // a wait began while another was under way
  std::uint64_t waits_since_wake_ = 0, wakes_seen_ = 0;
  std::uint64_t object_closes_ = 0, refused_ports_ = 0, denied_ = 0, packets_max_ = 0;
  std::uint64_t replaced_ = 0, not_afd_ = 0, deferred_ = 0;  // for Totals
  reactor::Stats last_stats_;
};

/// Runs it; the rule that was broken, if one was. `log` gets a line for each step and event.
[[nodiscard]] std::optional<std::string> run(const Program& program, const Checker::Log* log = nullptr,
                                             Totals* totals = nullptr);

}  // namespace reactor::sim::model
