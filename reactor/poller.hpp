// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <reactor/event.hpp>
#include <reactor/export.hpp>
#include <reactor/result.hpp>

namespace reactor {

class Backend;

/// The system's own socket: a SOCKET on Windows, a file descriptor on Linux.
#ifdef _WIN32
using NativeSocket = std::uintptr_t;
#else
using NativeSocket = int;
#endif
/// No socket: INVALID_SOCKET on Windows, -1 on Linux.
inline constexpr NativeSocket invalid_socket = static_cast<NativeSocket>(-1);

/// What is no socket: a HANDLE on Windows, a file descriptor on Linux.
#ifdef _WIN32
using NativeHandle = void*;
#else
using NativeHandle = int;
#endif

/// How a Poller on Windows gets readiness. Linux has epoll alone.
enum class BackendKind : std::uint8_t {
  automatic,      ///< what has been proven on real Windows: afd, until the gate stage4_notify has
  afd,            ///< AFD_POLL
  notifications,  ///< ProcessSocketNotifications, which Windows 11 and Server 2022 have, and AFD_POLL for what that
                  ///< cannot say; a socket that was closed without remove is noticed only when it is armed again
};

/// What may be chosen when a Poller is created; the defaults are right for programs.
struct PollerOptions {
  /// Linux: a signal ends a wait with std::errc::interrupted, whatever SA_RESTART says. Off: the wait goes on (see
  /// Poller::wait).
  bool interruptible = false;

  /// Windows: which backend. Poller::create fails with std::errc::function_not_supported where the system lacks it.
  BackendKind backend = BackendKind::automatic;

  /// Windows: a poll that completes synchronously gives its result in the call, without a packet, where the kernel can
  /// do that (it is probed once). Off only to measure, or to test the path with packets.
  bool inline_completions = true;

  /// Windows: poll sockets that fire again and again together, many in one kernel call. Off only to measure what that
  /// brings: then each event takes a poll of its own, as in other reactors.
  bool hot_groups = true;

  /// Windows: a wait ends at its time-out by a timer of high resolution. Off: with the next tick of the system's clock,
  /// up to 15.6 ms late. Neither is early. A wait that ends by its time-out costs two kernel calls more, three if that
  /// is longer than 64 ms; one that ends by something else costs one more if the time-out was nearer than 64 ms then,
  /// and else nothing (Stats::timer_calls). Where several threads wait on one Poller, a wait may still end with the
  /// tick.
  ///
  /// Where the system has no such timers (Windows before 10 1803, Wine, whose time-outs do not go by a tick) it
  /// has no effect, and Stats::timer_calls stays 0. Linux: no effect; time-outs have nanoseconds there (since 5.11, and
  /// milliseconds before).
  bool high_resolution = false;
};

/// What a Poller has done since it was created, and what it holds now. On Linux a field that has no meaning there is 0.
struct Stats {
  // Kernel calls, by kind. Not counted on Linux: the getsockopt after an EPOLLERR, and pauses in a shortage.
  std::uint64_t wait_calls = 0;    ///< NtRemoveIoCompletionEx, ProcessSocketNotifications that dequeues; epoll_wait
  std::uint64_t arm_calls = 0;     ///< AFD_POLL, ProcessSocketNotifications that does not; epoll_ctl
  std::uint64_t cancel_calls = 0;  ///< NtCancelIoFileEx
  std::uint64_t post_calls = 0;    ///< NtSetIoCompletion(Ex); a write to the eventfd
  std::uint64_t timer_calls = 0;   ///< SetWaitableTimer and its wait packet: PollerOptions::high_resolution
  std::uint64_t other_calls = 0;   ///< opening and closing handles, looking up base sockets
  // What came of them.
  std::uint64_t events = 0;              ///< events reported to callers of wait
  std::uint64_t inline_completions = 0;  ///< polls that completed synchronously
  std::uint64_t group_arms = 0;          ///< polls of several sockets at once; arm_calls has them too
  std::uint64_t group_members = 0;       ///< sockets in those polls, in total
  std::uint64_t packets = 0;             ///< packets dequeued from the port, wakes included
  std::uint64_t spurious = 0;            ///< completions without anything that the registration wants now
  std::uint64_t unknown_packets = 0;     ///< unrecognised packets: they name no poll of this Poller, and are dropped
  std::uint64_t wakes = 0;               ///< wakes that a wait has consumed
  // What is held now.
  std::uint64_t registrations = 0;   ///< added, and neither removed nor found to be closed
  std::uint64_t pending_polls = 0;   ///< sockets that the kernel polls now; of a group, each member
  std::uint64_t helper_handles = 0;  ///< handles that carry the polls
  std::uint64_t arena_slots = 0;     ///< registrations, and retired ones whose poll the kernel still holds
  std::uint64_t arena_blocks = 0;    ///< of memory, in which those are
  std::uint64_t memory_bytes = 0;    ///< of all that, and of the look-up table

