// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <reactor/nt/types.hpp>

// What can be chosen about a simulated kernel: which system it plays, how long things take, what goes wrong.

namespace reactor::sim {

/// The calls of nt::Kernel that can fail, and close, which cannot.
enum class Call : std::uint8_t {
  create_port,
  dequeue,
  create_reserve,
  post,
  open_helper,
  poll,
  cancel,
  base_socket,
  skip_packet,
  close,
  notify,
  create_wait_packet,
  associate,
  disassociate,
  begin_wait,
  end_wait,
  duplicate,
  create_timer,
  set_timer
};
inline constexpr std::array<std::string_view, 19> call_names{
    "create_port", "dequeue",     "create_reserve", "post",         "open_helper", "poll",      "cancel",
    "base",        "skip_packet", "close",          "notify",       "create_wait", "associate", "disassociate",
    "begin_wait",  "end_wait",    "duplicate",      "create_timer", "set_timer"};

[[nodiscard]] constexpr std::string_view name_of(Call call) noexcept { return call_names[std::to_underlying(call)]; }

using Counts = std::array<std::uint64_t, call_names.size()>;

/// Lets one kernel call fail, or some in a row: the n-th from when it was set, counted over all calls but close and
/// now, from 1. Any thread.
class NthFault {
 public:
  /// n = 0: none fails (any more). `status` must be a failure (negative).
  void set(std::uint64_t n, reactor::nt::NTSTATUS status, std::uint64_t in_a_row = 1) noexcept {
    status_.store(status);
    in_a_row_.store(in_a_row);
    seen_.store(0);
    nth_.store(n);
  }
  /// Counts a call; its status when it is the one to fail, else STATUS_SUCCESS.
  [[nodiscard]] reactor::nt::NTSTATUS next() noexcept {
    const std::uint64_t at = ++seen_, first = nth_.load();
    const bool fails = first != 0 && at >= first && at - first < in_a_row_.load();
    return fails ? status_.load() : reactor::nt::STATUS_SUCCESS;
  }
  /// Whether the n-th call has been made: when a scenario ends without, the sweep has reached its end.
  [[nodiscard]] bool has_failed() const noexcept { return nth_.load() != 0 && seen_.load() >= nth_.load(); }
  [[nodiscard]] std::uint64_t seen() const noexcept { return seen_.load(); }
  [[nodiscard]] reactor::nt::NTSTATUS status() const noexcept { return status_.load(); }

 private:
  std::atomic<std::uint64_t> nth_{0}, in_a_row_{1}, seen_{0};
  std::atomic<reactor::nt::NTSTATUS> status_{0};
};

/// What base_socket says when it fails with that status: it speaks Winsock's errors, not the kernel's.
[[nodiscard]] constexpr std::errc base_socket_error(reactor::nt::NTSTATUS status) noexcept {
  if (status == reactor::nt::STATUS_INVALID_HANDLE) return std::errc::bad_file_descriptor;
  if (status == reactor::nt::STATUS_OBJECT_TYPE_MISMATCH) return std::errc::not_a_socket;
  return std::errc::not_supported;
}

/// Whose answers are given where the systems differ (docs/kernel-facts.md).
///   windows: a FIN shows behind unread data; RST throws unread data away, and brings SEND and CONNECT too to a poll
///            that is submitted after it; an unreachable UDP port makes its sender readable; two polls pending on one
///            socket swap results or never finish; a refusal can take 2 s; a closed handle is STATUS_INVALID_HANDLE;
///            closing a helper handle does not end the polls that it carries.
///   wine:    a FIN shows when all is read; RST keeps unread data; an unreachable UDP port shows nothing; a poll that
///            had to wait reports the one socket that ended it.
///   epoll:   Linux itself, for hosts that have no AFD: as wine where the TCP stacks differ.
enum class Flavour : std::uint8_t { windows, wine, epoll };

struct Delay {
  std::chrono::nanoseconds low{0}, high{0};
};

// What the kernel says when memory, quota or a table of its own has run out, beside STATUS_INSUFFICIENT_RESOURCES.
inline constexpr auto STATUS_NO_MEMORY = static_cast<reactor::nt::NTSTATUS>(0xC0000017);
inline constexpr auto STATUS_QUOTA_EXCEEDED = static_cast<reactor::nt::NTSTATUS>(0xC0000044);
inline constexpr std::array shortages{reactor::nt::STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_MEMORY,
                                      STATUS_QUOTA_EXCEEDED};
[[nodiscard]] constexpr bool is_shortage(reactor::nt::NTSTATUS status) noexcept {
  return status == shortages[0] || status == shortages[1] || status == shortages[2];
}
/// A refusal that is neither a shortage nor about the handle.
inline constexpr auto STATUS_ACCESS_DENIED = static_cast<reactor::nt::NTSTATUS>(0xC0000022);

/// How often things go wrong, in a thousand. All of it is what a kernel may do, or what a caller has to bear.
struct Faults {
  int spurious = 0;         ///< a pending poll completes with STATUS_SUCCESS and no entry
  int unasked_cancel = 0;   ///< a pending poll completes with STATUS_CANCELLED, unasked
  int cancel_late = 0;      ///< cancel answers STATUS_NOT_FOUND: the poll is just completing, if need be with no entry
  int cancel_refused = 0;   ///< cancel answers STATUS_INSUFFICIENT_RESOURCES and does nothing
  int poll_refused = 0;     ///< one of `shortages`
  int poll_denied = 0;      ///< STATUS_ACCESS_DENIED
  int poll_invalid = 0;     ///< STATUS_INVALID_HANDLE, though all of its sockets are open
  int empty_answer = 0;     ///< a poll completes synchronously with STATUS_SUCCESS and no entry
  int post_refused = 0;     ///< STATUS_INSUFFICIENT_RESOURCES, like those that follow; not with a reserve
  int helper_refused = 0;   //
  int reserve_refused = 0;  //
  int port_refused = 0;     //
  int base_refused = 0;     ///< not_supported
  int skip_refused = 0;     ///< skip_packet_on_success says no
  int dequeue_refused = 0;  ///< dequeue fails with STATUS_INSUFFICIENT_RESOURCES, takes nothing
  int notify_refused = 0;   ///< notify fails for a shortage, or for a reason that is not known, and changes nothing
  int change_refused = 0;   ///< a change of notify has one of `shortages` as its result
  int change_invalid = 0;   ///< of a socket that was registered before: as if it were closed, though it is open
  int wait_refused = 0;     ///< duplicate, create_wait_packet, associate, begin_wait, create_timer, set_timer
  int early_time_out = 0;   ///< dequeue ends up to 15 ms, and up to half of its time, early
  int shuffled_packet = 0;  ///< a packet overtakes those that are queued
};

/// Socket notifications: how they do what the documentation leaves open (docs/kernel-facts.md, notify.*). Drawn by the
/// seed unless Options::notices sets it.
struct NoticeReadings {
  bool fin_is_in = true;           ///< a FIN is IN and HANGUP; else HANGUP alone
  bool reset_is_hangup = true;     ///< a reset is ERR and HANGUP, and IN and OUT; else ERR alone
  bool unreachable_is_in = true;   ///< an unreachable UDP port is IN for its sender; else ERR
  bool keeps_queued = true;        ///< what is queued when a socket is closed still comes
  bool ntstatus = false;           ///< results are NTSTATUS; else Win32 errors
  bool refusal_ends_call = true;   ///< a call does not wait when a change was refused
  bool removing_refuses = true;    ///< no new registration until the REMOVE notification was dequeued
  bool remove_checks_key = false;  ///< REMOVE under another key than the registration's is refused
  /// Enabled under another key: the old one goes on. False: refused. Then a socket cannot be added under two numbers.
  bool keeps_key = false;
  /// A second port gets the registration. False: refused. Then a socket cannot be in two Pollers.
  bool second_port_takes_over = false;
};

/// Wait packets: how they do what the documentation leaves open (docs/kernel-facts.md, wait.*). Drawn by the seed
/// unless Options::waits sets it.
struct WaitReadings {
  bool pending_may_be_lost = false;  ///< after STATUS_PENDING the packet need not come
  bool close_keeps_queued = false;   ///< a packet that is queued when its wait packet is closed still comes
};

struct Options {
  std::uint64_t seed = 1;
  Flavour flavour = Flavour::windows;

