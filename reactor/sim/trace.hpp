// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <reactor/sim/sim_endpoint.hpp>

namespace reactor::sim {

/// What has happened in a World: always as a hash, and as records when they are wanted.
class Trace {
 public:
  using Fate = Network::Fate;
  using Packet = Network::Packet;
  struct Record {
    std::chrono::nanoseconds time;  // since the World began
    std::string host;               // where it was seen
    bool is_note = false;
    Fate fate = Fate::sent;
    Packet packet = Packet::data;
    Name from, to;
    std::size_t bytes = 0;
    std::vector<std::byte> data;
    std::string text;
  };

  bool is_recorded = false;

  void packet(std::chrono::nanoseconds time, std::string_view host, Fate fate, Packet packet, const Name& from,
              const Name& to, std::size_t bytes, std::span<const std::byte> data);
  void note(std::chrono::nanoseconds time, std::string_view host, std::string_view text);
  /// Something that only the hash is to have.
  void mix(std::uint64_t value) noexcept { hash_ = (hash_ ^ value) * 0x100000001B3 + (hash_ >> 29); }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] const std::vector<Record>& records() const noexcept { return records_; }

  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool write_pcapng(const std::string& path) const;
  /// `host_of` says which host has an address.
  [[nodiscard]] bool write_svg(const std::string& path, std::size_t rows_max, const std::vector<std::string>& hosts,
                               const std::function<std::string(const Name&)>& host_of) const;

  [[nodiscard]] static std::string line(const Record& record);
  [[nodiscard]] static std::string what(const Record& record);

 private:
  void mix(std::span<const std::byte> bytes) noexcept;
  void mix(const Name& name) noexcept;

  std::uint64_t hash_ = 0xCBF29CE484222325;
  std::vector<Record> records_;
};

}  // namespace reactor::sim