  /// All kernel calls together.
  [[nodiscard]] constexpr std::uint64_t kernel_calls() const noexcept {
    return wait_calls + arm_calls + cancel_calls + post_calls + timer_calls + other_calls;
  }
};

/// A socket's place in a Poller, or that of a handle (Poller::add_handle). Removes itself when destroyed. Any thread
/// may use it, one at a time.
///
/// It may outlive its Poller and its socket: its calls then fail with std::errc::bad_file_descriptor, as do those of
/// one that was moved from or removed.
///
/// Declare it after the socket it is of, so that it is destroyed first:
///
///   struct Connection {
///     TcpStream stream;
///     Registration registration;
///   };
///
/// Removed before the close, it cannot be confused with a new socket of the same number, and on Linux the kernel
/// forgets a socket that another process or a duplicate keeps open.
class REACTOR_API Registration {
 public:
  /// Registers nothing.
  Registration() noexcept = default;
  /// Leaves `other` without a registration.
  Registration(Registration&& other) noexcept;
  /// Removes what it had before.
  Registration& operator=(Registration&& other) noexcept;
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  /// Removes it. Does not close the socket.
  ~Registration();

  /// Replaces the interest and keeps the mode. Also arms what oneshot, edge or Interest::none disarmed: what is ready
  /// is reported again.
  [[nodiscard]] Result<> modify(Interest interest);
  /// The same, and sets the mode.
  [[nodiscard]] Result<> modify(Interest interest, Mode mode);

  /// Arms what oneshot, edge or Interest::none disarmed, with the interest and the mode that it has: what is ready is
  /// reported again. Of a handle (Poller::add_handle): waits for its next signal; while it is armed nothing changes.
  /// Errors: bad_file_descriptor; of a handle on Windows also the system's, such as not_enough_memory, and it stays
  /// disarmed.
  [[nodiscard]] Result<> rearm();

  /// Mode::edge: I/O in this direction said would-block, so report it again. Has no effect in other modes.
  [[nodiscard]] Result<> drained(Interest direction);

  /// After it returns, no wait that begins later reports this registration. Does not close the socket.
  /// A second time: std::errc::bad_file_descriptor. Of a socket that was closed meanwhile it succeeds.
  ///
  /// Events of the last wait are in the caller's buffer already: where the handling of one event removes another
  /// registration, look up its token and do not take it for a pointer (docs/cookbook.md, "Closing sockets safely").
  [[nodiscard]] Result<> remove();

  /// remove, and of a handle whether a signal was lost with it: true means that the Poller has taken a signal, or may
  /// have, that no wait has reported. An auto-reset event is reset then, a semaphore has one less, so a program that
  /// must not lose a signal acts as if an event had come. Always false on Linux, where a wait takes nothing, and of a
  /// socket.
  [[nodiscard]] Result<bool> withdraw();

 private:
  friend class Poller;
  Registration(std::shared_ptr<Backend> backend, std::uint32_t slot, std::uint64_t generation) noexcept;

  std::shared_ptr<Backend> backend_;
  std::uint64_t generation_ = 0;
  std::uint32_t slot_ = 0;
};

/// What a wait reports: a range of events in the caller's buffer, and whether a Waker ended it.
class Events {
 public:
  /// No events, not woken.
  Events() noexcept = default;
  /// For tests of a program.
  Events(std::span<const Event> events, bool woken) noexcept : events_(events), woken_(woken ? 1 : 0) {}

