// SPDX-License-Identifier: MIT
//
// The bytes are a program and its options, with faults (sim/model_program.hpp). The rules are those of the model check.
// sim_replay --bytes FILE shows such a program.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "sim/model_checker.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (const auto broken = reactor::sim::model::run(reactor::sim::model::decode_program({data, size}))) {
    std::fprintf(stderr, "FAIL model check: %s\n", broken->c_str());
    std::abort();
  }
  return 0;
}
