// SPDX-License-Identifier: MIT
#include "http_service.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "../../examples/http.hpp"

namespace bench {

bool HttpRequests::take(std::string_view came, std::string& responses) {
  if (head_.empty()) {
    const bool goes_on = answer(came, responses);
    head_ = came;
    return goes_on;
  }
  head_.append(came);
  std::string_view all = head_;
  const bool goes_on = answer(all, responses);
  head_.erase(0, head_.size() - all.size());
  return goes_on;
}

// Leaves in `bytes` the head that has not come wholly.
bool HttpRequests::answer(std::string_view& bytes, std::string& responses) {
  constexpr std::string_view end = "\r\n\r\n";
  for (;;) {
    const std::size_t skipped = std::min(body_left_, bytes.size());
    bytes.remove_prefix(skipped);
    body_left_ -= skipped;
    const std::size_t at = bytes.find(end);
    http::Request request;
    if (at == std::string_view::npos && bytes.size() < http::head_max_bytes) return true;
    const bool is_valid = at != std::string_view::npos && http::parse(bytes.substr(0, at + end.size()), request);
    http::respond(request, is_valid, is_valid && request.keeps_alive, responses);
    if (!is_valid || !request.keeps_alive) return false;
    bytes.remove_prefix(at + end.size());
    body_left_ = request.body_bytes;
  }
}

std::optional<Interest> HttpMember::ready(bool is_readable) {
  if (responses.empty()) {
    if (!is_readable) return interest;
    static thread_local std::array<char, 65536> buffer;
    const auto size = stream.receive(std::as_writable_bytes(std::span(buffer)));
    if (!size && size.error() == std::errc::operation_would_block) return Interest::readable;
    if (!size || *size == 0) return std::nullopt;
    keeps_alive = requests.take({buffer.data(), *size}, responses);
    if (responses.empty()) return Interest::readable;
  }
  const auto part = stream.send(std::as_bytes(std::span(responses)).subspan(sent));
  if (!part && part.error() != std::errc::operation_would_block) return std::nullopt;
  sent += part.value_or(0);
  if (sent != responses.size()) return Interest::writable;
  responses.clear();
  sent = 0;
  if (!keeps_alive) return std::nullopt;
  return Interest::readable;
}

HttpMember& HttpMembers::add(reactor::TcpStream stream) {
  HttpMember& member = members_.emplace_back();
  member.stream = std::move(stream);
  member.self = std::prev(members_.end());
  member.deadline = now_ + http_idle_time;
  return member;
}

std::optional<std::chrono::nanoseconds> HttpMembers::timeout() const noexcept {
  if (members_.empty()) return std::nullopt;
  return std::max<std::chrono::nanoseconds>(members_.front().deadline - now_, std::chrono::nanoseconds::zero());
}

}  // namespace bench
