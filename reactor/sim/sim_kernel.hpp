// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <reactor/nt/kernel.hpp>

#include <reactor/sim/sim_core.hpp>
#include <reactor/sim/sim_faults.hpp>
#include <reactor/sim/sim_net.hpp>
#include <reactor/sim/sim_notify.hpp>
#include <reactor/sim/sim_objects.hpp>

namespace reactor::sim {

// Inside the simulator.

struct Request;

struct Port {
  struct Queued {
    reactor::nt::FILE_IO_COMPLETION_INFORMATION info;
    std::shared_ptr<Request> request;                // null for a posted one
    std::shared_ptr<Reserve> reserve;                // that it was posted with, if any
    std::shared_ptr<SocketNotice> notice = nullptr;  // whose notification it is; its mask is written when it is taken
    std::shared_ptr<WaitPacket> wait = nullptr;      // that queued it
  };
  std::deque<Queued> packets;
  WaitQueue sleepers;
  bool is_open = true;
};

struct Helper {
  std::shared_ptr<Port> port;
  reactor::nt::ULONG_PTR key = 0;
  bool skips = false;
};

struct Request : std::enable_shared_from_this<Request> {
  struct Entry {
    reactor::nt::HANDLE handle;
    reactor::nt::ULONG mask;
    std::shared_ptr<Endpoint> endpoint;
    reactor::nt::ULONG events = 0;  // what will be answered
    reactor::nt::NTSTATUS status = 0;
  };
  enum class State : std::uint8_t {
    waiting,     // for an event
    completing,  // an event has come, the completion is under way
    completed,   // it can no longer be cancelled; the memory is the kernel's until the packet is taken
  };

  std::uint64_t id = 0;
  std::size_t place = 0;  // among the pending ones
  State state = State::waiting;
  reactor::nt::HANDLE helper = nullptr;
  std::shared_ptr<Helper> owner;
  reactor::nt::IO_STATUS_BLOCK* iosb = nullptr;
  reactor::nt::AFD_POLL_INFO* poll = nullptr;
  void* context = nullptr;
  std::size_t poll_bytes = 0;
  std::vector<std::byte> as_asked;  // the request, to see whether it was touched
  reactor::nt::IO_STATUS_BLOCK iosb_as_held{};
  std::vector<Entry> entries;
  reactor::nt::NTSTATUS result = 0;
  bool is_deaf = false;         // never finishes by an event: row 8 of the facts
  std::weak_ptr<Request> twin;  // swaps results with it: the same row

  [[nodiscard]] std::size_t answers() const noexcept;
};

/// Thrown by SimKernel::dequeue when nothing will ever end its sleep; it is a violation as well.
class AsleepForEver : public std::logic_error {
 public:
  AsleepForEver() : std::logic_error("asleep for ever: no time-out, no packet, and nothing is due") {}
};

/// An NT kernel with its network, made of one seed.
///
///   sim::SimKernel kernel({.seed = 7, .flight = {0us, 50us}});
///   const auto [a, b] = kernel.net().tcp_pair();
///   Poller poller = poller_on(*afd::AfdBackend::create(kernel, {}));   // the kernel outlives it
///   ... kernel.net().send(b, 1); poller.wait(buffer, 1s); ...
///   CHECK(kernel.complaint() == "");
///
/// One thread (the default): nothing sleeps. Time goes on only while `dequeue` waits, or in `run_for` and `settle`: it
/// jumps to the next thing that is due. With delays of zero an effect is there as soon as its cause returns.
///
/// What belongs to the kernel is written at the last moment that is allowed: when the packet is taken. Until then the
/// Information of the status block holds a canary, and a request or a status block that was changed meanwhile is a
/// violation. Under AddressSanitizer to touch them at all is its report, and so is memory that was freed. What lies
/// behind the entries of an answer is filled with 0xA5. A poll that failed (STATUS_CANCELLED) leaves the request as it
/// was asked: its NumberOfHandles is no answer.
class SimKernel final : public reactor::nt::Kernel, private Watcher {
 public:
  using HANDLE = reactor::nt::HANDLE;
  using ULONG = reactor::nt::ULONG;
  using ULONG_PTR = reactor::nt::ULONG_PTR;
  using NTSTATUS = reactor::nt::NTSTATUS;
  using IO_STATUS_BLOCK = reactor::nt::IO_STATUS_BLOCK;
  using Packet = reactor::nt::FILE_IO_COMPLETION_INFORMATION;
  using nanoseconds = std::chrono::nanoseconds;
  template <class T>
  using Result = reactor::Result<T>;

