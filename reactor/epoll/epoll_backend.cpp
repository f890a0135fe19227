// SPDX-License-Identifier: MIT
#include <reactor/epoll/epoll_backend.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <linux/time_types.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace reactor {

namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// In front of it stands a slot that no descriptor has.
constexpr std::uint64_t wake_mark = ~std::uint64_t{0};

// fs/eventpoll.c: EP_MAX_EVENTS
constexpr std::size_t batch_max = INT_MAX / sizeof(epoll_event);

// wait() has the kernel write into the caller's room: no buffer of ours, whatever its size and however many threads
// wait.
static_assert(sizeof(epoll_event) <= sizeof(Event) && std::is_trivially_copyable_v<Event>);

// So few that nobody notices, and enough for a small table not to be rebuilt for a report that a remove overtook.
constexpr std::uint64_t stale_free = 8;

std::unexpected<std::error_code> gone() noexcept { return failure(std::errc::bad_file_descriptor); }
std::unexpected<std::error_code> system_failure(int error) noexcept { return failure(static_cast<std::errc>(error)); }

constexpr bool has(Interest interest, Interest flag) noexcept { return (interest & flag) != Interest::none; }

std::uint32_t events_of(Interest interest, Mode mode) noexcept {
  std::uint32_t events = 0;
  if (has(interest, Interest::readable)) events |= EPOLLIN | EPOLLRDHUP;
  if (has(interest, Interest::writable)) events |= EPOLLOUT;
  if (has(interest, Interest::priority)) events |= EPOLLPRI;
  if (mode == Mode::oneshot) events |= EPOLLONESHOT;
  if (mode == Mode::edge) events |= EPOLLET;
  return events;
}

Readiness readiness_of(std::uint32_t events) noexcept {
  auto readiness = Readiness::none;
  if ((events & EPOLLIN) != 0) readiness = readiness | Readiness::readable;
  if ((events & EPOLLOUT) != 0) readiness = readiness | Readiness::writable;
  if ((events & EPOLLPRI) != 0) readiness = readiness | Readiness::priority;
  if ((events & EPOLLRDHUP) != 0) readiness = readiness | Readiness::read_closed;
  if ((events & EPOLLHUP) != 0) readiness = readiness | Readiness::hung_up;
  if ((events & EPOLLERR) != 0) readiness = readiness | Readiness::failed | Readiness::readable | Readiness::writable;
  return readiness;
}

}  // namespace

Result<std::shared_ptr<Backend>> create_backend(const PollerOptions&) { return EpollBackend::create(); }

Result<std::shared_ptr<Backend>> EpollBackend::create() try {
  auto backend = std::make_shared<EpollBackend>();
  if (const auto opened = backend->open(); !opened) return failure(opened.error());
  return backend;
} catch (const std::bad_alloc&) {
  return failure(std::errc::not_enough_memory);
}

EpollBackend::~EpollBackend() { release(); }

Result<> EpollBackend::open() noexcept {
  counted_.other_calls += 2;
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return system_failure(errno);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return system_failure(errno);
  if (const int error = control_wake(epoll_, EPOLL_CTL_ADD, EPOLLIN | EPOLLET)) return system_failure(error);
  return {};
}

void EpollBackend::close() noexcept { release(); }

void EpollBackend::release() noexcept {
  const std::scoped_lock lock(mutex_, wake_mutex_);
  for (const int fd : {epoll_.exchange(-1), std::exchange(wake_fd_, -1)}) {
    if (fd < 0) continue;
    ::close(fd);
    ++counted_.other_calls;
  }
  std::vector<Entry>().swap(table_);
  live_ = 0;
}

int EpollBackend::control(int epoll, int operation, std::uint32_t slot, const Entry& entry) noexcept {
  epoll_event event{};
  event.events = events_of(entry.interest, entry.mode);
  event.data.u64 = std::uint64_t{slot} << 32 | entry.tag;
  ++counted_.arm_calls;
  return epoll_ctl(epoll, operation, static_cast<int>(slot), &event) == 0 ? 0 : errno;
}

int EpollBackend::control_wake(int epoll, int operation, std::uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = wake_mark;
  ++counted_.arm_calls;
  return epoll_ctl(epoll, operation, wake_fd_, &event) == 0 ? 0 : errno;
}

EpollBackend::Entry* EpollBackend::find(RegistrationId id) noexcept {
  if (id.slot >= table_.size()) return nullptr;
  Entry& entry = table_[id.slot];
  return id.generation != 0 && entry.generation == id.generation ? &entry : nullptr;
}

void EpollBackend::erase(Entry& entry) noexcept {
  entry = {};
  --live_;
}

