// SPDX-License-Identifier: MIT
#include <reactor/epoll/entry.hpp>

#include <sys/epoll.h>

#include <reactor/epoll/readiness.hpp>

namespace reactor::epoll {

bool Entry::reports_once() const noexcept {
  return mode == Mode::oneshot || (mode == Mode::level && interest == Interest::none);
}

std::uint32_t Entry::kernel_bits() const noexcept {
  const std::uint32_t bits = bits_of(interest);
  const bool has_queue = error_queue != Readiness::none;
  // EPOLLONESHOT alone: EPOLLERR, which is still set, is reported once more, and then nothing is.
  if (has_queue && is_disarmed) return EPOLLONESHOT;
  if (has_queue || mode == Mode::edge) return bits | EPOLLET;
  return reports_once() ? bits | EPOLLONESHOT : bits;
}

Entry::Outcome Entry::on_report(int descriptor, std::uint32_t bits) noexcept {
  // A new instance reports everything once more, and so does EPOLLONESHOT alone.
  if (is_disarmed) return {};
  const bool had_queue = error_queue != Readiness::none;
  error_queue = Readiness::none;
  if ((bits & EPOLLERR) != 0) [[unlikely]] {
    error_queue = error_queue_of(descriptor).value_or(Readiness::none);
  }
  const bool has_queue = error_queue != Readiness::none;
  Readiness lasting = readiness_of(has_queue ? bits & ~std::uint32_t{EPOLLERR} : bits);
  // A read does not block then. Of a pipe whose writer is gone, and of a terminal, epoll sets EPOLLHUP alone.
  if ((bits & EPOLLHUP) != 0) lasting |= Readiness::readable & static_cast<Readiness>(interest);
  const Readiness readiness = lasting | (error_queue & static_cast<Readiness>(interest));
  const bool is_delivered = readiness != Readiness::none;
  is_disarmed = is_delivered && reports_once();
  if (!had_queue && !has_queue) [[likely]]
    return {.readiness = readiness};
  return {.readiness = readiness, .must_arm = must_arm(had_queue, is_delivered, lasting != Readiness::none)};
}

bool Entry::must_arm(bool had_queue, bool is_delivered, bool has_lasting) const noexcept {
  if (mode == Mode::edge) return false;
  // The kernel has disarmed it by itself where it had no queue.
  if (reports_once()) return had_queue == is_delivered;
  // What lasts is looked at again by the next wait. EPOLLERR alone is not: it stays set.
  const bool has_queue = error_queue != Readiness::none;
  return had_queue != has_queue || (has_queue && has_lasting);
}

}  // namespace reactor::epoll