  /// The first event.
  [[nodiscard]] auto begin() const noexcept { return events_.begin(); }
  /// Behind the last event.
  [[nodiscard]] auto end() const noexcept { return events_.end(); }
  /// How many there are.
  [[nodiscard]] std::size_t size() const noexcept { return events_.size(); }
  /// There is none: the time is over, or it was woken.
  [[nodiscard]] bool empty() const noexcept { return events_.empty(); }
  /// The event with this index, below size().
  [[nodiscard]] const Event& operator[](std::size_t i) const noexcept { return events_[i]; }
  /// The first event; there must be one.
  [[nodiscard]] const Event& front() const noexcept { return events_.front(); }
  /// The part of the caller's buffer that has been filled.
  [[nodiscard]] std::span<const Event> span() const noexcept { return events_; }

  /// A wake was consumed by this wait, alone or together with events: now handle what it announces (a queue of posted
  /// work, a flag to stop).
  [[nodiscard]] bool woken() const noexcept { return woken_ != 0; }

 private:
  std::span<const Event> events_;
  std::size_t woken_ = 0;  // a bool would leave padding, over which libc++ 16 writes in a std::expected
};

/// Ends a wait from any thread. A copy wakes the same Poller; after the Poller's end, waking has no effect.
///
/// A Waker that outlives its Poller keeps a little memory and, on Linux, one descriptor (an eventfd), so that waking
/// needs no lock.
class REACTOR_API Waker {
 public:
  /// Wakes nothing.
  Waker() noexcept = default;

  /// Lets one wait return: the one under way, or else the next. Never lost; many before the next wait count as one.
  /// May be called from any thread, on Linux also from a signal handler (it takes no lock, allocates nothing and leaves
  /// errno alone), on Windows also from a console control handler. Costs a kernel call unless a wake is on its way
  /// already. A handler needs a Waker that outlives it: neither destroy nor assign one that a handler may be using.
  void wake() const noexcept;

 private:
  friend class Poller;
  explicit Waker(std::shared_ptr<Backend> backend) noexcept;

  std::shared_ptr<Backend> backend_;
};

/// Reports when sockets are ready.
///
/// Threads: add, waker, native_handle and stats, and all of Registration and Waker, may be used while other threads
/// wait; several threads may wait at once, and each event goes to one of them. With Mode::level a socket that stays
/// ready is reported to others too: on Linux at once, on Windows if it is still ready when the thread that was given it
/// waits again, or after 100 ms. Use Mode::oneshot where two threads must not handle one socket. A Poller must
/// not be moved or destroyed while a thread is in one of its functions.
///
/// Sockets should be non-blocking: readiness is a hint that other threads, or the peer, may have outdated. A socket may
/// be in several Pollers. Remove it before it is closed; or close it and the registration is retired by itself. On
/// Windows, if the number is opened again meanwhile by code that does not add it, that socket may be reported under the
/// old token (docs/semantics.md).
///
/// fork (Linux): a Poller belongs to the process that created it. In a child, all calls of an inherited Poller or
/// Registration fail with std::errc::operation_not_permitted, an inherited Waker does nothing, and destroying them
/// closes the child's copies of the descriptors: the parent is not affected, and nothing waits for a lock that was held
/// at the fork. The child creates a Poller of its own; a program that goes into the background by fork does so before
/// it creates one. Noticed by pthread_atfork, so not after _Fork or a bare clone.
///
/// Threads that are cancelled (pthread_cancel): a wait is a cancellation point. The Poller stays as it is and may be
/// used on; an event that the kernel had already handed to the cancelled wait is lost in Mode::oneshot and Mode::edge.
///
/// Winsock (Windows): the first socket that this library opens calls WSAStartup, once for the process. WSACleanup is
/// never called, since it would close the sockets that the rest of the process still has. A Poller starts nothing: a
/// program that adds sockets of its own has started Winsock to open them.
class REACTOR_API Poller {
 public:
  /// A Poller of its own. Errors: the system's reason; on Windows std::errc::function_not_supported when ntdll lacks a
  /// function, which the error's message names.
  [[nodiscard]] static Result<Poller> create(const PollerOptions& options = {});

