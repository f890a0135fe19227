// SPDX-License-Identifier: MIT
//
// The model check on each system that the tests run on. sim_check does the same for any number of seeds.
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model_checker.hpp"

using namespace reactor::sim::model;

namespace {

// FNV-1a of numbers, each as eight bytes, the lowest first.
class Hash {
 public:
  void add(std::uint64_t number) {
    for (int i = 0; i < 8; i++, number >>= 8) value_ = (value_ ^ (number & 0xFF)) * 0x100000001B3;
  }
  void add(const reactor::sim::Delay& delay) {
    add(static_cast<std::uint64_t>(delay.low.count()));
    add(static_cast<std::uint64_t>(delay.high.count()));
  }
  void add(const reactor::sim::Faults& faults) {
    using Numbers = std::array<int, sizeof faults / sizeof(int)>;
    for (const int fault : std::bit_cast<Numbers>(faults)) add(static_cast<std::uint64_t>(fault));
  }
  void add(const Program& program) {
    const reactor::sim::Options& options = program.options;
    add(options.seed);
    for (const auto& delay : {options.flight, options.completion, options.packet, options.refusal}) add(delay);
    add(options.faults);
    for (const bool flag :
         {options.skips, options.has_reserves, options.entangles, program.inline_completions, program.hot_groups}) {
      add(flag ? 1 : 0);
    }
    for (const std::size_t size :
         {options.send_capacity, options.receive_capacity, program.sockets_max, program.buffer_max}) {
      add(size);
    }
    add(std::to_underlying(options.flavour));
    add(std::to_underlying(program.ending));
    for (const Step& step : program.steps) {
      for (const int number : {int{std::to_underlying(step.op)}, int{step.a}, int{step.b}, int{step.c}}) {
        add(static_cast<std::uint64_t>(number));
      }
      add(step.during ? 1 : 0);
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325;
};

}  // namespace

TEST_CASE("model: a seed is the same program with every compiler") {
  Hash hash;
  for (std::uint64_t seed = 0; seed < 1000; seed++) hash.add(make_program(seed));
  CHECK(hash.value() == 3597018709551390413);  // changes with make_program: then write the new value here
}

TEST_CASE("model: 400 seeds") {
  Totals totals;
  for (std::uint64_t seed = 0; seed < 400; seed++) {
    CAPTURE(seed);  // sim_replay shows it
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
  }
  MESSAGE(describe(totals));
  // Without events it would be no check.
  CHECK(totals.events > 400 * 20);
  CHECK(totals.group_arms > 400);
  CHECK(totals.wakes > 400);
  CHECK(totals.denied > 10);
  CHECK(totals.replaced > 400);
  CHECK(totals.not_afd > 10);
  CHECK(totals.deferred > 5);
}

TEST_CASE("model: 400 seeds on socket notifications") {
  Totals totals;
  for (std::uint64_t seed = 0; seed < 400; seed++) {
    CAPTURE(seed);  // sim_replay SEED --notifications shows it
    CHECK(run(with_notifications(make_program(seed)), nullptr, &totals).value_or("") == "");
  }
  MESSAGE(describe(totals));
  CHECK(totals.events > 400 * 20);
  CHECK(totals.wakes > 400);
  CHECK(totals.denied > 10);
  CHECK(totals.replaced > 400);
  CHECK(totals.not_afd > 10);
}

// While a thread handles an event of a registration, another one finds that it was removed with another number of its
// socket.
TEST_CASE("model: a removal on socket notifications, of what another thread handles") {
  for (const std::uint64_t seed : {21201U, 21441U, 117197U}) {
    CAPTURE(seed);
    CHECK(run(with_notifications(make_program(seed))).value_or("") == "");
  }
}

TEST_CASE("model: more hot sockets than a group can have") {
  for (const std::uint64_t seed : {499U, 999U, 1499U}) {
    CAPTURE(seed);
    Totals totals;
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
    CHECK(totals.group_members_max == 256);
  }
}

TEST_CASE("model: more packets, and a larger buffer, than one dequeue takes") {
  for (const std::uint64_t seed : {249U, 1249U, 2249U}) {
    CAPTURE(seed);
    Totals totals;
    CHECK(run(make_program(seed), nullptr, &totals).value_or("") == "");
    CHECK(totals.packets_max == 256);
  }
}

TEST_CASE("model: a seed is the same run each time") {
  const auto run_of = [](std::uint64_t seed) {
    std::string text;
    Program program = make_program(seed);
    program.options.trace = [&](std::string_view line) { (text += line) += '\n'; };
    const Checker::Log log = [&](std::string_view line) { (text += line) += '\n'; };
    CHECK(run(program, &log).value_or("") == "");
    return text;
  };
  for (const std::uint64_t seed : {1U, 2U, 3U}) CHECK(run_of(seed) == run_of(seed));
  CHECK(run_of(4) != run_of(5));
}

TEST_CASE("model: any bytes of a fuzzer are a program") {
  reactor::sim::Random random(1);
  for (int i = 0; i < 100; i++) {
    std::vector<std::uint8_t> bytes(random.below(300));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    CHECK(run(decode_program(bytes)).value_or("") == "");
  }
}
