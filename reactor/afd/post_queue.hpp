// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include <reactor/assert.hpp>
#include <reactor/event.hpp>

namespace reactor::afd {

/// What a program has posted and no wait has delivered yet, oldest first. It keeps its memory, so a push allocates only
/// when there are more than ever before ("steady state allocates nothing").
///
/// Not thread-safe: the backend's lock guards it.
class PostQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  /// False: there is no memory, and nothing was pushed.
  [[nodiscard]] bool push(Token token) noexcept {
    if (count_ == capacity_ && !grow()) return false;
    ring_[(first_ + count_) % capacity_] = token;
    count_++;
    return true;
  }

  [[nodiscard]] Token pop() noexcept {
    REACTOR_ASSERT(!empty());
    const Token token = ring_[first_];
    first_ = (first_ + 1) % capacity_;
    count_--;
    return token;
  }

 private:
  [[nodiscard]] bool grow() noexcept {
    const std::size_t capacity = std::max<std::size_t>(16, 2 * capacity_);
    std::unique_ptr<Token[]> larger(new (std::nothrow) Token[capacity]);
    if (larger == nullptr) return false;
    for (std::size_t i = 0; i < count_; i++) larger[i] = ring_[(first_ + i) % capacity_];
    ring_ = std::move(larger);
    capacity_ = capacity;
    first_ = 0;
    return true;
  }

  std::unique_ptr<Token[]> ring_;
  std::size_t capacity_ = 0, first_ = 0, count_ = 0;
};

}  // namespace reactor::afd