  /// Leaves the other without anything: its calls fail with bad_file_descriptor.
  Poller(Poller&&) noexcept = default;
  /// Ends what it was before.
  Poller& operator=(Poller&& other) noexcept;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  /// May be called with everything pending; registrations and wakers may outlive it.
  ~Poller();

  /// Registers a socket. Errors: bad_file_descriptor when it is not open, not_a_socket when it is something that cannot
  /// be polled, not_supported when its provider hides what could be polled, not_enough_memory, or the system's own. A
  /// socket whose provider is not AFD cannot be recognised here: it gets one failed event with not_supported.
  ///
  /// A number that is registered here already: on Linux file_exists, and the registration goes on. On Windows the new
  /// registration replaces the old one, whose modify is bad_file_descriptor from then on, and nothing more is reported
  /// under the old token: Windows cannot say whether the number still means the socket that was registered
  /// (docs/architecture.md).
  ///
  /// On Linux also descriptors that are no sockets may be added, where epoll takes them: pipes, terminals, eventfd,
  /// timerfd, signalfd, pidfd (docs/semantics.md).
  [[nodiscard]] Result<Registration> add(NativeSocket socket, Token token, Interest interest, Mode mode = Mode::level);

  /// Registers what is no socket and can be waited for: one event, Readiness::readable, once it is signalled; then it
  /// is disarmed until Registration::rearm. What is signalled already is reported by the next wait.
  ///
  /// - Windows: a HANDLE that WaitForSingleObject takes, with the right SYNCHRONIZE: an event, process, thread, timer,
  ///   semaphore, job, console input. The Poller keeps a duplicate, so the program may close its own. An armed handle
  ///   takes what a wait takes, when it is signalled: an auto-reset event is reset, a semaphore counted down, and each
  ///   signal is one event. A manual-reset event, a process or a thread stays signalled, and is reported again each
  ///   time that it is armed again. What a registration has taken is reported by a wait, or by Registration::withdraw.
  ///   A handle that is added twice has two registrations, and each signal of an auto-reset object goes to one of them.
  ///   Pipes, files and sockets make no sense here: such a handle is signalled when any I/O on it ends.
  /// - Linux: a descriptor that epoll takes, reported when it is readable: pidfd, eventfd, timerfd, signalfd, inotify,
  ///   pipes. The event takes nothing: read it before it is armed again, or it is reported again. As for sockets: a
  ///   descriptor that is closed retires its registration, and one that is registered already is file_exists.
  ///
  /// Registration::modify is invalid_argument for it, and drained has no effect.
  ///
  /// Errors: bad_file_descriptor when it is not open, invalid_argument when it cannot be waited for (a mutex, which a
  /// thread has to own; a regular file on Linux), permission_denied, not_enough_memory, or the system's own.
  ///
  /// Costs on Windows a kernel call each time that it is armed (NtAssociateWaitCompletionPacket). Where the system
  /// lacks that (Wine), a thread of the system's pool waits and posts a packet.
  [[nodiscard]] Result<Registration> add_handle(NativeHandle handle, Token token);

  /// Windows: each operation on this handle that ends is an event from now on, with this token and Event::completion.
  /// The handle is the program's: a pipe, a file or a socket, opened for overlapped I/O. It stays associated for as
  /// long as it is open, and there is no Registration.
  ///
  /// - One event for each packet that the kernel queues, in the kernel's order, to one of the threads that wait. What
  ///   does not fit into a buffer stays in the port for the next wait. Mode and rearm have no part in it.
  /// - Also an operation that succeeds within the call queues a packet; after SetFileCompletionNotificationModes with
  ///   FILE_SKIP_COMPLETION_PORT_ON_SUCCESS it does not, so the program handles its result there. One that fails within
  ///   the call (any error but ERROR_IO_PENDING) queues none.
  /// - The OVERLAPPED and the buffer are the kernel's until the event has come, after CancelIoEx too. Cancel what is
  ///   under way and take its events before the Poller ends: after that nothing says that the kernel is done with them.
  /// - Readiness comes by Poller::add alone. A receive that is pending on a socket takes the data before readiness is
  ///   reported.
  ///
  /// Errors: invalid_argument when the token is too large (completion_key), or the handle is not overlapped or has a
  /// port already; bad_file_descriptor when it is not open or no file; on Linux function_not_supported.
  [[nodiscard]] Result<> associate(NativeHandle handle, Token token);

