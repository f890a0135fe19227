// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <reactor/afd/directions.hpp>
#include <reactor/assert.hpp>
#include <reactor/event.hpp>
#include <reactor/nt/types.hpp>

namespace reactor::afd {

/// What a poll reported of a registration. Without events, `status` is why the kernel refuses to poll its socket.
struct Answer {
  Token token;
  Directions directions;  ///< that may be reported now
  std::uint16_t detail;   ///< Watch::detail
  nt::ULONG events;       ///< AFD_POLL_*
  nt::NTSTATUS status;
};

/// A packet of the program's own.
struct ProgramPacket {
  Token token;
  void* context;
  nt::ULONG_PTR information;
  nt::NTSTATUS status;
};

/// Turns answers into a caller's events. The backend knows only AFD's events; each interface has its translator.
class EventSink {
 public:
  EventSink(const EventSink&) = delete;
  EventSink& operator=(const EventSink&) = delete;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t left() const noexcept { return capacity_ - count_; }
  [[nodiscard]] bool is_full() const noexcept { return count_ == capacity_; }

  /// How many of the events have disarmed their registration: nothing more is reported of it until the program re-arms
  /// it.
  [[nodiscard]] std::size_t disarming() const noexcept { return disarming_; }
  void count_disarming() noexcept { disarming_++; }

  /// The batch (WaitingThreads) that what is delivered belongs to.
  [[nodiscard]] std::uint8_t batch() const noexcept { return batch_; }
  void set_batch(std::uint8_t batch) noexcept { batch_ = batch; }

  /// The directions that were reported; none: the answer has nothing that this registration wants. Must not be full.
  [[nodiscard]] Directions deliver(const Answer& answer) noexcept {
    REACTOR_ASSERT(!is_full());
    const Directions reported = write(count_, answer);
    if (reported != Directions::none) count_++;
    return reported;
  }

  /// What the program posted. Must not be full.
  void deliver(Token posted) noexcept {
    REACTOR_ASSERT(!is_full());
    write_post(count_++, posted);
    of_program_++;
  }
  void deliver(const ProgramPacket& packet) noexcept {
    REACTOR_ASSERT(!is_full());
    write_packet(count_++, packet);
    of_program_++;
  }

  /// How many of the events are the program's own posts and packets.
  [[nodiscard]] std::size_t of_program() const noexcept { return of_program_; }

 protected:
  explicit EventSink(std::size_t capacity) noexcept : capacity_(capacity) {}
  ~EventSink() = default;

 private:
  /// Writes the event with that index, or nothing.
  virtual Directions write(std::size_t index, const Answer& answer) noexcept = 0;
  /// Only the C API has posts.
  virtual void write_post(std::size_t /*index*/, Token /*posted*/) noexcept { REACTOR_ASSERT(false); }

  /// Not of the C API, where no key for them can be asked for.
  virtual void write_packet(std::size_t /*index*/, const ProgramPacket& /*packet*/) noexcept { REACTOR_ASSERT(false); }

  std::size_t capacity_;
  std::size_t count_ = 0;
  std::size_t of_program_ = 0;
  std::size_t disarming_ = 0;
  std::uint8_t batch_ = 0;
};

/// For arming without a buffer: it is always full.
class NoSink final : public EventSink {
 public:
  NoSink() noexcept : EventSink(0) {}

 private:
  Directions write(std::size_t, const Answer&) noexcept override { return Directions::none; }
};

// On Windows an event holds what a packet holds, and takes no more memory than that.
static_assert(sizeof(void*) == 4 || sizeof(Event) <= sizeof(nt::FILE_IO_COMPLETION_INFORMATION));

/// A Poller's events.
class EventBuffer final : public EventSink {
 public:
  explicit EventBuffer(std::span<Event> events) noexcept : EventSink(events.size()), events_(events) {}

 private:
  Directions write(std::size_t index, const Answer& answer) noexcept override {
    if (answer.events == 0) {
      const Readiness failure = Readiness::readable | Readiness::writable | Readiness::failed;
      events_[index] = Event(answer.token, failure, answer.status);
      return directions_of(failure);
    }
    const Readiness readiness = filter_readiness(to_readiness(answer.events), answer.directions);
    if (readiness == Readiness::none) return Directions::none;
    const bool failed = (readiness & Readiness::failed) != Readiness::none;
    events_[index] = Event(answer.token, readiness, failed ? answer.status : nt::STATUS_SUCCESS);
    return directions_of(readiness);
  }

  void write_packet(std::size_t index, const ProgramPacket& packet) noexcept override {
    const nt::NTSTATUS error = nt::NT_SUCCESS(packet.status) ? nt::STATUS_SUCCESS : packet.status;
#ifdef _WIN32
    events_[index] = Event(packet.token, Completion{packet.context, packet.information}, error);
#else
    events_[index] = Event(packet.token, Readiness::none, error);  // of a simulated kernel: Event has no space for more
#endif
  }

  std::span<Event> events_;
};

}  // namespace reactor::afd