  explicit SimKernel(Options options = {});
  /// A host of several: with their time, and on their network.
  SimKernel(std::shared_ptr<Timeline> timeline, Options options, Network* network);
  ~SimKernel() override;

  // The kernel.
  Result<HANDLE> create_port() override;
  NTSTATUS dequeue(HANDLE port, std::span<Packet> packets, ULONG& removed, std::optional<nanoseconds> timeout) override;
  Result<HANDLE> create_reserve() override;
  NTSTATUS post(HANDLE port, HANDLE reserve, ULONG_PTR key, void* context) override;
  Result<HANDLE> open_helper(HANDLE port, ULONG_PTR key) override;
  NTSTATUS poll(HANDLE helper, IO_STATUS_BLOCK& iosb, reactor::nt::AFD_POLL_INFO& poll, ULONG size_bytes,
                void* context) override;
  NTSTATUS cancel(HANDLE helper, IO_STATUS_BLOCK* request) override;
  void close(HANDLE handle) noexcept override;
  Result<HANDLE> base_socket(SocketNumber socket) override;
  bool skip_packet_on_success(HANDLE helper) override;
  bool has_notifications() override { return core_.options.has_notifications; }
  ULONG notify(HANDLE port, std::span<nt::SOCK_NOTIFY_REGISTRATION> changes, std::span<Packet> packets, ULONG& removed,
               std::uint32_t timeout_ms) override;
  bool has_wait_packets() override { return core_.options.has_wait_packets; }
  Result<HANDLE> create_wait_packet() override;
  NTSTATUS associate(HANDLE wait_packet, HANDLE port, HANDLE object, ULONG_PTR key, void* context,
                     bool& was_signalled) override;
  NTSTATUS disassociate(HANDLE wait_packet, bool removes_queued) override;
  Result<HANDLE> begin_wait(HANDLE port, HANDLE object, ULONG_PTR key, void* context) override;
  bool end_wait(HANDLE wait) noexcept override;
  Result<HANDLE> duplicate(HANDLE object) override;
  Result<HANDLE> create_timer() override;
  NTSTATUS set_timer(HANDLE timer, nanoseconds time) override;
  std::uint32_t thread_id() override;
  nanoseconds now() override;

  // The world around it. Any thread.
  [[nodiscard]] SimNet& net() noexcept { return net_; }
  [[nodiscard]] Core& core() noexcept { return core_; }  ///< for a World
  void run_for(nanoseconds time);                        ///< one thread: lets time pass
  /// One thread: lets time pass until nothing is under way: no data, no completion, no packet that is late. Polls with
  /// a time-out, and spurious completions that are to come, count as under way.
  void settle();
  void set_faults(const Faults& faults);
  void set_delays(Delay flight, Delay completion, Delay packet);
  /// One thread: which thread it plays from now on.
  void play_thread(std::uint32_t id) noexcept { thread_id_ = id; }
  void set_when_asleep(std::function<bool()> function);  ///< Options::when_asleep
  /// A pending poll on that socket ends now, if there is one: with STATUS_CANCELLED, or STATUS_SUCCESS and no entry.
  bool end_poll(SocketNumber socket, NTSTATUS status);
  // Objects that can be waited for. `close` closes a handle of one.
  [[nodiscard]] HANDLE create_object(Waitable::Kind kind, int signals = 0);
  void signal(HANDLE object);                  ///< sets an event, ends a process, releases a semaphore
  void reset(HANDLE object);                   ///< of an event
  [[nodiscard]] bool try_wait(HANDLE object);  ///< a wait with a time-out of zero: takes the signal, if there is one
  [[nodiscard]] int signals(HANDLE object);    ///< what a wait could take now
  [[nodiscard]] std::size_t waits_on(HANDLE object);  ///< waits under way
  [[nodiscard]] NthFault& nth_fault() noexcept { return nth_fault_; }

