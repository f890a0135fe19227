// SPDX-License-Identifier: MIT
#include <reactor/loop/reader.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#include <reactor/loop/memory.hpp>
#include <reactor/loop/socket_state.hpp>

namespace reactor {

namespace {

constexpr std::size_t first_capacity = 4096;

// As string_view::find, for a delimiter of a few bytes: compares them without a call.
std::size_t find_delimiter(std::string_view text, std::string_view delimiter, std::size_t from) noexcept {
  while (from + delimiter.size() <= text.size()) {
    const void* const found = std::memchr(text.data() + from, delimiter[0], text.size() - from - delimiter.size() + 1);
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    std::size_t same = 1;
    while (same != delimiter.size() && text[at + same] == delimiter[same]) ++same;
    if (same == delimiter.size()) return at;
    from = at + 1;
  }
  return std::string_view::npos;
}

}  // namespace

namespace detail {

// What is buffered already needs no socket.
bool ReadOperation::await_ready() {
  if (is_stopped()) return IoOperation::await_ready();
  reader_->drop_taken();
  reader_->scanned_ = 0;
  const bool is_empty = reader_->begin_ == reader_->end_;
  const bool may_be_there = !is_empty || what_ != What::until;  // of no bytes it may be asked for none
  if (may_be_there && find()) return true;
  if (is_empty) reader_->release();  // it may wait for long
  return IoOperation::await_ready();
}

// True when the operation is complete.
bool ReadOperation::find() {
  const std::string_view buffered = reader_->buffered();
  std::size_t size = 0;
  switch (what_) {
    case What::some:
      if (buffered.empty() && size_ != 0) return false;
      size = std::min(buffered.size(), size_);
      break;
    case What::exactly:
      if (size_ > reader_->limit_) return fail(failure(std::errc::message_size).error()) == Tried::completed;
      if (buffered.size() < size_) return false;
      size = size_;
      break;
    case What::until: {
      const std::size_t at = find_delimiter(buffered.substr(0, reader_->limit_), delimiter_, reader_->scanned_);
      if (at == std::string_view::npos) {
        if (buffered.size() >= reader_->limit_)
          return fail(failure(std::errc::message_size).error()) == Tried::completed;
        // It may have begun.
        reader_->scanned_ = buffered.size() - std::min(buffered.size(), delimiter_.size() - 1);
        return false;
      }
      size = at + delimiter_.size();
      break;
    }
  }
  taken_ = reader_->take(size);
  return true;
}

IoOperation::Tried ReadOperation::attempt() {
  for (;;) {
    const auto into = reader_->space();
    const auto size = receive_into(state(), into);
    if (!size) {
      if (reader_->begin_ == reader_->end_) reader_->release();
      return fail_or_wait(size.error());
    }
    if (*size == 0) {
      const bool is_clean = reader_->begin_ == reader_->end_;
      return fail(failure(is_clean ? std::errc::no_message : std::errc::connection_aborted).error());
    }
    const bool is_empty_now = *size < into.size() && was_emptied(*state());
    reader_->end_ += *size;
    if (find()) return complete();
    if (is_empty_now) return Tried::would_block;
  }
}

}  // namespace detail

std::string_view BufferedReader::take(std::size_t size) noexcept {
  taken_ = size;
  return buffered().substr(0, size);
}

void BufferedReader::drop_taken() noexcept {
  begin_ += std::exchange(taken_, 0);
  if (begin_ == end_) begin_ = end_ = 0;
}

// Where to receive: at least one byte.
std::span<std::byte> BufferedReader::space() {
  if (end_ == capacity_ && begin_ != 0) {
    std::memmove(memory_, memory_ + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  if (end_ == capacity_) {
    const std::size_t larger = std::max(first_capacity, capacity_ * 2);
    char* const memory = static_cast<char*>(detail::allocate(larger));
    if (end_ != 0) std::memcpy(memory, memory_, end_);
    if (memory_ != nullptr) detail::release(memory_, capacity_);
    memory_ = memory;
    capacity_ = larger;
  }
  return std::as_writable_bytes(std::span(memory_ + end_, capacity_ - end_));
}

void BufferedReader::release() noexcept {
  if (memory_ != nullptr) detail::release(std::exchange(memory_, nullptr), std::exchange(capacity_, 0));
  begin_ = end_ = taken_ = scanned_ = 0;
}

}  // namespace reactor
