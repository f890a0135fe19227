// SPDX-License-Identifier: MIT
#include <reactor/epoll/epoll_backend.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <reactor/allocation.hpp>
#include <reactor/epoll/kernel_wait.hpp>
#include <reactor/epoll/process.hpp>

namespace reactor {

namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// In front of it stands a slot that no descriptor has.
constexpr std::uint64_t wake_mark = ~std::uint64_t{0};

// fs/eventpoll.c: EP_MAX_EVENTS
constexpr std::size_t batch_max = INT_MAX / sizeof(epoll_event);

// wait() has the kernel write into the caller's buffer: none of ours, whatever its size and however many threads wait.
static_assert(sizeof(epoll_event) <= sizeof(Event) && std::is_trivially_copyable_v<Event>);

// How long a wait that finds only stale reports sleeps, where no new instance can be made: rule "no spin".
constexpr nanoseconds shortage_pause = std::chrono::milliseconds(10);

std::unexpected<std::error_code> gone() noexcept { return failure(std::errc::bad_file_descriptor); }
std::unexpected<std::error_code> inherited() noexcept { return failure(std::errc::operation_not_permitted); }
std::unexpected<std::error_code> system_failure(int error) noexcept { return failure(static_cast<std::errc>(error)); }

}  // namespace

// close() is a cancellation point.
void EpollBackend::close_number(int descriptor) noexcept { static_cast<void>(syscall(SYS_close, descriptor)); }

Result<std::shared_ptr<Backend>> create_backend(const PollerOptions& options) { return EpollBackend::create(options); }

Result<std::shared_ptr<Backend>> EpollBackend::create(const PollerOptions& options) {
  if (const int error = epoll::process_mark_error(); error != 0) return system_failure(error);
  const auto make = [&]() -> Result<std::shared_ptr<Backend>> {
    auto backend = std::make_shared<EpollBackend>(options);
    if (const auto opened = backend->open(); !opened) return failure(opened.error());
    return backend;
  };
  return catch_bad_alloc(make, out_of_memory());
}

EpollBackend::EpollBackend(const PollerOptions& options) noexcept
    : is_interruptible_(options.interruptible), process_(epoll::process_mark()) {}

EpollBackend::~EpollBackend() {
  close();
  if (wake_fd_ >= 0) close_number(wake_fd_);
}

Result<> EpollBackend::open() noexcept {
  counted_.other_calls += 2;
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return system_failure(errno);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return system_failure(errno);
  if (const int error = control_wake(epoll_, EPOLL_CTL_ADD, EPOLLIN | EPOLLET)) return system_failure(error);
  wake_asked_ = false;
  return {};
}

bool EpollBackend::is_inherited() const noexcept { return epoll::process_mark() != process_; }

void EpollBackend::close() noexcept {
  wake_asked_ = true;
  std::unique_lock lock(mutex_, std::defer_lock);
  if (!is_inherited()) {
    lock.lock();
  } else if (!lock.try_lock()) {
    // Another thread of the parent held it at the fork, and may have been replacing the table: leaked on purpose.
    using Table = std::vector<Entry>;
    alignas(Table) std::array<std::byte, sizeof(Table)> leaked;
    new (leaked.data()) Table(std::move(table_));
  }
  for (const int descriptor : {epoll_.exchange(-1), std::exchange(outer_, -1)}) {
    if (descriptor < 0) continue;
    close_number(descriptor);
    ++counted_.other_calls;
  }
  std::vector<Entry>().swap(table_);
  live_ = 0;
}