  // What was seen of the caller.
  [[nodiscard]] std::vector<std::string> violations();
  [[nodiscard]] std::string complaint();  ///< the same, a line each: CHECK(kernel.complaint() == "")
  void forget_violations();
  [[nodiscard]] Counts counts();
  [[nodiscard]] static std::uint64_t total(const Counts& counts) noexcept;  ///< but for close
  [[nodiscard]] std::size_t pending_polls();                                ///< that nothing has ended yet
  [[nodiscard]] std::size_t pending_on(SocketNumber socket);                ///< through this number
  [[nodiscard]] std::size_t held_on(SocketNumber socket);  ///< the same, until their packets are dequeued
  [[nodiscard]] std::size_t held_requests();               ///< whose memory is the kernel's
  [[nodiscard]] std::size_t held_entries();                ///< sockets in all of them
  [[nodiscard]] std::uint64_t returned_entries();          ///< sockets in all requests that a packet has completed
  [[nodiscard]] std::uint64_t inline_answers();  ///< entries of polls that completed synchronously without a packet
  [[nodiscard]] std::uint64_t empty_answers();   ///< polls that completed synchronously without an entry, by a fault
  [[nodiscard]] std::size_t queued_packets();    ///< that can be taken now, on all ports
  [[nodiscard]] std::size_t open_handles();      ///< ports and helpers
  [[nodiscard]] std::size_t notices();           ///< registrations for socket notifications
  [[nodiscard]] bool is_noticed(SocketNumber socket);  ///< such a registration is enabled, or has something queued
  [[nodiscard]] bool is_queued(SocketNumber socket);   ///< it has something queued
  /// REMOVE notifications that never came for the key that was removed: the socket was closed, or had another key.
  [[nodiscard]] std::size_t vanished_removals();
  [[nodiscard]] std::uint64_t dequeuing_notifies();  ///< calls of notify that could dequeue
  [[nodiscard]] const NoticeReadings& notice_readings() const noexcept { return notice_readings_; }

 private:
  using RequestPtr = std::shared_ptr<Request>;
  using PortPtr = std::shared_ptr<Port>;

  // sim_kernel.cpp
  [[nodiscard]] NTSTATUS begin(Call call, int refused_per_mille);
  [[nodiscard]] std::size_t take(Port& port, std::span<Packet> packets);
  void sleep(Core::Lock& lock, std::optional<nanoseconds> until, Port& port);
  void queue_packet(const PortPtr& port, const Packet& packet, const RequestPtr& request, nanoseconds delay,
                    const std::shared_ptr<Reserve>& reserve = nullptr);
  void close_helper(const Helper& helper, HANDLE handle) noexcept;
  void close_port(Port& port) noexcept;
  [[nodiscard]] static std::uintptr_t number(const void* handle) noexcept {
    return reinterpret_cast<std::uintptr_t>(handle);
  }
  [[nodiscard]] static HANDLE handle(std::uintptr_t number) noexcept { return reinterpret_cast<HANDLE>(number); }
  [[nodiscard]] static reactor::nt::AFD_POLL_HANDLE_INFO* entries_of(reactor::nt::AFD_POLL_INFO& poll) noexcept {
    return reinterpret_cast<reactor::nt::AFD_POLL_HANDLE_INFO*>(&poll + 1);
  }
  [[nodiscard]] static std::string text_of(NTSTATUS status) { return hex(static_cast<std::uint32_t>(status)); }

