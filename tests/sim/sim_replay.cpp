// SPDX-License-Identifier: MIT
//
// Shows a run of the model check step by step: what each thread does, every kernel call and packet, every event.
//   sim_replay SEED [--steps 1,2,5]      only these of its steps
//   sim_replay --bytes FILE              what a fuzzer found
//   sim_replay ... --quiet               without the kernel's lines
//   sim_replay ... --without RULE,RULE   as sim_check
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model_checker.hpp"
#include "model_shrink.hpp"

namespace {

using namespace reactor::sim::model;

void print(std::string_view line) { std::printf("%.*s\n", static_cast<int>(line.size()), line.data()); }

std::optional<Program> read_bytes(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  const std::vector<char> text{std::istreambuf_iterator<char>(in), {}};
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  return decode_program(bytes);
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<Program> program;
  bool is_quiet = false;
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--quiet") == 0) {
      is_quiet = true;
    } else if (std::strcmp(argv[i], "--bytes") == 0 && i + 1 < argc) {
      program = read_bytes(argv[++i]);
    } else if (std::strcmp(argv[i], "--notifications") == 0 && program) {
      program = with_notifications(*program);
    } else if (std::strcmp(argv[i], "--steps") == 0 && i + 1 < argc && program) {
      program = keep_only(*program, to_numbers(argv[++i]));
    } else if (std::strcmp(argv[i], "--without") == 0 && i + 1 < argc && program) {
      program->left_out = rules_of(argv[++i]).value_or(0);
    } else {
      program = make_program(std::strtoull(argv[i], nullptr, 10));
    }
  }
  if (!program) {
    std::puts("usage: sim_replay (SEED | --bytes FILE) [--notifications] [--steps 1,2,5] [--quiet]");
    return 2;
  }
  // Unbuffered, so that a crash does not lose the last lines.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  print(describe(*program));
  if (!is_quiet) {
    program->options.trace = [](std::string_view line) {
      std::printf("        %.*s\n", static_cast<int>(line.size()), line.data());
    };
  }
  const Checker::Log log = print;
  const auto broken = run(*program, &log);
  std::printf("%s\n", broken ? ("FAIL: " + *broken).c_str() : "PASS");
  return broken ? 1 : 0;
}