int EpollBackend::control(int epoll, int operation, std::uint32_t slot, const Entry& entry) noexcept {
  epoll_event event{};
  event.events = entry.kernel_bits();
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

bool EpollBackend::reserve(std::uint32_t slot) noexcept {
  const auto grow = [&] {
    if (slot >= table_.size()) table_.resize(std::size_t{slot} + 1);
    return true;
  };
  return catch_bad_alloc(grow, false);
}

Result<RegistrationId> EpollBackend::add(NativeSocket socket, Token token, Interest interest, Mode mode) {
  return add(socket, Entry{.token = token, .interest = interest, .mode = mode});
}

Result<RegistrationId> EpollBackend::add_handle(NativeHandle handle, Token token) {
  auto added =
      add(handle, Entry{.token = token, .interest = Interest::readable, .mode = Mode::oneshot, .is_handle = true});
  if (!added && added.error() == std::errc::not_a_socket) return failure(std::errc::invalid_argument);
  return added;
}

Result<RegistrationId> EpollBackend::add(int descriptor, Entry entry) {
  if (is_inherited()) return inherited();
  const std::lock_guard lock(mutex_);
  if (epoll_ < 0) return gone();
  const auto slot = static_cast<std::uint32_t>(descriptor);
  entry.generation = ++generations_;
  entry.tag = static_cast<std::uint32_t>(entry.generation);
  int error = control(epoll_, EPOLL_CTL_ADD, slot, entry);
  const bool known = slot < table_.size() && table_[slot].generation != 0;
  // Removed while its number was closed and a duplicate open, and now back under that number.
  if (error == EEXIST && !known) error = control(epoll_, EPOLL_CTL_MOD, slot, entry);
  if (error == EPERM) return failure(std::errc::not_a_socket);
  if (error != 0) return system_failure(error);

  // Only now is it sure that the number is one of a descriptor, and not any number.
  if (!reserve(slot)) {
    control(epoll_, EPOLL_CTL_DEL, slot, entry);
    return failure(std::errc::not_enough_memory);
  }
  if (!known)
    ++live_;  // else the kernel has forgotten the old one, so its socket was closed: a number is not an identity
  table_[slot] = entry;
  return RegistrationId{slot, entry.generation};
}

Result<> EpollBackend::modify(RegistrationId id, std::optional<Interest> interest, std::optional<Mode> mode) {
  if (is_inherited()) return inherited();
  const std::lock_guard lock(mutex_);
  Entry* const entry = find(id);
  if (entry == nullptr) return gone();
  if (entry->is_handle && interest) return failure(std::errc::invalid_argument);
  Entry changed = *entry;
  changed.interest = interest.value_or(entry->interest);
  changed.mode = mode.value_or(entry->mode);
  changed.is_disarmed = false;
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
  if (is_inherited()) return inherited();
  const std::lock_guard lock(mutex_);
  if (find(id) == nullptr) return gone();
  return {};
}

Result<> EpollBackend::remove(RegistrationId id) {
  if (is_inherited()) return inherited();
  const std::lock_guard lock(mutex_);
  if (epoll_ < 0) return gone();
  Entry* const entry = find(id);
  if (entry == nullptr) return {};  // its socket was closed; what has the number now is another's
  control(epoll_, EPOLL_CTL_DEL, id.slot, *entry);
  erase(*entry);
  return {};
}

Result<WaitResult> EpollBackend::wait(std::span<Event> buffer, std::optional<nanoseconds> timeout) {
  if (is_inherited()) return inherited();
  const std::size_t batch = std::min(buffer.size(), batch_max);
  // At the end of the buffer: so every event lands on reports that have been read.
  const auto reports =
      std::as_writable_bytes(buffer.first(batch)).subspan(batch * (sizeof(Event) - sizeof(epoll_event)));
  auto deadline = Clock::time_point::max();
  if (timeout) {
    const auto now = Clock::now();
    deadline = now + std::min<Clock::duration>(*timeout, deadline - now);
  }
  Stale stale;
  bool has_paused = false;
  for (std::optional<nanoseconds> left = timeout;;) {
    const int count = epoll::kernel_wait(epoll_.load(std::memory_order_relaxed), reports, left, has_nanoseconds_);
    int error = count < 0 ? errno : 0;
    const auto came = reports.first(static_cast<std::size_t>(std::max(count, 0)) * sizeof(epoll_event));
    const auto taken = take(buffer, came, stale);
    if (taken.events != 0 || taken.woken) return WaitResult{taken.events, taken.woken};
    if (error != 0 && (error != EINTR || is_interruptible_)) return system_failure(error);
    if (timeout) left = std::max<nanoseconds>(deadline - Clock::now(), nanoseconds::zero());
    // A full batch of stale reports may stand before what is ready: then look once more, though without waiting.
    if (std::cmp_equal(count, batch) && !stale.seen_all) continue;
    // An outer loop sees the stale reports too, and would call again at once: it has to be delayed here.
    const bool holds_up = taken.is_short && taken.is_embedded && timeout == nanoseconds::zero();
    if (left == nanoseconds::zero() && (!holds_up || has_paused)) return WaitResult{};
    if (!taken.is_short) continue;
    error = epoll::pause_for(holds_up ? shortage_pause : std::min(left.value_or(shortage_pause), shortage_pause));
    if (error != 0 && is_interruptible_) return system_failure(error);
    has_paused = true;
    stale = {};
  }
}

EpollBackend::Taken EpollBackend::take(std::span<Event> buffer, std::span<const std::byte> reports, Stale& stale) {
  const std::lock_guard lock(mutex_);
  Taken taken;
  const std::uint64_t stale_before = stale_;
  for (; !reports.empty(); reports = reports.subspan(sizeof(epoll_event))) {
    epoll_event report;
    std::memcpy(&report, reports.data(), sizeof report);
    if (report.data.u64 == wake_mark) {
      // Not asked for when the report comes of rebuild().
      if (wake_asked_.exchange(false)) taken.woken = true;
      continue;
    }
    Entry* const entry = reported(report.data.u64);
    if (entry == nullptr) {
      on_stale(report.data.u64, stale);
      continue;
    }
    const auto slot = static_cast<std::uint32_t>(report.data.u64 >> 32);
    const auto [readiness, must_arm] = entry->on_report(static_cast<int>(slot), report.events);
    if (must_arm) control(epoll_, EPOLL_CTL_MOD, slot, *entry);
    if (readiness == Readiness::none) {
      ++counted_.spurious;
    } else {
      buffer[taken.events++] = Event(entry->token, readiness);
    }
  }
  ++counted_.wait_calls;
  counted_.events += taken.events;
  counted_.wakes += taken.woken ? 1 : 0;
  if (stale_ == stale_before) return taken;
  counted_.spurious += stale_ - stale_before;
  if (stale_ > live_ + stale_free) is_short_ = !rebuild();
  taken.is_short = is_short_;
  taken.is_embedded = outer_ >= 0;
  return taken;
}

EpollBackend::Entry* EpollBackend::reported(std::uint64_t mark) noexcept {
  const auto slot = static_cast<std::size_t>(mark >> 32);
  if (slot >= table_.size()) return nullptr;
  Entry& entry = table_[slot];
  return entry.generation != 0 && entry.tag == static_cast<std::uint32_t>(mark) ? &entry : nullptr;
}

// Brent's way to find a cycle: the mark to look for is renewed after 1, 2, 4 reports and so on, for what was reported
// under it may have been stale only once.
void EpollBackend::on_stale(std::uint64_t mark, Stale& stale) noexcept {
  ++stale_;
  stale.seen_all = stale.seen_all || stale.first == mark;
  if (++stale.reports < stale.renew_at) return;
  stale.first = mark;
  stale.renew_at *= 2;
}

// Async-signal-safe.
void EpollBackend::wake() noexcept {
  if (is_inherited()) return;  // the eventfd is the parent's too
  // Always an exchange, never a mere load: what the caller wrote before must be seen by the wait that takes this wake.
  if (wake_asked_.exchange(true)) return;
  post();
}

void EpollBackend::post() noexcept {
  const int interrupted_errno = errno;
  const std::uint64_t one = 1;
  static_cast<void>(syscall(SYS_write, wake_fd_, &one, sizeof one));
  errno = interrupted_errno;
  posts_.fetch_add(1, std::memory_order_relaxed);
}

Result<NativeHandle> EpollBackend::native_handle() {
  if (is_inherited()) return inherited();
  const std::lock_guard lock(mutex_);
  if (epoll_ < 0) return gone();
  if (outer_ >= 0) return outer_;
  // Not the instance itself: an event loop watches an open file, and the instance may be replaced by another one.
  const int made = epoll_create1(EPOLL_CLOEXEC);
  ++counted_.other_calls;
  if (made < 0) return system_failure(errno);
  epoll_event event{.events = EPOLLIN, .data = {}};
  ++counted_.arm_calls;
  if (epoll_ctl(made, EPOLL_CTL_ADD, epoll_, &event) != 0) {
    const int error = errno;
    close_number(made);
    return system_failure(error);
  }
  return outer_ = made;
}

Stats EpollBackend::stats() const noexcept {
  if (is_inherited()) return {};
  const std::lock_guard lock(mutex_);
  Stats stats = counted_;
  stats.post_calls = posts_.load(std::memory_order_relaxed);
  stats.registrations = live_;
  stats.memory_bytes = table_.capacity() * sizeof(Entry);
  return stats;
}

}  // namespace reactor