  /// Windows: the completion key whose packets are events with this token, for what `associate` does not do:
  /// PostQueuedCompletionStatus to native_handle(), whose number of bytes and OVERLAPPED (any pointer, also null) come
  /// back in Event::completion. Before the first call of this or `associate` all packets of the program are dropped.
  ///
  /// Errors: invalid_argument when the token is not below 2^63 (2^31 where pointers have 32 bits), since the other keys
  /// are the library's; on Linux function_not_supported.
  [[nodiscard]] Result<std::uintptr_t> completion_key(Token token);

  /// Waits until something is ready, a wake, or the end of `timeout` (none: no end), and reports as many events as fit
  /// into `buffer`, one per registration; registrations that did not fit come first the next time. The events lie in
  /// `buffer`. A wake may come alone or together with events, and Events::woken() is true then: what a wake announces
  /// must be handled whenever it is true, not only when there are no events. Without events and without a wake the time
  /// is over, by a monotonic clock and never early. Keep the result in a variable and iterate over that: with compilers
  /// that lack C++23's rule for temporaries, `for (const Event& event : *poller.wait(buffer))` is undefined.
  ///
  /// Errors: invalid_argument for an empty buffer or a negative time-out, bad_file_descriptor after a move, interrupted
  /// with PollerOptions::interruptible; on Windows not_enough_memory when the kernel has none for polls and there is
  /// neither an event nor a wake to report (the sockets stay registered, and the next wait polls them).
  ///
  /// Signals (Linux): a handler that runs during a wait does not end it. Let the handler call Waker::wake; or block the
  /// signal and add a signalfd. Or create the Poller interruptible; a signal that comes just before the wait is then
  /// missed, which cannot happen with the other two.
  [[nodiscard]] Result<Events> wait(std::span<Event> buffer,
                                    std::optional<std::chrono::nanoseconds> timeout = std::nullopt);

  /// What ends a wait of this Poller from any thread.
  [[nodiscard]] Waker waker() const noexcept;

  /// What another event loop may watch. Owned by the Poller, and the same for its whole life.
  ///
  /// Linux: a descriptor that is readable while a wait would find something, so epoll, poll, GLib, Qt, libuv and Asio
  /// can watch it: wait with a time-out of zero when it is readable. A loop that watches for edges only waits until a
  /// wait reports neither events nor a wake. The first call opens it (error: too_many_files_open and the like). It may
  /// be readable and a wait find nothing; and while descriptors or memory have run out it may stay so, for a socket
  /// that was closed and removed while a duplicate keeps it open. Then a wait with a time-out of zero takes up to 10
  /// ms, so that the outer loop does not spin. Windows: the completion port, which is signalled while a packet is
  /// queued. Registrations are armed by waits, so wait with a time-out of zero after every change, and when it is
  /// signalled, until a wait reports neither events nor a wake. Where one fails with not_enough_memory, sockets are
  /// left unarmed and no packet comes of them: wait again after a pause, by a timer of the outer loop. Packets that
  /// others queue there are dropped, but for those with a key of completion_key.
  [[nodiscard]] Result<NativeHandle> native_handle() const;

  /// What it has done so far. Any thread may ask.
  [[nodiscard]] Stats stats() const noexcept;

 private:
  friend Poller poller_on(std::shared_ptr<Backend> backend) noexcept;  // reactor/make_poller.hpp
  explicit Poller(std::shared_ptr<Backend> backend) noexcept;

  std::shared_ptr<Backend> backend_;
};

}  // namespace reactor
