// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <reactor/address.hpp>
#include <reactor/clock.hpp>
#include <reactor/poller.hpp>

/// A simulated network in simulated time, to test programs that use this library. Link with reactor::sim instead of
/// reactor::reactor: the program's code, its headers and its calls stay as they are. docs/simulation.md shows how.
namespace reactor::sim {

class Host;
class World;
struct HostState;
class WorldState;

/// Whose sockets and Poller a host has: what a program would find there (docs/semantics.md).
enum class Rules : std::uint8_t { of_linux, of_windows };

/// A time that is drawn anew each time; every value between is as likely.
struct Span {
  std::chrono::nanoseconds low{0};   ///< the shortest
  std::chrono::nanoseconds high{0};  ///< the longest
};

/// What is between two hosts, in one direction. Rates are in a thousand.
struct Link {
  Span latency{std::chrono::microseconds(100), std::chrono::milliseconds(1)};  ///< of each packet
  std::uint64_t bytes_per_second = 0;                                          ///< 0: no limit
  /// Of a datagram: it is lost. Of TCP: it arrives later, since it has to be sent again.
  int lost = 0;
  int repeated = 0;   ///< a datagram arrives twice
  int reordered = 0;  ///< a datagram takes up to 20 ms more, so that others overtake it
};

/// How often things go wrong by themselves, drawn from the seed.
struct FaultRates {
  // In a thousand calls.
  int short_reads = 0;          ///< a receive returns fewer bytes than there are
  int short_writes = 0;         ///< a send takes fewer bytes than it could
  int refused_memory = 0;       ///< a call on a socket fails with no_buffer_space; of the kernel, with a shortage
  int refused_descriptors = 0;  ///< a socket cannot be opened or accepted: too_many_files_open
  // In an hour of simulated time, of all hosts together.
  int crashes = 0;     ///< a host crashes, and is restarted after `down`
  int partitions = 0;  ///< two hosts, or one direction between them, are cut off from each other for `down`
  int pauses = 0;      ///< a host's programs stand still for `down`: a slow reader
  Span down{std::chrono::milliseconds(100), std::chrono::seconds(10)};  ///< how long each of these lasts
};

/// How a World is made.
struct WorldOptions {
  Rules rules = Rules::of_linux;  ///< whose rules sockets and Pollers follow
  Link link;                      ///< between all hosts, unless set_link says otherwise
  FaultRates faults;              ///< none, unless they are set
  Span completion;                ///< by Windows's rules: from an event until its packet can be dequeued
  /// Keeps what happens, for trace_text, write_pcapng and write_svg. The hash is there without it.
  bool records_trace = false;
  /// Which of several programs that could run does, is drawn from the seed. False: the one that could first.
  bool shuffles_programs = true;
  /// So many calls of one program in a row without a wait that waits are an error: it spins.
  std::uint64_t calls_max = 1'000'000;
  std::size_t stack_bytes = std::size_t{256} << 10;  ///< of each program
};

/// How a Host is made.
struct HostOptions {
  /// An IPv6 address beside the IPv4 one; empty: fd00:: and the IPv4 number.
  std::string_view ipv6;
  std::size_t descriptors_max = 65536;       ///< open at once
  std::size_t send_buffer_bytes = 65536;     ///< of each of its sockets
  std::size_t receive_buffer_bytes = 65536;  ///< of each of its sockets
};

/// How a host goes down.
enum class Crash : std::uint8_t {
  power_cut,     ///< no packet: its peers learn of it by a time-out, or by a reset once the host is up again
  process_kill,  ///< its system goes on and resets the connections
};

/// What the simulation found: a program that spins, a deadlock. what() says who waits for what, and how to replay it.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A computer with its own addresses, and programs that run on it. Belongs to its World.
class Host {
 public:
  explicit Host(std::unique_ptr<HostState> state) noexcept;  ///< for the library: World::host makes them
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// A program: it begins when the World's time next goes on, on a stack of its own, and has to end. When it waits in
  /// Poller::wait, others run or time passes. What it throws is thrown by the World's run_... function.
  /// Each time the host is restarted, the programs that it was given begin again.
  Host& run(std::function<void()> program);
  /// The same, with a name for the program in traces and failures.
  Host& run(std::string name, std::function<void()> program);
  /// The same, but it may wait for ever: a server.
  Host& serve(std::function<void()> program);
  /// The same, with a name for the program in traces and failures.
  Host& serve(std::string name, std::function<void()> program);

  [[nodiscard]] const std::string& name() const noexcept;        ///< as it was given to World::host
  [[nodiscard]] Address address(std::uint16_t port) const;       ///< IPv4
  [[nodiscard]] Address address_ipv6(std::uint16_t port) const;  ///< IPv6

  /// All programs end where they are: their Poller::wait throws an object that is no std::exception, so that their
  /// stacks are unwound, and until that comes all they ask of a socket fails. Does nothing to a host that is down.
  void crash(Crash how = Crash::power_cut);
  void restart();                             ///< of a host that is down: its programs begin anew
  [[nodiscard]] bool is_up() const noexcept;  ///< false between crash and restart
  /// Its programs stand still for so long; its system goes on and buffers what comes.
  void pause(std::chrono::nanoseconds time);
  /// From now on so many sockets may be open at once; those that are open stay so.
  void set_descriptors_max(std::size_t count);
  [[nodiscard]] std::size_t open_descriptors() const;  ///< sockets that are open

