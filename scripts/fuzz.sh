#!/usr/bin/env bash
# Fuzzes the backend over the simulated kernel, and the parser of addresses. Inputs that were found are kept in build/fuzz,
# and the next run begins with them and with tests/fuzz/corpus.
#   scripts/fuzz.sh MINUTES [backend|address]...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=${1:?usage: scripts/fuzz.sh MINUTES [backend|address]...}
shift
fuzzers=("$@")
[ ${#fuzzers[@]} -gt 0 ] || fuzzers=(backend address)
scripts/setup.sh clang
cmake --preset linux-clang-fuzz >/dev/null
cmake --build --preset linux-clang-fuzz

for name in "${fuzzers[@]}"; do
  found=build/fuzz/$name
  mkdir -p "$found"
  if ! "build/linux-clang-fuzz/tests/${name}_fuzz" -max_total_time=$((minutes * 60)) -timeout=30 -max_len=1024 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" "$found" "tests/fuzz/corpus/$name"; then
    echo "FAIL fuzz: $name; build/linux-clang-fuzz/tests/sim_replay --bytes FILE shows a program of the backend's"
    exit 1
  fi
done
echo "PASS fuzz: ${fuzzers[*]}, $minutes minutes each"