  Delay flight{};      ///< from a send, connect, close ... to its effect at the other end
  Delay completion{};  ///< from an event to the completion of the poll that waits for it
  Delay packet{};      ///< from the completion to when its packet can be taken
  Delay refusal{};     ///< beyond the flight, until a connect to a port without a listener has failed
  Faults faults{};     ///< set later by SimKernel::set_faults
  bool skips = true;   ///< FILE_SKIP_COMPLETION_PORT_ON_SUCCESS has its effect; false: it is accepted and has none
  bool has_reserves = true;                 ///< NtAllocateReserveObject is there (not on Wine 8)
  bool has_notifications = true;            ///< ProcessSocketNotifications is there (Windows 11, not on Wine)
  std::optional<NoticeReadings> notices{};  ///< none: drawn by the seed
  bool has_wait_packets = true;             ///< NtCreateWaitCompletionPacket is there (not on Wine 8 and 10)
  std::optional<WaitReadings> waits{};      ///< none: drawn by the seed
  bool has_timers = true;                   ///< of high resolution (Windows 10 1803)
  /// The clock's interrupts: a time-out of a dequeue begins with the last one and ends with another, so it may be early
  /// or late. 0: it ends when it is asked to. Timers of high resolution do either way.
  std::chrono::nanoseconds tick{0};
  /// Two polls on one socket, through two handles of it: their results are swapped or one never finishes, as was seen
  /// on Windows. False, and always under Flavour::wine: each gets its own.
  bool entangles = true;
  std::size_t send_capacity = 65536;  ///< bytes a TCP socket takes before what is under way has arrived
  std::size_t receive_capacity = 65536;

  /// Under AddressSanitizer: what the kernel holds is not to be touched, not even read. False: it is only compared.
  bool guards_memory = true;

  /// Whether what the caller does is compared with the rules: one poll per socket, memory that is the kernel's.
  bool checks_caller = true;

  /// False: one thread, simulated time, the same run for the same seed. True: any threads, real time (for a race
  /// detector); then nothing depends on the seed alone, and `when_asleep` is not called.
  bool real_threads = false;

  /// One thread: called when dequeue is about to sleep, with nothing locked, so the test can play another thread: add,
  /// send, wake, or wait in its turn. True: it did something, look again. It has to say false in the end.
  std::function<bool()> when_asleep{};

  /// Gets a line for each call, completion and packet. Called with the kernel locked: it must not call back.
  std::function<void(std::string_view)> trace{};
};

}  // namespace reactor::sim