  [[nodiscard]] HostState& state() noexcept { return *state_; }  ///< for the library
  [[nodiscard]] std::size_t index() const noexcept;              ///< in the order in which they were made, from 0

 private:
  std::unique_ptr<HostState> state_;
};

/// What a simulated program can wait for by Poller::add_handle: stays signalled once it is set, until it is cleared. By
/// Windows's rules it is a manual-reset event, by Linux's an eventfd, which a clear has read. A test sets it in the
/// place of what its program would wait for: a child process, a timer, a message of another thread.
///
/// Nothing else in a simulation can be waited for and is no socket: the numbers of the system's own handles and
/// descriptors mean nothing there.
class Signal {
 public:
  explicit Signal(Host& host);  ///< of that host, for its programs; it outlives their crashes, but not the World
  ~Signal();                    ///< closes it
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  void set();                                                             ///< ends waits for it
  void clear();                                                           ///< from now on it is not signalled
  void close();                                                           ///< its number may mean something else then
  [[nodiscard]] NativeHandle native() const noexcept { return native_; }  ///< for add_handle

 private:
  HostState& host_;
  NativeHandle native_;
  bool is_open_ = true;
};

/// Hosts, the network between them and the time that they have in common: one thread, and the same run for the same
/// seed. While it exists it is its thread's current World, which the library's sockets, Pollers and Clock belong to.
///
///   sim::World world(seed);
///   sim::Host& server = world.host("server", "10.0.0.1");
///   server.serve([] { my_server(80); });
///   world.host("client").run([&] { my_client(server.address(80)); });
///   world.run_until_idle();
class World {
 public:
  using nanoseconds = std::chrono::nanoseconds;  ///< the unit of simulated time

  /// Becomes this thread's current World. A thread has one at a time.
  explicit World(std::uint64_t seed, const WorldOptions& options = {});
  ~World();  ///< ends all programs, as a crash does
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// A new host. Without an address: the next one of 10.0.0.0/16. invalid_argument is thrown as std::invalid_argument.
  Host& host(std::string name, std::string_view ipv4 = {}, const HostOptions& options = {});
  [[nodiscard]] Host& find(std::string_view name);  ///< throws std::out_of_range when there is none

  // Time. What programs throw comes out of these, and Failure.
  /// Lets so much time pass.
  void run_for(nanoseconds time);
  /// Until nothing is under way and all programs have ended, or wait without a time-out. A program given to Host::run
  /// that waits for ever then is a Failure: a deadlock.
  void run_until_idle();
  /// Until it is true; asked whenever programs have run. A Failure when nothing can make it true any more, or after
  /// `limit`.
  void run_until(const std::function<bool()>& is_true, nanoseconds limit = std::chrono::hours(1));
  [[nodiscard]] nanoseconds elapsed() const noexcept;  ///< since the World began
  /// `action` is done when so much time has passed from now: a script of faults. It must not wait.
  void after(nanoseconds time, std::function<void()> action);

  // The network. Without a direction both are meant.
  /// The link between two hosts, for what is sent from now on.
  void set_link(const Host& a, const Host& b, const Link& link);
  void set_link_one_way(const Host& from, const Host& to, const Link& link);  ///< the same in one direction
  void partition(const Host& a, const Host& b);                               ///< nothing arrives any more
  void partition_one_way(const Host& from, const Host& to);  ///< nothing of `from` arrives at `to` any more
  void heal(const Host& a, const Host& b);                   ///< ends a partition, in both directions
  void heal_all();                                           ///< ends all partitions

  // Chance and the trace.
  [[nodiscard]] std::uint64_t seed() const noexcept;  ///< as it was given to the constructor
  /// 0 ... count-1, from the seed: for what a test chooses.
  [[nodiscard]] std::size_t random(std::size_t count);
  /// Of all that has happened: the same for the same seed, and another one as soon as anything is different.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;
  /// A line in the trace, of the host whose program calls this.
  void note(std::string_view text);
  void record_trace();  ///< from now on, as WorldOptions::records_trace
  /// What happened, a line for each thing. Empty if it was not recorded.
  [[nodiscard]] std::string trace_text() const;
  /// What the hosts have sent, as a file that Wireshark opens. False: it could not be written.
  [[nodiscard]] bool write_pcapng(const std::string& path) const;
  /// What happened between the hosts as a sequence chart; of a long trace the last rows.
  [[nodiscard]] bool write_svg(const std::string& path, std::size_t rows_max = 200) const;

  /// Of this thread; null when there is none.
  [[nodiscard]] static World* current() noexcept;

  [[nodiscard]] WorldState& state() noexcept { return *state_; }  ///< for the library

 private:
  std::unique_ptr<WorldState> state_;
};

}  // namespace reactor::sim