bool EpollBackend::make_room(std::uint32_t slot) noexcept try {
  if (slot >= table_.size()) table_.resize(std::size_t{slot} + 1);
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

Result<RegistrationId> EpollBackend::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  const std::lock_guard lock(mutex_);
  if (epoll_ < 0) return gone();
  const auto slot = static_cast<std::uint32_t>(socket);
  const std::uint64_t generation = ++generations_;
  const Entry entry{.generation = generation,
                    .token = token,
                    .tag = static_cast<std::uint32_t>(generation),
                    .interest = interest,
                    .mode = mode};
  int error = control(epoll_, EPOLL_CTL_ADD, slot, entry);
  const bool known = slot < table_.size() && table_[slot].generation != 0;
  // Removed while its number was closed and a duplicate open, and now back under that number.
  if (error == EEXIST && !known) error = control(epoll_, EPOLL_CTL_MOD, slot, entry);
  if (error == EPERM) return failure(std::errc::not_a_socket);
  if (error != 0) return system_failure(error);

  // Only now is it sure that the number is one of a descriptor, and not any number.
  if (!make_room(slot)) {
    control(epoll_, EPOLL_CTL_DEL, slot, entry);
    return failure(std::errc::not_enough_memory);
  }
  if (!known) ++live_;  // else the kernel has forgotten the old one, so its socket was closed: invariant 5
  table_[slot] = entry;
  return RegistrationId{slot, generation};
}

Result<> EpollBackend::modify(RegistrationId id, Interest interest, std::optional<Mode> mode) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = find(id);
  if (entry == nullptr) return gone();
  Entry changed = *entry;
  changed.interest = interest;
  changed.mode = mode.value_or(entry->mode);
  changed.told = false;
  changed.tag = static_cast<std::uint32_t>(++generations_);
  const int error = control(epoll_, EPOLL_CTL_MOD, id.slot, changed);
  if (error == ENOENT || error == EBADF) {
    erase(*entry);
    return gone();
  }
  if (error != 0) return system_failure(error);
  *entry = changed;
  return {};
}

Result<> EpollBackend::drained(RegistrationId id, Interest) {
  const std::lock_guard lock(mutex_);
  if (find(id) == nullptr) return gone();
  return {};
}

Result<> EpollBackend::remove(RegistrationId id) {
  const std::lock_guard lock(mutex_);
  if (epoll_ < 0) return gone();
  Entry* const entry = find(id);
  if (entry == nullptr) return {};  // its socket was closed; what has the number now is another's
  control(epoll_, EPOLL_CTL_DEL, id.slot, *entry);
  erase(*entry);
  return {};
}

int EpollBackend::poll(std::span<std::byte> reports, std::size_t batch, std::optional<nanoseconds> left) noexcept {
  auto* const events = reinterpret_cast<epoll_event*>(reports.data());
  const int events_max = static_cast<int>(batch);
#ifdef SYS_epoll_pwait2
  // By number, since the C library may be older than the kernel (Linux 5.11), or the kernel than the C library. Only
  // for what milliseconds cannot say: it costs some 10 % more than epoll_wait.
  if (left && *left % std::chrono::milliseconds(1) != nanoseconds::zero() &&
      has_nanoseconds_.load(std::memory_order_relaxed)) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(*left);
    const __kernel_timespec time{.tv_sec = seconds.count(), .tv_nsec = (*left - seconds).count()};
    const long count = syscall(SYS_epoll_pwait2, epoll_.load(std::memory_order_relaxed), events, events_max, &time,
                               nullptr, std::size_t{0});
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    has_nanoseconds_.store(false, std::memory_order_relaxed);  // EPERM: a sandbox that does not know it
  }
#endif
  const auto left_ms = left ? std::chrono::ceil<std::chrono::milliseconds>(*left).count() : -1;
  return epoll_wait(epoll_.load(std::memory_order_relaxed), events, events_max,
                    static_cast<int>(std::min<std::int64_t>(left_ms, INT_MAX)));
}

Result<WaitResult> EpollBackend::wait(std::span<Event> room, std::optional<nanoseconds> timeout) {
  const std::size_t batch = std::min(room.size(), batch_max);
  // At the end of the room: so every event lands on reports that have been read.
  const auto reports = std::as_writable_bytes(room.first(batch)).subspan(batch * (sizeof(Event) - sizeof(epoll_event)));
  auto deadline = Clock::time_point::max();
  if (timeout) {
    const auto now = Clock::now();
    deadline = now + std::min<Clock::duration>(*timeout, deadline - now);
  }
  for (std::optional<nanoseconds> left = timeout;;) {
    const int count = poll(reports, batch, left);
    const int error = count < 0 ? errno : 0;
    const auto taken = take(room, reports.first(static_cast<std::size_t>(std::max(count, 0)) * sizeof(epoll_event)));
    if (error != 0 && error != EINTR) return system_failure(error);
    if (taken.told != 0 || taken.woken) return WaitResult{taken.told, taken.woken};
    if (!timeout) continue;
    // A full batch of stale reports may stand before what is ready: then look once more, though without waiting.
    const bool seen_all = std::cmp_less(count, batch) || taken.stuck;
    left = std::max<nanoseconds>(deadline - Clock::now(), nanoseconds::zero());
    if (*left == nanoseconds::zero() && seen_all) return WaitResult{};
  }
}

