// SPDX-License-Identifier: MIT
#include <reactor/sim/trace.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <utility>

namespace reactor::sim {

namespace {

using namespace std::string_view_literals;
constexpr std::array packet_names{"SYN"sv, "SYN-ACK"sv, "data"sv, "FIN"sv, "RST"sv, "datagram"sv, "unreachable"sv};
constexpr std::array fate_names{"sends"sv, "gets"sv, "LOST"sv, "REPEATED"sv};

/// What can be read of it, in quotes.
std::string quoted(std::span<const std::byte> data) {
  constexpr std::size_t shown_max = 48;
  std::string text = " \"";
  for (const std::byte byte : data.first(std::min(data.size(), shown_max))) {
    const char c = static_cast<char>(byte);
    if (c == '\n') text += "\\n";
    if (c == '\r') text += "\\r";
    if (c != '\n' && c != '\r') text += c >= ' ' && c <= '~' ? c : '.';
  }
  return text + (data.size() > shown_max ? "\"..." : "\"");
}

}  // namespace

void Trace::mix(std::span<const std::byte> bytes) noexcept {
  mix(bytes.size());
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    std::uint64_t part = 0;
    std::memcpy(&part, bytes.data(), 8);
    mix(part);
  }
  for (const std::byte byte : bytes) mix(std::to_integer<std::uint64_t>(byte));
}

void Trace::mix(const Name& name) noexcept {
  mix(name.port);
  mix(std::as_bytes(std::span(name.ip)));
  if (!name.path.empty()) mix(std::as_bytes(std::span(name.path)));
}

void Trace::packet(std::chrono::nanoseconds time, std::string_view host, Fate fate, Packet packet, const Name& from,
                   const Name& to, std::size_t bytes, std::span<const std::byte> data) {
  mix(static_cast<std::uint64_t>(time.count()));
  mix(static_cast<std::uint64_t>(std::to_underlying(fate)) << 8 | std::to_underlying(packet));
  mix(from);
  mix(to);
  mix(bytes);
  mix(data);
  if (!is_recorded) return;
  records_.push_back({time, std::string(host), false, fate, packet, from, to, bytes, {data.begin(), data.end()}, {}});
}

void Trace::note(std::chrono::nanoseconds time, std::string_view host, std::string_view text) {
  mix(static_cast<std::uint64_t>(time.count()));
  mix(std::as_bytes(std::span(text)));
  if (!is_recorded) return;
  Record record{};
  record.time = time;
  record.host = host;
  record.is_note = true;
  record.text = text;
  records_.push_back(std::move(record));
}

std::string Trace::what(const Record& record) {
  if (record.is_note) return record.text;
  std::string text(packet_names[std::to_underlying(record.packet)]);
  if (record.bytes > 0) text += " " + std::to_string(record.bytes) + (record.bytes == 1 ? " byte" : " bytes");
  if (!record.data.empty()) text += quoted(record.data);
  return text;
}

std::string Trace::line(const Record& record) {
  std::array<char, 96> head{};
  const double ms = std::chrono::duration<double, std::milli>(record.time).count();
  std::snprintf(head.data(), head.size(), "%14.6f ms  %-10s ", ms, record.host.c_str());
  if (record.is_note) return head.data() + record.text;
  std::array<char, 16> fate{};
  std::snprintf(fate.data(), fate.size(), "%-6s ", fate_names[std::to_underlying(record.fate)].data());
  return std::string(head.data()) + fate.data() + what(record) + "  " + record.from.text() + " -> " + record.to.text();
}

std::string Trace::text() const {
  std::string text;
  for (const Record& record : records_) text += line(record) + "\n";
  return text;
}

}  // namespace reactor::sim
