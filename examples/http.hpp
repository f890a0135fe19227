// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

/// As much of HTTP/1.1 as loop_http and its counterparts in the benchmark need.
namespace http {

inline constexpr std::size_t head_max_bytes = 8192;

struct Request {
  std::string_view method, target;
  std::size_t body_bytes = 0;
  bool keeps_alive = true;
};

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool is_same(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }

inline std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

inline std::string_view take_until(std::string_view& text, std::string_view delimiter) {
  const std::size_t at = std::min(text.find(delimiter), text.size());
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(std::min(at + delimiter.size(), text.size()));
  return taken;
}

/// False: not a request that this server understands. `head` ends with an empty line.
inline bool parse(std::string_view head, Request& request) {
  std::string_view line = take_until(head, "\r\n");
  request.method = take_until(line, " ");
  request.target = take_until(line, " ");
  if (request.target.empty() || !line.starts_with("HTTP/1.")) return false;
  request.keeps_alive = line != "HTTP/1.0";
  while (!head.empty() && !head.starts_with("\r\n")) {
    std::string_view value = take_until(head, "\r\n");
    const std::string_view name = take_until(value, ":");
    value = trimmed(value);
    if (is_same(name, "connection")) {
      request.keeps_alive = is_same(value, "keep-alive") || (request.keeps_alive && !is_same(value, "close"));
    } else if (is_same(name, "content-length")) {
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), request.body_bytes);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) return false;
    } else if (is_same(name, "transfer-encoding")) {
      return false;
    }
  }
  return true;
}

/// Appends a response to a text.
inline void respond(const Request& request, bool is_valid, bool keeps_alive, std::string& to) {
  std::string_view status = "200 OK", body = "Hello, World!\n";
  if (request.target != "/") status = "404 Not Found", body = "There is no such page.\n";
  if (!is_valid) status = "400 Bad Request", body = "This server does not understand that.\n";
  to.append("HTTP/1.1 ").append(status);
  to.append("\r\nContent-Type: text/plain\r\nContent-Length: ").append(std::to_string(body.size()));
  to.append(keeps_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
  if (request.method != "HEAD") to.append(body);
}

}  // namespace http