EpollBackend::Taken EpollBackend::take(std::span<Event> room, std::span<const std::byte> reports) {
  const std::lock_guard lock(mutex_);
  Taken taken;
  std::uint64_t stale = 0;
  for (; !reports.empty(); reports = reports.subspan(sizeof(epoll_event))) {
    epoll_event report;
    std::memcpy(&report, reports.data(), sizeof report);
    if (report.data.u64 == wake_mark) {
      // Nobody asked when the report comes of rebuild().
      if (wake_asked_.exchange(false)) taken.woken = true;
      continue;
    }
    const auto slot = static_cast<std::size_t>(report.data.u64 >> 32);
    const auto tag = static_cast<std::uint32_t>(report.data.u64);
    if (slot >= table_.size() || table_[slot].generation == 0 || table_[slot].tag != tag || table_[slot].told) {
      ++stale;
      continue;
    }
    Entry& entry = table_[slot];
    entry.told = entry.mode == Mode::oneshot;
    room[taken.told++] = Event(entry.token, readiness_of(report.events));
  }
  ++counted_.wait_calls;
  counted_.events += taken.told;
  counted_.wakes += taken.woken ? 1 : 0;
  counted_.spurious += stale;
  stale_ += stale;
  if (stale_ > live_ + stale_free) taken.stuck = !rebuild();
  return taken;
}

// Makes an instance that holds what is registered and nothing else, and puts it under the old one's number, so that
// nobody can be about to use a number that is closed.
bool EpollBackend::rebuild() noexcept {
  stale_ = 0;
  counted_.other_calls += 1;
  const int fresh = epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0) return false;
  const bool moved = control_wake(fresh, EPOLL_CTL_ADD, EPOLLIN | EPOLLET) == 0 && move_all(fresh) && replace(fresh);
  ::close(fresh);
  counted_.other_calls += 2;
  if (moved) return true;
  // What the old one reported under a tag that has changed since was or will be dropped: have it reported again.
  control_wake(epoll_, EPOLL_CTL_MOD, EPOLLIN | EPOLLET);
  for (std::size_t i = 0; i != table_.size(); ++i) {
    if (table_[i].generation != 0) control(epoll_, EPOLL_CTL_MOD, static_cast<std::uint32_t>(i), table_[i]);
  }
  return false;
}

bool EpollBackend::move_all(int to) noexcept {
  for (std::size_t i = 0; i != table_.size(); ++i) {
    Entry& entry = table_[i];
    if (entry.generation == 0) continue;
    const auto slot = static_cast<std::uint32_t>(i);
    // A new tag, for what waits in the old instance is reported by the new one too. An edge may be told a second time;
    // a oneshot that was told is reported once more, and take() drops that.
    Entry moved = entry;
    moved.tag = static_cast<std::uint32_t>(++generations_);
    const int error = control(to, EPOLL_CTL_ADD, slot, moved);
    if (error == ENOMEM || error == ENOSPC) return false;
    // The number may be another socket's by now: only one that the old instance knows is ours. To ask it afterwards is
    // the order that a close at the same time cannot confuse.
    if (control(epoll_, EPOLL_CTL_MOD, slot, entry) == 0 && error == 0) {
      entry = moved;
    } else {
      control(to, EPOLL_CTL_DEL, slot, entry);
      erase(entry);
    }
  }
  return true;
}

bool EpollBackend::replace(int by) noexcept {
  // Whoever waits on the old instance has to leave it, and does so by a report that stays. A wake that was on its way
  // there is on its way here too, for the eventfd is readable from its first write on.
  post();
  if (control_wake(epoll_, EPOLL_CTL_MOD, EPOLLIN) != 0) return false;
  // By number: ThreadSanitizer takes dup3 for a close, and with it for a race with whoever waits.
  return syscall(SYS_dup3, by, epoll_.load(), O_CLOEXEC) >= 0;
}

void EpollBackend::wake() noexcept {
  // Always an exchange, never a mere look: what the caller wrote before must be seen by the wait that takes this wake.
  if (wake_asked_.exchange(true)) return;
  const std::lock_guard lock(wake_mutex_);
  if (wake_fd_ >= 0) post();
}

void EpollBackend::post() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_fd_, &one, sizeof one));
  posts_.fetch_add(1, std::memory_order_relaxed);
}

Stats EpollBackend::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  Stats stats = counted_;
  stats.post_calls = posts_.load(std::memory_order_relaxed);
  stats.registrations = live_;
  stats.memory_bytes = table_.capacity() * sizeof(Entry);
  return stats;
}

}  // namespace reactor
