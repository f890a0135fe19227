// SPDX-License-Identifier: MIT
//
// What was sent, as a pcapng file of raw IP packets [draft-ietf-opsawg-pcapng].
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include <reactor/sim/trace.hpp>

namespace reactor::sim {

namespace {

using Bytes = std::vector<std::uint8_t>;
using Packet = Network::Packet;

constexpr std::uint8_t tcp = 6, udp = 17;
constexpr std::uint8_t fin_bit = 1, syn_bit = 2, rst_bit = 4, psh_bit = 8, ack_bit = 16;
constexpr std::size_t part_max = 1440;

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8 & 0xFF));
  out.push_back(static_cast<std::uint8_t>(value & 0xFF));
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xFFFF);
}
/// The file's own numbers are little-endian.
void put32_file(Bytes& out, std::uint32_t value) {
  for (int i = 0; i < 4; i++) out.push_back(static_cast<std::uint8_t>(value >> 8 * i & 0xFF));
}
void set16(Bytes& out, std::size_t at, std::size_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8 & 0xFF);
  out[at + 1] = static_cast<std::uint8_t>(value & 0xFF);
}

std::uint32_t sum_of(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
  }
  return sum;
}
std::uint16_t checksum(std::uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum & 0xFFFF);
}

Bytes ip_packet(const Name& from, const Name& to, std::uint8_t protocol, Bytes payload, std::size_t checksum_at) {
  const bool is_v4 = from.kind == Name::Kind::ipv4;
  const std::size_t address = is_v4 ? 4 : 16;
  const std::span<const std::uint8_t> source(from.ip.data(), address), target(to.ip.data(), address);
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::uint16_t sum = checksum(sum_of(source) + sum_of(target) + protocol + size + sum_of(payload));
  if (sum == 0 && protocol == udp) sum = 0xFFFF;
  set16(payload, checksum_at, sum);
  Bytes packet;
  if (is_v4) {
    packet = {0x45, 0};
    put16(packet, 20 + payload.size());
    packet.insert(packet.end(), {0, 0, 0x40, 0, 64, protocol, 0, 0});
  } else {
    packet = {0x60, 0, 0, 0};
    put16(packet, payload.size());
    packet.insert(packet.end(), {protocol, 64});
  }
  packet.insert(packet.end(), source.begin(), source.end());
  packet.insert(packet.end(), target.begin(), target.end());
  if (is_v4) set16(packet, 10, checksum(sum_of(packet)));
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

class Writer {
 public:
  explicit Writer(std::FILE* file) : file_(file) {
    Bytes section;
    put32_file(section, 0x1A2B3C4D);
    section.insert(section.end(), {1, 0, 0, 0});
    section.insert(section.end(), 8, 0xFF);
    block(0x0A0D0D0A, section);
    Bytes interface{101, 0, 0, 0};  // LINKTYPE_RAW
    put32_file(interface, 0);
    interface.insert(interface.end(), {9, 0, 1, 0, 9, 0, 0, 0});  // if_tsresol: nanoseconds
    interface.insert(interface.end(), {0, 0, 0, 0});
    block(1, interface);
  }

  void record(const Trace::Record& record) {
    if (record.from.kind == Name::Kind::none || record.from.kind == Name::Kind::path) return;
    if (record.from.kind != record.to.kind) return;
    const auto& [time, from, to] = std::tie(record.time, record.from, record.to);
    const bool is_sent = record.fate == Network::Fate::sent;
    switch (record.packet) {
      case Packet::syn:
        if (is_sent) segment(time, from, to, syn_bit, {}, 1);
        break;
      case Packet::syn_ack: segment(time, from, to, syn_bit | ack_bit, {}, 1); break;
      case Packet::data:
        if (is_sent) data(record);
        break;
      case Packet::fin:
        if (is_sent) segment(time, from, to, fin_bit | ack_bit, {}, 1);
        break;
      case Packet::reset:
        if (!is_sent) segment(time, from, to, rst_bit | ack_bit, {}, 0);
        break;
      case Packet::datagram:
        if (is_sent) datagram(record);
        break;
      case Packet::unreachable: break;
    }
  }

  [[nodiscard]] bool is_good() const { return is_good_; }

 private:
  static std::vector<std::uint8_t> payload_of(const Trace::Record& record) {
    std::vector<std::uint8_t> bytes(record.bytes);  // zeros where they were not recorded
    std::memcpy(bytes.data(), record.data.data(), std::min(bytes.size(), record.data.size()));
    return bytes;
  }

  void data(const Trace::Record& record) {
    const auto bytes = payload_of(record);
    for (std::span<const std::uint8_t> left = bytes; !left.empty();) {
      const auto part = left.first(std::min(left.size(), part_max));
      segment(record.time, record.from, record.to, psh_bit | ack_bit, part, part.size());
      left = left.subspan(part.size());
    }
  }

  void segment(std::chrono::nanoseconds time, const Name& from, const Name& to, int flags,
               std::span<const std::uint8_t> bytes, std::size_t advance) {
    std::uint32_t& next = next_[from.text() + to.text()];
    if ((flags & syn_bit) != 0) next = 0;
    const std::uint32_t acknowledged = next_[to.text() + from.text()];
    Bytes header;
    put16(header, from.port);
    put16(header, to.port);
    put32(header, next);
    put32(header, (flags & ack_bit) != 0 ? acknowledged : 0);
    header.push_back(5 << 4);
    header.push_back(static_cast<std::uint8_t>(flags));
    put16(header, 0xFFFF);
    put32(header, 0);
    header.insert(header.end(), bytes.begin(), bytes.end());
    next_[from.text() + to.text()] += static_cast<std::uint32_t>(advance);
    packet(time, ip_packet(from, to, tcp, std::move(header), 16));
  }

  void datagram(const Trace::Record& record) {
    Bytes header;
    put16(header, record.from.port);
    put16(header, record.to.port);
    put16(header, 8 + record.bytes);
    put16(header, 0);
    const auto bytes = payload_of(record);
    header.insert(header.end(), bytes.begin(), bytes.end());
    packet(record.time, ip_packet(record.from, record.to, udp, std::move(header), 6));
  }

  void packet(std::chrono::nanoseconds time, const Bytes& bytes) {
    Bytes body;
    const auto stamp = static_cast<std::uint64_t>(time.count());
    put32_file(body, 0);
    put32_file(body, static_cast<std::uint32_t>(stamp >> 32));
    put32_file(body, static_cast<std::uint32_t>(stamp));
    put32_file(body, static_cast<std::uint32_t>(bytes.size()));
    put32_file(body, static_cast<std::uint32_t>(bytes.size()));
    body.insert(body.end(), bytes.begin(), bytes.end());
    body.resize((body.size() + 3) / 4 * 4);
    block(6, body);
  }

  void block(std::uint32_t type, const Bytes& body) {
    Bytes all;
    const auto size = static_cast<std::uint32_t>(body.size() + 12);
    put32_file(all, type);
    put32_file(all, size);
    all.insert(all.end(), body.begin(), body.end());
    put32_file(all, size);
    is_good_ = is_good_ && std::fwrite(all.data(), 1, all.size(), file_) == all.size();
  }

  std::FILE* file_;
  bool is_good_ = true;
  std::map<std::string, std::uint32_t> next_;  // sequence number, by both ends
};

}  // namespace

bool Trace::write_pcapng(const std::string& path) const {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
  if (file == nullptr) return false;
  Writer writer(file.get());
  for (const Record& record : records_) {
    if (!record.is_note) writer.record(record);
  }
  return writer.is_good();
}

}  // namespace reactor::sim