  // sim_poll.cpp
  [[nodiscard]] NTSTATUS drawn_refusal();
  [[nodiscard]] NTSTATUS judge(const reactor::nt::AFD_POLL_INFO& poll, ULONG size_bytes);
  [[nodiscard]] NTSTATUS look_up(Request& request);
  void check_rules(const Request& request);
  void check_memory(const Request& request);
  [[nodiscard]] std::vector<RequestPtr> pending_of(const Helper& helper) const;
  void hold(const RequestPtr& request);
  [[nodiscard]] RequestPtr swapped(const RequestPtr& request);
  void entangle(const RequestPtr& older, const RequestPtr& newer);
  void schedule_faults(const RequestPtr& request);
  [[nodiscard]] bool note_ready(Request& request, bool was_pending);
  [[nodiscard]] static std::vector<RequestPtr> polls_of(const Endpoint& endpoint);
  void event(const RequestPtr& request, Endpoint& endpoint, ULONG events);
  [[nodiscard]] Request::Entry* entry_for(Request& request, const Endpoint& endpoint, ULONG events);
  [[nodiscard]] static bool is_settled(const Request& request, const Request::Entry& entry);
  void complete(const RequestPtr& request, NTSTATUS status, bool in_the_call = false);
  void detach(Request& request);
  void give_back(Request& request);
  static void release_memory(const Request& request) noexcept;
  void write_answer(Request& request);
  void socket_changed(Endpoint& endpoint) override;
  void socket_closed(Endpoint& endpoint) override;

  // sim_notify.cpp
  [[nodiscard]] NTSTATUS await(Core::Lock& lock, const PortPtr& port, std::span<Packet> packets, ULONG& removed,
                               std::optional<nanoseconds> timeout);
  [[nodiscard]] ULONG change(const PortPtr& port, const nt::SOCK_NOTIFY_REGISTRATION& change);
  [[nodiscard]] ULONG enable(const PortPtr& port, Endpoint& endpoint, const nt::SOCK_NOTIFY_REGISTRATION& change);
  [[nodiscard]] ULONG remove(const PortPtr& port, Endpoint& endpoint, const nt::SOCK_NOTIFY_REGISTRATION& change);
  [[nodiscard]] ULONG notice_events(const Endpoint& endpoint, std::uint16_t filter) const;
  void notice_changed(Endpoint& endpoint);
  void notice_closed(Endpoint& endpoint);
  void queue_notice(const std::shared_ptr<SocketNotice>& notice, ULONG events);
  void take_notice(Port::Queued& queued);

  // sim_objects.cpp
  [[nodiscard]] NTSTATUS start_wait(const std::shared_ptr<WaitPacket>& wait, HANDLE port, HANDLE object, ULONG_PTR key,
                                    void* context, bool& was_signalled);
  void signal(Waitable& object);
  void fire(const std::shared_ptr<WaitPacket>& wait);
  void queue_wait(const std::shared_ptr<WaitPacket>& wait);
  void close_wait_packet(WaitPacket& wait) noexcept;

  Core core_;
  SimNet net_;
  NoticeReadings notice_readings_;
  WaitReadings wait_readings_;
  std::size_t vanished_removals_ = 0;
  std::uint64_t dequeuing_notifies_ = 0;
  NthFault nth_fault_;
  Counts counts_{};
  std::uint32_t thread_id_ = 1;
  std::vector<RequestPtr> pending_;                       // in no order
  std::unordered_map<std::uintptr_t, RequestPtr> held_;   // by address of the status block
  std::map<std::uintptr_t, std::uintptr_t> held_memory_;  // begin and end of what is the kernel's
  /// How often a socket number stands in pending polls, and in those whose memory is the kernel's.
  std::unordered_map<std::uintptr_t, std::size_t> asked_, held_sockets_;
  std::uint64_t last_request_ = 0, returned_entries_ = 0, empty_answers_ = 0, inline_answers_ = 0;
  std::size_t handles_ = 0;
};

}  // namespace reactor::sim
