// SPDX-License-Identifier: MIT
#include "model_program.hpp"

#include <algorithm>
#include <utility>

#include <reactor/sim/sim_random.hpp>

namespace reactor::sim::model {

using namespace std::chrono_literals;

namespace {

// How often each step is drawn, in the order of Op, while the program is in a phase of that kind.
using Weights = std::array<int, op_names.size()>;
//                          op ad mo dr rm cl se re sh ur co ac wk wait pa st ep bu pk ch in ob
constexpr Weights building{30, 40, 4, 1, 1, 1, 5, 1, 0, 1, 6, 2, 1, 6, 1, 1, 0, 1, 0, 0, 0, 0};
constexpr Weights mixed{6, 8, 9, 5, 6, 6, 12, 6, 2, 3, 4, 3, 4, 22, 4, 2, 2, 3, 1, 1, 1, 0};
constexpr Weights hot{1, 2, 3, 1, 1, 1, 5, 1, 0, 1, 1, 1, 2, 40, 1, 0, 1, 38, 0, 0, 1, 0};
constexpr Weights churn{18, 22, 3, 1, 8, 20, 5, 1, 1, 0, 4, 3, 2, 14, 1, 4, 1, 3, 1, 0, 4, 0};
// Few sockets, whose numbers are used again and again while duplicates and children keep the old ones open.
constexpr Weights reuse{8, 22, 8, 3, 3, 22, 10, 3, 1, 0, 1, 1, 2, 18, 3, 2, 1, 3, 0, 1, 8, 0};
// Several threads, which wait and change what is registered.
constexpr Weights threads{2, 4, 10, 8, 1, 1, 14, 4, 0, 1, 1, 1, 3, 36, 6, 0, 1, 14, 0, 0, 0, 0};

Op draw(Random& random, const Weights& weights) {
  int total = 0;
  for (const int weight : weights) total += weight;
  auto at = static_cast<int>(random.below(static_cast<std::size_t>(total)));
  std::size_t op = 0;
  while (at >= weights[op]) at -= weights[op++];
  return static_cast<Op>(op);
}

std::uint8_t byte(Random& random) { return static_cast<std::uint8_t>(random.next()); }

void add_phase(Program& program, Random& random, const Weights& weights, std::size_t count) {
  // In a hot phase the same sockets fire each time, and the buffer has the same size.
  const std::uint8_t first = byte(random), size = byte(random), buffer = byte(random);
  for (; count > 0; count--) {
    Step step{draw(random, weights), byte(random), byte(random), byte(random), false};
    if (&weights == &hot && step.op == Op::burst) {
      step.a = first;
      step.b = size;
    }
    if (&weights == &hot && step.op == Op::wait) {
      step.a = random.chance(850) ? buffer : step.a;
      step.c |= 3;  // events are handled
    }
    if (step.op == Op::add && random.chance(750)) step.b = 1;  // readable, level
    step.during = step.op != Op::checkpoint && random.chance(&weights == &threads ? 600 : 150);
    program.steps.push_back(step);
  }
}

Faults draw_faults(Random& random) {
  Faults faults;
  const auto maybe = [&](int& fault, int most) {
    if (random.chance(400)) fault = 1 + static_cast<int>(random.below(static_cast<std::size_t>(most)));
  };
  maybe(faults.spurious, 300);
  maybe(faults.unasked_cancel, 300);
  maybe(faults.cancel_late, 500);
  maybe(faults.cancel_refused, 200);
  maybe(faults.poll_refused, 100);
  if (random.chance(100)) faults.poll_denied = 1 + static_cast<int>(random.below(50));
  if (random.chance(200)) faults.empty_answer = 1 + static_cast<int>(random.below(300));
  maybe(faults.post_refused, 200);
  maybe(faults.helper_refused, 200);
  maybe(faults.reserve_refused, 500);
  maybe(faults.base_refused, 100);
  maybe(faults.skip_refused, 500);
  maybe(faults.dequeue_refused, 50);
  maybe(faults.early_time_out, 700);
  maybe(faults.shuffled_packet, 500);
  if (random.chance(200)) faults.poll_invalid = 1 + static_cast<int>(random.below(50));
  if (random.chance(100)) faults.port_refused = 1 + static_cast<int>(random.below(500));
  return faults;
}

void draw_circumstances(Program& program, Random& random) {
  Options& options = program.options;
  options.seed = random.next();
  options.flavour = random.chance(500) ? Flavour::windows : Flavour::wine;
  const auto delay = [&]() -> Delay {
    switch (random.below(3)) {
      case 0: return {};
      case 1: return {0ns, 200us};
      default: return {0ns, 20ms};
    }
  };
  if (random.chance(600)) {
    options.flight = delay();
    options.completion = delay();
    options.packet = delay();
    options.refusal = delay();
  }
  if (random.chance(600)) options.faults = draw_faults(random);
  options.skips = random.chance(850);
  options.has_reserves = random.chance(700);
  options.entangles = random.chance(500);
  if (random.chance(300)) options.send_capacity = 1000;
  if (random.chance(300)) options.receive_capacity = 1000;
  program.inline_completions = random.chance(850);
  program.hot_groups = random.chance(850);
  program.ending = static_cast<Ending>(random.below(3));
}

/// Steps with objects that can be waited for, between the others.
void add_objects(Program& program, Random& random) {
  std::vector<Step> steps;
  for (const Step& step : program.steps) {
    steps.push_back(step);
    while (random.chance(200)) {
      const std::uint8_t which = byte(random), how = byte(random), more = byte(random);
      steps.push_back({Op::object, which, how, more, random.chance(200)});
    }
  }
  program.steps = std::move(steps);
  if (random.chance(300)) program.options.faults.wait_refused = 1 + static_cast<int>(random.below(200));
  program.options.has_wait_packets = random.chance(750);
}

/// A fifth of all seeds: where the clock has ticks. Half of these have timers of high resolution.
void add_ticks(Program& program) {
  if (program.seed % 5 != 2) return;
  program.options.tick = 15'625us;
  program.high_resolution = program.seed % 2 == 0;
}

}  // namespace

bool Program::is_strict() const noexcept {
  const auto is_zero = [](const Delay& delay) { return delay.high == 0ns; };
  return is_zero(options.flight) && is_zero(options.completion) && is_zero(options.packet);
}

Program make_program(std::uint64_t seed) {
  Program program;
  program.seed = seed;
  // Neighbouring seeds of one generator give one sequence, shifted: so the seed is mixed first.
  Random random(Random(seed).next() ^ 0x6D6F64656C);
  draw_circumstances(program, random);
  program.by_number = seed % 4 == 3;
  if (const bool has_large_buffer = seed % 1000 == 249; has_large_buffer || seed % 500 == 499) {
    program.sockets_max = 700;
    program.options.faults.skip_refused = program.options.faults.helper_refused = 0;
    program.options.faults.port_refused = program.options.faults.poll_invalid = 0;
    program.options.faults.poll_denied = program.options.faults.empty_answer = 0;
    std::size_t pairs = 320;
    if (has_large_buffer) {  // and more packets than one dequeue takes, after those that led up to it
      program.sockets_max = 1400;
      program.buffer_max = 700;
      pairs = 640;
      program.hot_groups = false;
    } else {  // more hot sockets than a group can have
      program.hot_groups = program.inline_completions = program.options.skips = true;
    }
    for (std::size_t i = 0; i < pairs; i++) {
      program.steps.push_back({Op::open, 0, 0, 0, false});
      program.steps.push_back({Op::add, static_cast<std::uint8_t>(i), 1, 255, false});
    }
    for (int i = 0; i < 12; i++) {
      program.steps.push_back({Op::burst, 0, 255, 0, false});
      if (has_large_buffer) program.steps.insert(program.steps.end(), 3, {Op::pass, 255, 0, 0, false});
      for (int j = 0; j < 6; j++) program.steps.push_back({Op::wait, 63, 1, 3, false});
    }
    add_phase(program, random, hot, 40);
    return program;
  }
  add_phase(program, random, building, 10 + random.below(30));
  if (random.chance(250)) {  // many, all readable, so that groups get large
    for (std::size_t i = 8 + random.below(16); i > 0; i--) {
      program.steps.push_back({Op::open, 0, 0, 0, false});
      program.steps.push_back({Op::add, 0, 1, 255, false});
    }
  }
  for (std::size_t phases = 1 + random.below(3); phases > 0; phases--) {
    const std::array kinds{&mixed, &hot, &hot, &churn, &reuse, &threads};
    // Each draw is a statement of its own: compilers evaluate arguments in orders of their own.
    const std::size_t count = 15 + random.below(50);
    const Weights& weights = *kinds[random.below(kinds.size())];
    add_phase(program, random, weights, count);
  }
  if (seed % 3 == 1 && !program.by_number) add_objects(program, random);
  add_ticks(program);
  return program;
}

Program with_notifications(Program program) {
  program.notifications = true;
  program.by_number = false;                                                        // the C API has polls alone
  if (program.ending == Ending::close_unseen) program.ending = Ending::remove_all;  // no close is noticed by itself
  Random random(program.options.seed ^ 0x66617574);
  Faults& faults = program.options.faults;
  const bool has_faults = faults.poll_refused + faults.spurious + faults.unasked_cancel + faults.poll_invalid > 0;
  if (has_faults && random.chance(500)) faults.notify_refused = 1 + static_cast<int>(random.below(100));
  if (has_faults && random.chance(500)) faults.change_refused = 1 + static_cast<int>(random.below(100));
  if (has_faults && random.chance(300)) faults.change_invalid = 1 + static_cast<int>(random.below(50));
  return program;
}

Program decode_program(std::span<const std::uint8_t> bytes) {
  Program program;
  std::array<std::uint8_t, 8> head{};
  std::ranges::copy(bytes.first(std::min(bytes.size(), head.size())), head.begin());
  bytes = bytes.subspan(std::min(bytes.size(), head.size()));
  Options& options = program.options;
  options.seed = head[0];
  options.flavour = (head[1] & 1) != 0 ? Flavour::wine : Flavour::windows;
  options.skips = (head[1] & 2) == 0;
  options.has_reserves = (head[3] & 4) == 0;
  options.entangles = (head[3] & 8) == 0;
  program.inline_completions = (head[1] & 4) == 0;
  program.by_number = (head[3] & 16) != 0;
  program.hot_groups = (head[1] & 8) == 0;
  program.ending = static_cast<Ending>((head[1] >> 4) % 3);
  const auto delay = [](int bits) -> Delay { return {0ns, std::array{0us, 0us, 200us, 20000us}[bits & 3]}; };
  options.flight = delay(head[2]);
  options.completion = delay(head[2] >> 2);
  options.packet = delay(head[2] >> 4);
  options.refusal = delay(head[2] >> 6);
  if ((head[3] & 1) != 0) options.send_capacity = options.receive_capacity = 1000;
  const auto fault = [&](int& chance, std::size_t bit, int value) {
    if (((head[4 + bit / 8] >> (bit % 8)) & 1) != 0) chance = value;
  };
  Faults& faults = options.faults;
  fault(faults.spurious, 0, 200);
  fault(faults.unasked_cancel, 1, 200);
  fault(faults.cancel_late, 2, 300);
  fault(faults.cancel_refused, 3, 150);
  fault(faults.poll_refused, 4, 80);
  fault(faults.post_refused, 5, 200);
  fault(faults.helper_refused, 6, 200);
  fault(faults.base_refused, 7, 100);
  fault(faults.skip_refused, 8, 500);
  fault(faults.dequeue_refused, 9, 50);
  fault(faults.early_time_out, 10, 500);
  fault(faults.shuffled_packet, 11, 500);
  fault(faults.poll_invalid, 12, 30);
  fault(faults.port_refused, 13, 300);
  fault(faults.empty_answer, 14, 200);
  fault(faults.reserve_refused, 15, 300);
  fault(faults.poll_denied, 16, 30);
  if ((head[3] & 2) != 0) program.buffer_max = 300;
  constexpr std::size_t steps_max = 400;
  for (; bytes.size() >= 4 && program.steps.size() < steps_max; bytes = bytes.subspan(4)) {
    // What this was before there were objects, so that the corpus keeps its meaning.
    const std::size_t kind = bytes[0] & 0x7F;
    const auto op = kind >= 120 ? Op::object : static_cast<Op>(kind % std::to_underlying(Op::object));
    program.steps.push_back({op, bytes[1], bytes[2], bytes[3], (bytes[0] & 0x80) != 0 && op != Op::checkpoint});
  }
  if ((head[3] & 32) != 0) program = with_notifications(std::move(program));
  if ((head[3] & 64) != 0) options.tick = 15'625us;
  program.high_resolution = (head[3] & 128) != 0;
  options.has_wait_packets = (head[6] & 2) == 0;
  if ((head[6] & 4) != 0) faults.wait_refused = 100;
  return program;
}

std::optional<std::uint32_t> rules_of(std::string_view names) {
  std::uint32_t rules = 0;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    const auto* const found = std::ranges::find(rule_names, name);
    if (found == rule_names.end()) return std::nullopt;
    rules |= std::uint32_t{1} << (found - rule_names.begin());
    names.remove_prefix(std::min(name.size() + 1, names.size()));
  }
  return rules;
}

std::string describe(const Step& step) {
  return std::string(step.during ? "  during the wait: " : "") + std::string(op_names[std::to_underlying(step.op)]) +
         " " + std::to_string(step.a) + " " + std::to_string(step.b) + " " + std::to_string(step.c);
}

std::string describe(const Program& program) {
  const Options& o = program.options;
  const Faults& f = o.faults;
  const auto us = [](const Delay& delay) { return std::to_string(delay.high.count() / 1000); };
  std::string text = o.flavour == Flavour::windows ? "windows" : "wine";
  text += ", flight/completion/packet/refusal up to " + us(o.flight) + "/" + us(o.completion) + "/" + us(o.packet) +
          "/" + us(o.refusal) + " us";
  if (!o.skips) text += ", skip has no effect";
  if (!o.has_reserves) text += ", no reserve objects";
  if (o.flavour == Flavour::windows && !o.entangles) text += ", two polls on one socket each get their own answer";
  if (!program.inline_completions) text += ", no inline completions";
  if (!program.hot_groups) text += ", no hot groups";
  if (program.by_number) text += ", by number";
  if (program.notifications) text += ", on notifications";
  if (o.tick > 0ns) text += ", with ticks";
  if (program.high_resolution) text += ", high_resolution";
  if (!o.has_wait_packets) text += ", no wait packets";
  if (program.buffer_max != 64) text += ", buffers of up to " + std::to_string(program.buffer_max);
  const auto fault = [&](const char* name, int per_mille) {
    if (per_mille > 0) text += std::string(", ") + name + " " + std::to_string(per_mille) + "/1000";
  };
  fault("spurious", f.spurious);
  fault("unasked cancel", f.unasked_cancel);
  fault("cancel late", f.cancel_late);
  fault("cancel refused", f.cancel_refused);
  fault("poll refused", f.poll_refused);
  fault("poll denied", f.poll_denied);
  fault("empty answer", f.empty_answer);
  fault("reserve refused", f.reserve_refused);
  fault("post refused", f.post_refused);
  fault("helper refused", f.helper_refused);
  fault("base refused", f.base_refused);
  fault("skip refused", f.skip_refused);
  fault("dequeue refused", f.dequeue_refused);
  fault("early time-out", f.early_time_out);
  fault("notify refused", f.notify_refused);
  fault("change refused", f.change_refused);
  fault("change invalid", f.change_invalid);
  fault("shuffled packet", f.shuffled_packet);
  fault("poll invalid", f.poll_invalid);
  fault("port refused", f.port_refused);
  fault("wait refused", f.wait_refused);
  constexpr std::array endings{"remove all", "close with polls pending", "close the sockets without remove"};
  return text + "; ends: " + endings[static_cast<std::size_t>(program.ending)];
}

}  // namespace reactor::sim::model
